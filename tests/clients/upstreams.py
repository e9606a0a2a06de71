"""A live gateway with one strict provider of each dialect, and their scripted responses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients.table import CLIENTS
from tests.e2e.stack import Gateway, litellm_config
from tests.fakes import (
    Call,
    ScriptedResponse,
    Server,
    StrictAnthropic,
    StrictDeepSeek,
    StrictGemini,
    StrictOpenAI,
    anthropic_rules,
    bedrock_rules,
    cohere_rules,
    gemini_rules,
    responses_rules,
)
from tests.fakes.bedrock import StrictBedrock
from tests.fakes.cohere import StrictCohere
from tests.fakes.ollama import StrictOllama
from tests.fakes.openai_older import StrictOlderOpenAI

HELLO = "Hello from the strict upstream."
PROMPTS = ("Think about the weather in Oslo", "Think about the weather in Lima")
AS_JSON = "Describe Paris as JSON"
PLACE_OBJECT = {"city": "Paris", "country": "France"}
# The tools by which clients get an object from models without structured output.
OBJECT_TOOLS = ("Place", "extract", "final_result", "StructuredOutput")
THOUGHTS = ("Oslo is up north", "Lima is down south")


@dataclass(frozen=True)
class Upstream:
    """A provider: `model` is the name of its route and of its model.

    `state` returns, for a reasoning text and the name of the tool called after it, what must be
    sent back with the tool's result, or None. `thinks` is false if the provider refuses reasoning.
    """

    model: str
    prefix: str
    make: Callable[[], Any]
    path: str = ""
    state: Callable[[str, str], str] | None = None
    thinks: bool = True


UPSTREAMS: dict[str, Upstream] = {
    "chat": Upstream("gpt-4o", "openai", StrictOpenAI, "/v1", thinks=False),
    "deepseek": Upstream(
        "deepseek-v4-pro", "deepseek", StrictDeepSeek, "/v1", lambda thought, tool: thought
    ),
    "responses": Upstream(
        "gpt-5.6-sol",
        "openai",
        StrictOpenAI,
        "/v1",
        lambda thought, tool: responses_rules.STATE + thought.encode().hex()[:40],
    ),
    "messages": Upstream(
        "claude-sonnet-4-5",
        "anthropic",
        StrictAnthropic,
        "",
        lambda thought, tool: anthropic_rules.signature(thought),
    ),
    # It signs its calls, not its thoughts.
    "gemini": Upstream(
        "gemini-3.8-flash",
        "gemini",
        StrictGemini,
        "",
        lambda thought, tool: gemini_rules.signature(tool),
    ),
    "ollama": Upstream("qwen3", "ollama_chat", StrictOllama),
    "cohere": Upstream(cohere_rules.REASONER, "cohere_chat", StrictCohere),
    "bedrock": Upstream(
        bedrock_rules.CLAUDE,
        "bedrock",
        StrictBedrock,
        "",
        lambda thought, tool: bedrock_rules.signature(thought),
    ),
    "completions": Upstream("gpt-3.5-turbo-instruct", "openai", StrictOlderOpenAI, "/v1"),
    "embeddings": Upstream("text-embedding-3-small", "openai", StrictOlderOpenAI, "/v1"),
    "local embeddings": Upstream("nomic-embed-text", "ollama", StrictOllama),
}


@dataclass
class GatewayStack:
    """The gateway and its providers, by the names of `UPSTREAMS`."""

    gateway: Gateway
    servers: dict[str, Any]

    def reasoning_was_returned(self, upstream: str, number: int, tool: str) -> bool:
        """Return whether the result of that turn's tool was sent with the reasoning before it."""
        upstream_ = UPSTREAMS[upstream]
        assert upstream_.state is not None
        server: Server = self.servers[upstream]
        bodies = [json.loads(request.raw) for request in server.requests if request.raw]
        # Written anew, as JSON may escape what a signature holds.
        texts = [json.dumps(body, ensure_ascii=False) for body in bodies]
        of_turn = [text for text in texts if PROMPTS[number] in text]
        if number == 0:
            of_turn = [text for text in of_turn if PROMPTS[1] not in text]
        # Google's SDK writes bytes in the other alphabet of base64.
        of_turn = [text + text.replace("-", "+").replace("_", "/") for text in of_turn]
        return bool(of_turn) and upstream_.state(THOUGHTS[number], tool) in of_turn[-1]

    def schema_was_sent(self, upstream: str) -> bool:
        """Return whether every request for JSON was sent with its schema."""
        bodies = [request.raw for request in self.servers[upstream].requests]
        return all(b"country" in body for body in bodies if AS_JSON.encode() in body)

    def teach(self, shell: tuple[str, str] | None) -> None:
        """Clear the recorded requests, and script the responses for an agent with this tool."""
        for server in self.servers.values():
            server.requests.clear()
            _script_responses(server, shell)


@contextmanager
def running_stack(directory: Path) -> Iterator[GatewayStack]:
    """Start a gateway and its providers; the gateway stores its data in `directory`."""
    with ExitStack() as exit_stack:
        servers = {name: exit_stack.enter_context(u.make()) for name, u in UPSTREAMS.items()}
        rows = []
        for name, upstream in UPSTREAMS.items():
            server = servers[name]
            params = {
                "model": f"{upstream.prefix}/{upstream.model}",
                "api_base": f"{server.url}{upstream.path}",
                "api_key": getattr(server, "key", "none"),
                "max_retries": 0,
            }
            for public in {upstream.model, *(c.names.get(name, "") for c in CLIENTS.values())}:
                if public:
                    rows.append({"model_name": public, "litellm_params": params})
        gateway = Gateway(directory, litellm_config(rows)).start()
        exit_stack.callback(gateway.kill)
        yield GatewayStack(gateway, servers)
        gateway.stop()


def _script_responses(server: Any, shell: tuple[str, str] | None) -> None:
    """Script a provider's responses in the scenarios of the client scripts."""
    then = ScriptedResponse(text="It is: {results}")
    cities = tuple(_weather_call(city, shell) for city in ("Paris", "Rome"))
    server.script.on(
        "weather in Paris and Rome", ScriptedResponse(text="I look.", calls=cities, then=then)
    )
    server.script.on(AS_JSON, ScriptedResponse(text=json.dumps(PLACE_OBJECT)))
    for name in OBJECT_TOOLS:
        call = Call(name, PLACE_OBJECT, "toolu_place")
        server.script.on(f"Describe Paris by calling {name}.", ScriptedResponse(calls=(call,)))
    for prompt, thought in zip(PROMPTS, THOUGHTS, strict=True):
        call = _weather_call(prompt.split()[-1], shell)
        server.script.on(prompt, ScriptedResponse(reasoning=thought, calls=(call,), then=then))


def _weather_call(city: str, shell: tuple[str, str] | None) -> Call:
    """Return the call that requests a city's weather, by the scripts' tool or by a command."""
    if shell is None:
        return Call("get_weather", {"city": city}, f"toolu_{city}")
    return Call(shell[0], {shell[1]: f"echo sun in {city}"}, f"toolu_{city}")
