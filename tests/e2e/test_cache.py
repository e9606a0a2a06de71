"""Response cache with the official SDKs over two worker processes, on SQLite and Redis."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest
from redis import Redis

from gateway.relay.cache.backend import FLUSH_S
from tests.e2e.stack import MASTER_KEY, Gateway, litellm_config, strict_config
from tests.fakes import Call, ScriptedResponse, StrictAnthropic, StrictDeepSeek, StrictOpenAI
from tests.redis_server import running_server
from tests.waits import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

WORKERS = 2
# More requests, each on a connection of its own, than fall to one worker by chance.
TRIES = 8
CHAT, CLAUDE = "gpt-4o", "claude-opus-4-6"
CITY: Any = {
    "name": "get_weather",
    "description": "The weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


class CachingGateway(Gateway):
    """A gateway of two workers whose routes cache responses."""

    def __init__(self, directory: Path, config: dict[str, Any], redis_url: str) -> None:
        super().__init__(directory, config, workers=WORKERS)
        self.more = {"REDIS_URL": redis_url} if redis_url else {}

    def environment(self) -> dict[str, str]:
        return {**super().environment(), **self.more}


@dataclass
class GatewayStack:
    """A gateway, its providers, and how cached responses are shared between processes."""

    gateway: CachingGateway
    openai: StrictOpenAI
    anthropic: StrictAnthropic
    redis_url: str

    def request_count(self, text: str) -> int:
        """Return how many upstream requests contained this text."""
        recorded_requests = (*self.openai.requests, *self.anthropic.requests)
        return sum(text.encode() in request.raw for request in recorded_requests)

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Wait until the cached response of the block is visible to every process."""
        before = self._settled()
        yield
        wait_until(lambda: self._kept() != before)

    def _settled(self) -> int:
        """Return the number of cached responses after pending writes."""
        previous = -1
        while previous != (stored_count := self._kept()):
            previous = stored_count
            time.sleep(4 * FLUSH_S)
        return stored_count

    def _kept(self) -> int:
        if self.redis_url:
            with Redis.from_url(self.redis_url) as client:
                return len(client.keys("*answer:*"))
        return sum(row["entries"] for row in self.gateway.api("/api/cache")["items"])

    def purge(self, route: str = "") -> None:
        headers = {"authorization": f"Bearer {MASTER_KEY}"}
        with httpx.Client(base_url=self.gateway.url, headers=headers) as client:
            response = client.delete("/api/cache", params={"route": route} if route else {})
            assert response.status_code == 200, response.text
            # Who knows this key has read the registry since.
            self.gateway.wait_for_key(client.post("/key/generate", json={}).json()["key"])


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayStack]:
    directory = tmp_path_factory.mktemp("cache")
    with ExitStack() as stack:
        url = stack.enter_context(running_server(directory)).url if request.param == "redis" else ""
        chat = stack.enter_context(StrictOpenAI())
        claude = stack.enter_context(StrictAnthropic())
        deepseek = stack.enter_context(StrictDeepSeek())
        for server in (chat, claude):
            server.script.on(
                "Weather",
                ScriptedResponse(calls=(Call("get_weather", {"city": "Rome"}, "toolu_1"),)),
            )
            server.script.on("Break", ScriptedResponse(text="begun and broken", breaks="cut"))
            server.script.on("Slowly", ScriptedResponse(text="word " * 20, pace_s=0.05))
        config = litellm_config(strict_config(chat, claude, deepseek))
        config["litellm_settings"] = {"cache": True, "cache_params": {"type": "local", "ttl": 300}}
        gateway = CachingGateway(directory, config, url).start()
        stack.callback(gateway.kill)
        yield GatewayStack(gateway, chat, claude, url)
        gateway.stop()


def chat(
    stack: GatewayStack, prompt: str, *, model: str, stream: bool, **more: Any
) -> tuple[str, Any, Any]:
    """Return text, usage and headers of a response to a new `openai` client."""
    base = f"{stack.gateway.url}/v1"
    with openai.OpenAI(base_url=base, api_key=MASTER_KEY, max_retries=0) as client:
        params: Any = {"model": model, "messages": [{"role": "user", "content": prompt}]}
        params |= {"max_tokens": 64, **more}
        if not stream:
            raw = client.chat.completions.with_raw_response.create(**params)
            response = raw.parse()
            return response.choices[0].message.content or "", response.usage, raw.headers
        params["stream_options"] = {"include_usage": True}
        raw = client.chat.completions.with_raw_response.create(stream=True, **params)
        chunks = list(raw.parse())
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        finishes = [c.choices[0].finish_reason for c in chunks if c.choices]
        assert finishes[-1] == "stop"
        return text, chunks[-1].usage, raw.headers


