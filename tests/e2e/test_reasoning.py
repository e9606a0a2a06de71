"""Official SDKs in a tool loop with reasoning, each request on any worker.

The gateway has two workers and a database; it is restarted in the middle of a loop.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import anthropic
import ollama
import openai
import pytest
from google import genai
from google.genai import types

from tests.e2e.stack import ROOT, Gateway, litellm_config
from tests.fakes import (
    Call,
    RecordedRequest,
    ScriptedResponse,
    StrictAnthropic,
    StrictDeepSeek,
    StrictGemini,
    StrictOpenAI,
    anthropic_rules,
    gemini_rules,
    responses_rules,
)

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:google"),
    pytest.mark.filterwarnings("ignore:The model '.*' is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Using Claude with:UserWarning"),
]

THOUGHT = "The user wants the weather of Paris."
CALL = Call("get_weather", {"city": "Paris"}, "call_0123456789a")
ROUNDS = 5
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}}


class GatewayStack:
    """A gateway with two workers in front of four strict providers."""

    def __init__(self, gateway: Gateway, servers: dict[str, Any]) -> None:
        self.gateway = gateway
        self.servers = servers

    def plan(self, name: str, prompt: str) -> None:
        """Script the provider to call the tool ROUNDS times, with new reasoning each time."""
        script = self.servers[name].script
        for number in range(1, ROUNDS + 1):
            call = Call(
                "get_weather", {"city": f"Paris {number}"}, f"call_{number:04}_{len(prompt)}"
            )
            response = ScriptedResponse(reasoning=f"{THOUGHT} {number}", calls=(call,))
            if number == 1:
                script.on(prompt, response)
            else:
                script.after(f"{prompt}: {number - 1};", response)
        script.after(f"{prompt}: {ROUNDS};", ScriptedResponse(text="It is sunny everywhere."))

    def last(self, name: str) -> RecordedRequest:
        """Return the newest request to a provider."""
        return self.servers[name].requests[-1]


def _row(public: str, model: str, server: Any, path: str = "") -> dict[str, Any]:
    params = {"model": model, "api_base": f"{server.url}{path}", "api_key": server.key}
    return {"model_name": public, "litellm_params": {**params, "max_retries": 0}}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayStack]:
    with ExitStack() as stack:
        google = stack.enter_context(StrictGemini())
        chat = stack.enter_context(StrictOpenAI())
        claude = stack.enter_context(StrictAnthropic())
        deepseek = stack.enter_context(StrictDeepSeek())
        rows = [
            _row("google", "gemini/gemini-3.8-flash", google),
            _row("gpt", "openai/gpt-5.6-sol", chat, "/v1"),
            _row("claude", "anthropic/claude-opus-5-5", claude),
            _row("deep", "deepseek/deepseek-v4-pro", deepseek, "/v1"),
        ]
        directory = tmp_path_factory.mktemp("reasoning")
        gateway = Gateway(directory, litellm_config(rows), workers=2).start()
        stack.callback(gateway.kill)
        servers = {"google": google, "gpt": chat, "claude": claude, "deep": deepseek}
        yield GatewayStack(gateway, servers)
        gateway.stop()
        print(gateway.output)


def _calls_with_own_state(name: str, body: dict[str, Any]) -> list[bool]:
    """Return for each call of an upstream request whether it has its own reasoning state."""
    match name:
        case "google":
            parts = [p for c in body["contents"] for p in c["parts"] if "functionCall" in p]
            own_signature = gemini_rules.signature("get_weather")
            return [part.get("thoughtSignature") == own_signature for part in parts]
        case "gpt":
            items = body["input"]
            states = {responses_rules.state_of(f"{THOUGHT} {n}") for n in range(1, ROUNDS + 1)}
            calls = [n for n, item in enumerate(items) if item.get("type") == "function_call"]
            return [items[n - 1].get("encrypted_content") in states for n in calls]
        case "claude":
            blocks = [b for m in body["messages"] for b in m["content"] if isinstance(b, dict)]
            calls = [n for n, b in enumerate(blocks) if b["type"] == "tool_use"]
            own_signature = {
                anthropic_rules.signature(f"{THOUGHT} {n}") for n in range(1, ROUNDS + 1)
            }
            return [blocks[n - 1].get("signature") in own_signature for n in calls]
        case _:
            turns = [m for m in body["messages"] if m.get("tool_calls")]
            return [str(m.get("reasoning_content")).startswith(THOUGHT) for m in turns]


# --- the loops; each request on a connection of its own ------------------------------------


def _chat(
    stack: GatewayStack, model: str, history: list[Any], result: str, *, stream: bool
) -> bool:
    tool: Any = {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}
    with openai.OpenAI(base_url=f"{stack.gateway.url}/v1", api_key=stack.gateway.key) as client:
        params: Any = {"model": model, "messages": history, "tools": [tool]}
        params["reasoning_effort"] = "high"
        if stream:
            with client.chat.completions.stream(**params) as events:
                message = events.get_final_completion().choices[0].message
        else:
            message = client.chat.completions.create(**params).choices[0].message
    calls = message.tool_calls or []
    # As the SDK's examples do it: the fields of the SDK's own types.
    functions = [
        {
            "id": c.id,
            "type": "function",
            "function": {"name": c.function.name, "arguments": c.function.arguments},
        }  # type: ignore[union-attr]
        for c in calls
    ]
    history.append(
        {"role": "assistant", "content": message.content, "tool_calls": functions or None}
    )
    history += [{"role": "tool", "tool_call_id": call.id, "content": result} for call in calls]
    return bool(calls)


def _messages(
    stack: GatewayStack, model: str, history: list[Any], result: str, *, stream: bool
) -> bool:
    with anthropic.Anthropic(base_url=stack.gateway.url, api_key=stack.gateway.key) as client:
        params: Any = {"model": model, "messages": history, "max_tokens": 9000}
        params["tools"] = [{"name": "get_weather", "input_schema": SCHEMA}]
        params["thinking"] = {"type": "adaptive"}
        if stream:
            with client.messages.stream(**params) as events:
                message = events.get_final_message()
        else:
            message = client.messages.create(**params)
    history.append({"role": "assistant", "content": message.content})
    calls = [block for block in message.content if block.type == "tool_use"]
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": result} for call in calls]
    if results:
        history.append({"role": "user", "content": results})
    return bool(calls)


def _ollama(
    stack: GatewayStack, model: str, history: list[Any], result: str, *, stream: bool
) -> bool:
    headers = {"authorization": f"Bearer {stack.gateway.key}"}
    client = ollama.Client(host=stack.gateway.url, headers=headers)
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}
    params: Any = {"model": model, "messages": history, "tools": [tool], "think": True}
    if stream:
        pieces = list(client.chat(**params, stream=True))
        response_text = "".join(piece.message.content or "" for piece in pieces)
        calls = [call for piece in pieces for call in piece.message.tool_calls or ()]
        message = ollama.Message(role="assistant", content=response_text, tool_calls=calls or None)
    else:
        message = client.chat(**params).message
    client._client.close()
    history.append(message)
    tool_calls = message.tool_calls or []
    history += [
        {"role": "tool", "tool_name": call.function.name, "content": result} for call in tool_calls
    ]
    return bool(tool_calls)


def _responses(
    stack: GatewayStack, model: str, history: list[Any], result: str, *, stream: bool
) -> bool:
    tool: Any = {"type": "function", "name": "get_weather", "parameters": SCHEMA, "strict": False}
    with openai.OpenAI(base_url=f"{stack.gateway.url}/v1", api_key=stack.gateway.key) as client:
        params: Any = {"model": model, "input": history, "tools": [tool], "store": False}
        params["reasoning"] = {"effort": "high"}
        if stream:
            with client.responses.stream(**params) as events:
                output = events.get_final_response().output
        else:
            output = client.responses.create(**params).output
    calls = [item for item in output if item.type == "function_call"]
    history += [item.to_dict() for item in output]
    history += [
        {"type": "function_call_output", "call_id": call.call_id, "output": result}
        for call in calls
    ]
    return bool(calls)


def _gemini(
    stack: GatewayStack, model: str, history: list[Any], result: str, *, stream: bool
) -> bool:
    function = types.FunctionDeclaration(name="get_weather", parameters_json_schema=SCHEMA)
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=[function])],
        thinking_config=types.ThinkingConfig(include_thoughts=stream),
    )
    options = types.HttpOptions(base_url=stack.gateway.url)
    with genai.Client(api_key=stack.gateway.key, http_options=options) as client:
        params: Any = {"model": model, "contents": history, "config": config}
        if stream:
            chunks = list(client.models.generate_content_stream(**params))
        else:
            chunks = [client.models.generate_content(**params)]
    # As the SDK's own chats keep a stream: each chunk a content of its own.
    contents = [c.candidates[0].content for c in chunks if c.candidates]
    history += [c for c in contents if c is not None and c.parts]
    calls = [p.function_call for c in contents if c for p in c.parts or () if p.function_call]
    parts = [
        types.Part.from_function_response(name=call.name or "", response={"output": result})
        for call in calls
    ]
    if parts:
        history.append(types.Content(role="user", parts=parts))
    return bool(parts)


LOOPS = {
    "chat": _chat,
    "messages": _messages,
    "ollama": _ollama,
    "responses": _responses,
    "gemini": _gemini,
}
PAIRS = [
    ("chat", "google"),
    ("chat", "gpt"),
    ("chat", "claude"),
    ("chat", "deep"),
    ("messages", "gpt"),
    ("messages", "google"),
    ("ollama", "google"),
    ("ollama", "claude"),
    ("responses", "claude"),
    ("responses", "google"),
    ("gemini", "claude"),
    ("gemini", "gpt"),
]


def another_key(gateway: Gateway) -> str:
    """Create a key that is not an admin's and return its secret."""
    environment = {**gateway.environment(), "DRAGOMAN_DATA_DIR": str(gateway.data_dir)}
    command = [sys.executable, "manage.py", "create_key", "another"]
    completed = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
    return gateway.wait_for_key(completed.stdout.decode().strip())


