"""The real Claude Code on providers that refuse unadapted requests.

Mistral and the chat template of Qwen refuse system messages in mid-conversation, Azure OpenAI
refuses its user id.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.stack import Gateway, litellm_config
from tests.e2e.test_claude_code import claude_agent_sdk, final_result, options, pytestmark
from tests.fakes import Call, ScriptedResponse
from tests.fakes.ollama import StrictOllama
from tests.fakes.templates import StrictAzure, StrictMistral, StrictVllm

__all__ = ["pytestmark"]

# The route -> LiteLLM's name of the model, its fake, the path of its base URL.
PROVIDERS: dict[str, tuple[str, Any, str]] = {
    "on-mistral": ("mistral/mistral-large-latest", StrictMistral, "/v1"),
    "on-azure": ("azure/gpt-4o", StrictAzure, ""),
    "on-vllm": ("hosted_vllm/Qwen/Qwen3-32B", StrictVllm, "/v1"),
    "on-ollama": ("ollama_chat/qwen3", StrictOllama, ""),
}
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["city", "people"],
    "additionalProperties": False,
}


class GatewayStack:
    """A gateway in front of these providers."""

    def __init__(self, gateway: Gateway, fakes: dict[str, Any]) -> None:
        self.gateway = gateway
        self.fakes = fakes


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayStack]:
    with ExitStack() as stack:
        fakes = {name: stack.enter_context(make()) for name, (_, make, _) in PROVIDERS.items()}
        rows = []
        for name, (model, _, path) in PROVIDERS.items():
            fake = fakes[name]
            key = getattr(fake, "key", "none")
            params = {"model": model, "api_base": f"{fake.url}{path}", "api_key": key}
            rows.append({"model_name": name, "litellm_params": {**params, "max_retries": 0}})
        gateway = Gateway(tmp_path_factory.mktemp("elsewhere"), litellm_config(rows)).start()
        stack.callback(gateway.kill)
        yield GatewayStack(gateway, fakes)
        gateway.stop()


@pytest.mark.parametrize("route", PROVIDERS)
async def test_a_turn_with_parallel_tools_and_a_next_one(
    stack: GatewayStack, tmp_path: Path, route: str
) -> None:
    prompt = "Run both commands of this task"
    calls = tuple(
        Call("Bash", {"command": f"echo dragon-{n}", "description": "Print"}, f"call_long_id_{n}")
        for n in (1, 2)
    )
    then = ScriptedResponse(text="They printed {results}")
    stack.fakes[route].script.on(
        prompt, ScriptedResponse(text="I run them.", calls=calls, then=then)
    )
    stack.fakes[route].script.on("And what now", ScriptedResponse(text="Nothing more."))
    chosen = options(stack, tmp_path, route, allowed_tools=["Bash"])  # type: ignore[arg-type]
    outputs = []
    async with claude_agent_sdk.ClaudeSDKClient(chosen) as session:
        for query_text in (prompt, "And what now?"):
            await session.query(query_text)
            *_, result = [message async for message in session.receive_response()]
            assert not result.is_error, result.result
            outputs.append(result.result)
    assert "dragon-1" in outputs[0] and "dragon-2" in outputs[0]
    assert outputs[1] == "Nothing more."


@pytest.mark.parametrize("route", PROVIDERS)
async def test_claude_code_returns_structured_output(
    stack: GatewayStack, tmp_path: Path, route: str
) -> None:
    prompt = "Which city is it, as data"
    data = {"city": "Oslo", "people": 717_710}
    call = Call("StructuredOutput", data, "call_structured_1")
    stack.fakes[route].script.on(
        prompt, ScriptedResponse(calls=(call,), then=ScriptedResponse(text="Done."))
    )
    form = {"type": "json_schema", "schema": SCHEMA}
    result = await final_result(prompt, options(stack, tmp_path, route, output_format=form))  # type: ignore[arg-type]
    assert not result.is_error, result.result
    assert result.structured_output == data


@pytest.mark.parametrize("route", PROVIDERS)
async def test_claude_code_prints_partial_messages_of_a_stream(
    stack: GatewayStack, tmp_path: Path, route: str
) -> None:
    prompt = "Stream a few words"
    text = "These words come one after the other."
    stack.fakes[route].script.on(prompt, ScriptedResponse(text=text))
    chosen = options(stack, tmp_path, route, include_partial_messages=True)  # type: ignore[arg-type]
    messages = [m async for m in claude_agent_sdk.query(prompt=prompt, options=chosen)]
    events = [m.event for m in messages if isinstance(m, claude_agent_sdk.types.StreamEvent)]
    deltas = [e["delta"].get("text", "") for e in events if e["type"] == "content_block_delta"]
    assert "".join(deltas) == text
    (start, *_) = [e for e in events if e["type"] == "message_start"]
    assert start["message"]["usage"]["input_tokens"] > 100, json.dumps(start)
    assert messages[-1].result == text