def messages(
    stack: GatewayStack, text: str, *, model: str, stream: bool, **more: Any
) -> tuple[str, Any, Any]:
    """Return text, usage and headers of a response to a new `anthropic` client."""
    with anthropic.Anthropic(
        base_url=stack.gateway.url, api_key=MASTER_KEY, max_retries=0
    ) as client:
        params: Any = {"model": model, "messages": [{"role": "user", "content": text}]}
        params |= {"max_tokens": 64, **more}
        if not stream:
            raw = client.messages.with_raw_response.create(**params)
            complete_response = raw.parse()
            return complete_response.content[0].text, complete_response.usage, raw.headers
        with client.messages.stream(**params) as response:
            complete_response = response.get_final_message()
            assert complete_response.stop_reason == "end_turn"
            return (
                complete_response.content[0].text,
                complete_response.usage,
                response.response.headers,
            )


Asking = Callable[..., tuple[str, Any, Any]]
FORMS = [(chat, False), (chat, True), (messages, False), (messages, True)]


@pytest.mark.parametrize("model", [CHAT, CLAUDE])
@pytest.mark.parametrize(
    ("call_client", "stream"), FORMS, ids=lambda v: getattr(v, "__name__", str(v))
)
@pytest.mark.wide(every=4)
def test_the_response_cache_is_shared_by_workers(
    stack: GatewayStack, call_client: Asking, stream: bool, model: str
) -> None:
    prompt = f"Keep {call_client.__name__} {stream} {model}"
    had = stack.request_count(prompt)
    with stack.shared():
        text, usage, headers = call_client(stack, prompt, model=model, stream=stream)
    assert headers["x-dragoman-cache"] == "miss"
    for _ in range(TRIES):
        second = call_client(stack, prompt, model=model, stream=stream)
        assert second[:2] == (text, usage)
        assert second[2]["x-dragoman-cache"] == "hit"
        assert int(second[2]["age"]) >= 0
    assert stack.request_count(prompt) - had == 1
    row = stack.gateway.row(second[2]["x-request-id"])
    assert (row["cache"], row["outcome"], row["finish"]) == ("hit", "ok", "stop")
    assert float(row["cost_usd"]) == 0
    assert float(row["saved_usd"]) > 0
    assert (row["input_tokens"], row["output_tokens"]) == (11, 23)
    assert row["usage_source"] == "reported"
    assert row["attempts"] == []


@pytest.mark.parametrize("model", [CHAT, CLAUDE])
def test_one_request_in_four_forms_calls_upstream_once(stack: GatewayStack, model: str) -> None:
    """Both SDKs, whole and streamed: one upstream request."""
    prompt = f"Four forms {model}"
    with stack.shared():
        responses = [chat(stack, prompt, model=model, stream=False)]
    responses += [
        call_client(stack, prompt, model=model, stream=stream) for call_client, stream in FORMS[1:]
    ]
    assert stack.request_count(prompt) == 1
    assert len({text for text, _, _ in responses}) == 1
    assert [headers["x-dragoman-cache"] for _, _, headers in responses] == [
        "miss",
        "hit",
        "hit",
        "hit",
    ]
    chats = [
        usage
        for (_, usage, _), (call_client, _) in zip(responses, FORMS, strict=True)
        if call_client is chat
    ]
    assert {(u.prompt_tokens, u.completion_tokens) for u in chats} == {(11, 23)}
    others = [
        u
        for (_, u, _), (call_client, _) in zip(responses, FORMS, strict=True)
        if call_client is messages
    ]
    assert {(u.input_tokens, u.output_tokens) for u in others} == {(11, 23)}


def test_tool_calls_are_cached(stack: GatewayStack) -> None:
    base = f"{stack.gateway.url}/v1"
    params: Any = {
        "model": CHAT,
        "messages": [{"role": "user", "content": "Weather, please"}],
        "tools": [{"type": "function", "function": CITY}],
    }
    with openai.OpenAI(base_url=base, api_key=MASTER_KEY, max_retries=0) as client:
        with stack.shared():
            first = client.chat.completions.create(**params)
        second = client.chat.completions.with_raw_response.create(**params)
        assert second.headers["x-dragoman-cache"] == "hit"
        assert second.parse() == first
        calls = first.choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].function.name == "get_weather"