def _opening(client: str, prompt: str) -> Any:
    if client == "gemini":
        return types.Content(role="user", parts=[types.Part(text=prompt)])
    return {"role": "user", "content": prompt}


@pytest.mark.parametrize(("client", "model"), PAIRS, ids=lambda name: name)
@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.wide(every=4)
def test_a_long_tool_loop_keeps_its_reasoning_on_both_workers(
    stack: GatewayStack, client: str, model: str, stream: bool
) -> None:
    prompt = f"weather by {client} on {model} {'piecewise' if stream else 'at once'}"
    stack.plan(model, prompt)
    history = [_opening(client, prompt)]
    rounds = 0
    while LOOPS[client](stack, model, history, f"{prompt}: {rounds + 1};", stream=stream):
        rounds += 1
        assert rounds <= ROUNDS
        if rounds > 1:
            assert _calls_with_own_state(model, stack.last(model).body) == [True] * (rounds - 1)
    assert rounds == ROUNDS
    assert _calls_with_own_state(model, stack.last(model).body) == [True] * ROUNDS


@pytest.mark.parametrize(("client", "model"), [("chat", "gpt"), ("ollama", "google")])
def test_a_tool_loop_continues_after_a_restart(
    stack: GatewayStack, client: str, model: str
) -> None:
    prompt = f"weather before and after a restart by {client}"
    stack.plan(model, prompt)
    history = [_opening(client, prompt)]
    for number in (1, 2):
        assert LOOPS[client](stack, model, history, f"{prompt}: {number};", stream=True)
    stack.gateway.stop()
    stack.gateway.start()
    assert LOOPS[client](stack, model, history, f"{prompt}: 3;", stream=True)
    assert _calls_with_own_state(model, stack.last(model).body) == [True, True]


def test_other_keys_cannot_use_the_reasoning_state(stack: GatewayStack) -> None:
    """The history of one key's client is sent with another key."""
    prompt = "weather for the owner of the key alone"
    stack.plan("gpt", prompt)
    history = [_opening("chat", prompt)]
    assert _chat(stack, "gpt", history, f"{prompt}: 1;", stream=False)
    key = another_key(stack.gateway)
    owner, stack.gateway.key = stack.gateway.key, key
    try:
        assert _chat(stack, "gpt", history, f"{prompt}: 2;", stream=False)
    finally:
        stack.gateway.key = owner
    body = stack.last("gpt").body
    assert _calls_with_own_state("gpt", body) == [False]
    assert THOUGHT.encode().hex() not in json.dumps(body)
