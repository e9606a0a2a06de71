"""Tool loops with reasoning: every client dialect on every provider that needs reasoning back.

Each client behaves as its dialect's SDK does by default. The providers are strict: they refuse
forged, changed, missing or misplaced state, and the test asserts that the upstream request has the
original state.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.edge.admission import key_digest
from gateway.providers.profile import Secret
from gateway.relay.journal.log_writer import LogStore
from gateway.relay.registry import RegistryStore
from gateway.relay.runtime import Config, LazyRuntime
from gateway.relay.state.reasoning import ReasoningTable
from gateway.relay.wiring import Wiring
from gateway.routing.snapshot import Snapshot
from tests.fakes import (
    Call,
    RecordedRequest,
    ScriptedResponse,
    StrictAnthropic,
    StrictDeepSeek,
    StrictGemini,
    StrictOpenAI,
    anthropic_rules,
    bedrock_rules,
    gemini_rules,
    responses_rules,
)
from tests.fakes.bedrock import BEARER, StrictBedrock
from tests.relay.clients import CLIENTS, Client
from tests.relay.harness import (
    ADMIN,
    PEPPER,
    FakeUpstreams,
    Gateway,
    Reply,
    provider,
    route,
    snapshot,
)

Json = dict[str, Any]

FIRST = "The user wants the weather of Paris, so I look it up."
SECOND = "Now the one of Rome."
PROMPT = "weather of two cities"
SCRIPTED_RESPONSE = ScriptedResponse(
    reasoning=FIRST,
    calls=(Call("get_weather", {"city": "Paris"}, "call_0123456789a"),),
    then=ScriptedResponse(
        reasoning=SECOND,
        text="Paris is done.",
        calls=(Call("get_weather", {"city": "Rome"}, "call_0123456789b"),),
    ),
)


class Upstreams:
    """Strict providers of five kinds, and the routes to them by name."""

    def __init__(self, stack: ExitStack) -> None:
        self.gemini = stack.enter_context(StrictGemini())
        self.deepseek = stack.enter_context(StrictDeepSeek())
        self.openai = stack.enter_context(StrictOpenAI())
        self.anthropic = stack.enter_context(StrictAnthropic())
        self.bedrock = stack.enter_context(StrictBedrock())
        self.servers: dict[str, Any] = {
            "gemini": self.gemini,
            "deepseek": self.deepseek,
            "openai": self.openai,
            "anthropic": self.anthropic,
            "anthropic-4.5": self.anthropic,
            "bedrock": self.bedrock,
        }
        for server in self.servers.values():
            server.script.on(PROMPT, SCRIPTED_RESPONSE)

    def registry(self) -> Snapshot:
        """Return a registry with a route to each."""

        def of(name: str, preset: str, dialect: str, url: str, key: str, auth: str) -> Any:
            fields = {"preset": preset, "base_url": url, "credential": Secret(key), "auth": auth}
            return provider(name, dialect, **fields)

        google = self.gemini.url
        chat = f"{self.openai.url}/v1"
        deep = f"{self.deepseek.url}/v1"
        claude = of(
            *("claude", "anthropic", "anthropic_messages", self.anthropic.url),
            *(self.anthropic.key, "x-api-key"),
        )
        headers = {
            "gemini": (
                of("google", "gemini", "gemini", google, self.gemini.key, "x-goog-api-key"),
                "gemini-3.8-flash",
            ),
            "deepseek": (
                of("deep", "deepseek", "openai_chat", deep, self.deepseek.key, "bearer"),
                "deepseek-v4-pro",
            ),
            "openai": (
                of("open", "openai", "openai_chat", chat, self.openai.key, "bearer"),
                "gpt-5.6-sol",
            ),
            "anthropic": (claude, "claude-opus-5-5"),
            "anthropic-4.5": (claude, "claude-sonnet-4-5"),
            "bedrock": (
                of("aws", "bedrock", "bedrock_converse", self.bedrock.url, BEARER, "bearer"),
                bedrock_rules.CLAUDE_NOW,
            ),
        }
        routes = [route(name, p, model=model) for name, (p, model) in headers.items()]
        return snapshot(*routes)

    def last(self, name: str) -> RecordedRequest:
        """Return the newest request to a provider."""
        return self.servers[name].requests[-1]

    def count(self, name: str) -> int:
        """Return the number of requests to a provider."""
        return len(self.servers[name].requests)


@pytest.fixture(scope="module")
def upstreams() -> Iterator[Upstreams]:
    with ExitStack() as stack:
        yield Upstreams(stack)


class SharedStateStore:
    """A store for several processes, without a database."""

    def __init__(self) -> None:
        self.rows: list[Any] = []

    def find(self, keys: list[Any]) -> list[Any]:
        """Return stored reasoning, as `store.find_reasoning`."""
        turns, calls = {k.turn for k in keys}, {k.call for k in keys}
        return [row for row in self.rows if row.turn in turns or row.call in calls]


@asynccontextmanager
async def running_gateway(
    directory: Path, upstreams: Upstreams, rows: SharedStateStore | None = None
) -> AsyncIterator[Gateway]:
    """Run a gateway that calls the strict providers over real sockets."""
    records: list[Any] = []
    registry = upstreams.registry()
    config = Config(data_dir=directory, pepper=PEPPER, admin_digests=(key_digest(ADMIN, PEPPER),))
    wiring = Wiring(
        registry=RegistryStore(
            load_snapshot=lambda: registry, current_version=lambda: registry.version
        ),
        log=LogStore(write=records.extend),
        reasoning=ReasoningTable(rows.find, rows.rows.extend) if rows else None,
    )
    lazy_runtime = LazyRuntime(lambda: config, wiring)
    live = await lazy_runtime.get()
    try:
        yield Gateway(lazy_runtime, FakeUpstreams(), records)
    finally:
        await live.close()


# --- what each provider must have got back, as it gave it out -----------------------------


def _gemini(body: Json) -> list[str]:
    calls = [p for c in body["contents"] for p in c["parts"] if "functionCall" in p]
    good = gemini_rules.signature("get_weather")
    return ["state" if p.get("thoughtSignature") == good else "no state" for p in calls]


def _deepseek(body: Json) -> list[str]:
    turns = [m for m in body["messages"] if m.get("tool_calls")]
    reasoning_contents = [m.get("reasoning_content") for m in turns]
    return ["state" if t in {FIRST, SECOND} else "no state" for t in reasoning_contents]


def _openai(body: Json) -> list[str]:
    out, good = [], {responses_rules.state_of(FIRST), responses_rules.state_of(SECOND)}
    is_known = False
    for item in body["input"]:
        if item.get("type") == "reasoning":
            is_known = item["encrypted_content"] in good
        elif item.get("type") == "function_call":
            out.append("state" if is_known else "no state")
            is_known = False
    return out


def _anthropic(body: Json) -> list[str]:
    out = []
    for message in body["messages"]:
        blocks = message["content"] if isinstance(message["content"], list) else []
        kinds = {block["type"]: block for block in blocks}
        if "tool_use" in kinds:
            thought = kinds.get("thinking", {})
            good = thought.get("signature") == anthropic_rules.signature(
                thought.get("thinking", "")
            )
            out.append("state" if good else "no state")
    return out


def _bedrock(body: Json) -> list[str]:
    out = []
    for message in body["messages"]:
        kinds = {name: block for block in message["content"] for name, block in block.items()}
        if "toolUse" in kinds:
            reasoning_text = kinds.get("reasoningContent", {}).get("reasoningText", {})
            good = reasoning_text.get("signature") == bedrock_rules.signature(
                reasoning_text.get("text", "")
            )
            out.append("state" if good else "no state")
    return out


RETURNED = {
    "gemini": _gemini,
    "deepseek": _deepseek,
    "openai": _openai,
    "anthropic": _anthropic,
    "anthropic-4.5": _anthropic,
    "bedrock": _bedrock,
}
EVERY_CLIENT = pytest.mark.parametrize("client", CLIENTS, ids=[c.name for c in CLIENTS])
EVERY_UPSTREAM = pytest.mark.parametrize("upstream", RETURNED)
BOTH_WAYS = pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])


_SWITCHING = [c for c in CLIENTS if c.name in {"chat", "messages", "responses", "gemini-reasoning"}]
# A body that passes through is the client's own: what it leaves out is left out.
_ON_PURPOSE = {
    ("responses-without-reasoning", "openai"),
    ("bedrock-without-reasoning", "bedrock"),
}


async def send_turn(gateway: Gateway, client: Client, model: str, *, stream: bool) -> Reply:
    """Send a client's request and add the response to its history."""
    path, body = client.request(model, stream=stream)
    reply = await gateway.post(path, body, headers=client.headers)
    assert reply.status == 200, reply.body
    client.read_response(reply.body, stream=stream)
    return reply