def test_a_stored_response_calls_upstream_each_time(stack: GatewayStack) -> None:
    """Each stored response can be continued; without storing, the cache key equals Chat's."""
    base = f"{stack.gateway.url}/v1"
    text, ids = "Stored by id", set()
    with openai.OpenAI(base_url=base, api_key=MASTER_KEY, max_retries=0) as client:
        for _ in range(2):
            raw = client.responses.with_raw_response.create(model=CLAUDE, input=text)
            assert raw.headers["x-dragoman-cache"] == "bypass"
            ids.add(raw.parse().id)
        assert len(ids) == 2
        with stack.shared():
            params: Any = {"model": CLAUDE, "input": text, "store": False, "max_output_tokens": 64}
            first = client.responses.create(**params)
        assert chat(stack, text, model=CLAUDE, stream=False)[2]["x-dragoman-cache"] == "hit"
    assert first.output_text
    assert stack.request_count(text) == 3


def test_a_broken_stream_is_not_cached(stack: GatewayStack) -> None:
    for _ in range(2):
        with pytest.raises((openai.APIError, httpx.HTTPError)):
            chat(stack, "Break it", model=CHAT, stream=True)
    assert stack.request_count("Break it") == 2


def test_a_stream_that_was_not_read_to_its_end_is_not_cached(stack: GatewayStack) -> None:
    body = {
        "model": CHAT,
        "messages": [{"role": "user", "content": "Slowly now"}],
        "stream": True,
    }
    url, headers = f"{stack.gateway.url}/v1/chat/completions", {"x-api-key": MASTER_KEY}
    with httpx.stream("POST", url, json=body, headers=headers) as response:
        next(response.iter_bytes())
    (recorded_request,) = (
        request for request in stack.openai.requests if b"Slowly now" in request.raw
    )
    wait_until(lambda: recorded_request.left_at is not None or recorded_request.finished)
    with httpx.stream("POST", url, json=body, headers=headers) as response:
        assert response.headers["x-dragoman-cache"] == "miss"
        response.read()
    assert stack.request_count("Slowly now") == 2


def test_a_cached_stream_is_sent_without_delay(stack: GatewayStack) -> None:
    text = "Slowly once"
    start = time.monotonic()
    with stack.shared():
        first, _, _ = chat(stack, text, model=CHAT, stream=True)
        first_elapsed_s = time.monotonic() - start
    assert first_elapsed_s > 0.9
    quick = first_elapsed_s
    for _ in range(5):  # a busy machine may make any of them wait
        start = time.monotonic()
        second, _, headers = chat(stack, text, model=CHAT, stream=True)
        quick = min(quick, time.monotonic() - start)
        assert (second, headers["x-dragoman-cache"]) == (first, "hit")
    assert quick < first_elapsed_s / 2


def test_litellms_cache_control_fields_are_followed(stack: GatewayStack) -> None:
    """`extra_body={"cache": ...}`, as LiteLLM documents it; the fakes refuse the field."""
    text = "Wishes"
    chat(stack, text, model=CHAT, stream=False)
    for wish, state in (
        ({"no-cache": True}, "bypass"),
        ({"s-maxage": 0}, "miss"),
        ({"namespace": "other"}, "miss"),
        ({"namespace": "other"}, None),
    ):
        more = {"extra_body": {"cache": wish}}
        _, _, headers = chat(stack, text, model=CHAT, stream=False, **more)
        if state is not None:
            assert headers["x-dragoman-cache"] == state
    header = {"extra_headers": {"cache-control": "no-cache"}}
    assert chat(stack, text, model=CHAT, stream=False, **header)[2]["x-dragoman-cache"] == "bypass"
    with pytest.raises(openai.BadRequestError, match=r"cache\.ttl must be a whole number"):
        chat(stack, text, model=CHAT, stream=False, extra_body={"cache": {"ttl": "soon"}})


def test_a_purge_reaches_every_worker(stack: GatewayStack) -> None:
    text = "Purge me"
    with stack.shared():
        chat(stack, text, model=CHAT, stream=False)
    for _ in range(TRIES):
        chat(stack, text, model=CHAT, stream=False)
    assert stack.request_count(text) == 1
    stack.purge(CHAT)
    assert chat(stack, text, model=CHAT, stream=False)[2]["x-dragoman-cache"] == "miss"
    assert stack.request_count(text) == 2


def test_cached_responses_survive_a_restart(stack: GatewayStack) -> None:
    prompt = "Outlive"
    with stack.shared():
        text, _, _ = chat(stack, prompt, model=CHAT, stream=True)
    assert stack.gateway.stop() == 0
    stack.gateway.start()
    second, _, headers = chat(stack, prompt, model=CHAT, stream=True)
    assert (second, headers["x-dragoman-cache"]) == (text, "hit")
    assert stack.request_count(prompt) == 1