def states_returned(client: Client, upstream: str, body: Json) -> list[str]:
    """Return for each call in the history whether its provider got its state back."""
    texts = RETURNED[upstream](body)
    if (client.name, upstream) in _ON_PURPOSE:
        assert set(texts) == {"no state"}
        return ["state"] * len(texts)
    return texts


@EVERY_CLIENT
@EVERY_UPSTREAM
@BOTH_WAYS
async def test_a_tool_loop_keeps_its_reasoning(
    client: Client, upstream: str, stream: bool, upstreams: Upstreams, tmp_path: Path
) -> None:
    client, before = client.new_client(), upstreams.count(upstream)
    async with running_gateway(tmp_path, upstreams) as gateway:
        client.add_user_message(PROMPT)
        await send_turn(gateway, client, upstream, stream=stream)
        client.add_tool_results("sunny")
        await send_turn(gateway, client, upstream, stream=stream)
        second = upstreams.last(upstream)
        assert states_returned(client, upstream, second.body) == ["state"]
        client.add_tool_results("rainy")
        await send_turn(gateway, client, upstream, stream=stream)
        third = upstreams.last(upstream)
        assert states_returned(client, upstream, third.body) == ["state", "state"]
        # What was said before is said in the same bytes: the prompt cache stays warm.
        assert third.raw.startswith(_up_to_last_result(second.raw))
        assert upstreams.count(upstream) == before + 3, "nothing was refused on the way"


def _up_to_last_result(raw: bytes) -> bytes:
    """Return a body up to the end of its last result."""
    return raw[: raw.rindex(b"sunny")]


@EVERY_CLIENT
@EVERY_UPSTREAM
async def test_another_process_reads_the_stored_reasoning(
    client: Client, upstream: str, upstreams: Upstreams, tmp_path: Path
) -> None:
    client, rows, stream = client.new_client(), SharedStateStore(), True
    async with running_gateway(tmp_path / "a", upstreams, rows) as gateway:
        client.add_user_message(PROMPT)
        await send_turn(gateway, client, upstream, stream=stream)
        client.add_tool_results("sunny")
        path, body = client.request(upstream, stream=stream)
        await gateway.post(path, body, headers=client.headers)
        first_request = upstreams.last(upstream)
    async with running_gateway(tmp_path / "b", upstreams, rows) as gateway:
        await send_turn(gateway, client, upstream, stream=stream)
        second_request = upstreams.last(upstream)
    assert second_request is not first_request
    assert states_returned(client, upstream, second_request.body) == ["state"]
    assert second_request.raw == first_request.raw


@pytest.mark.parametrize("client", _SWITCHING, ids=[c.name for c in _SWITCHING])
@pytest.mark.parametrize(
    ("before", "after"),
    [(a, b) for a in RETURNED for b in RETURNED if a != b],
    ids=lambda name: name,
)
async def test_switching_models_drops_the_reasoning(
    client: Client, before: str, after: str, upstreams: Upstreams, tmp_path: Path
) -> None:
    client = client.new_client()
    async with running_gateway(tmp_path, upstreams) as gateway:
        client.add_user_message(PROMPT)
        await send_turn(gateway, client, before, stream=False)
        client.add_tool_results("sunny")
        count = upstreams.count(after)
        reply = await send_turn(gateway, client, after, stream=False)
        assert upstreams.count(after) == count + 1, "the first try was taken"
        adaptations = (await gateway.rows(2))[-1].adaptations
        if (before, after) not in {("anthropic", "anthropic-4.5"), ("anthropic-4.5", "anthropic")}:
            dropped_fields = reply.headers.get("x-dragoman-dropped", "")
            bent = reply.headers.get("x-dragoman-approximated", "")
            assert dropped_fields or bent, adaptations
        # And back again: the thoughts of the first model are its own still.
        client.add_tool_results("rainy")
        await send_turn(gateway, client, before, stream=False)
        if client.name in {"chat", "ollama"}:
            back = upstreams.last(before)
            assert RETURNED[before](back.body)[0] == "state"
