"""Golden cases whose other dialect has no implementation; its side is written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.canon.events import (
    BlockEnd,
    BlockStart,
    Delta,
    End,
    Event,
    SignatureDelta,
    Start,
    UsageUpdate,
)
from gateway.canon.request import (
    Image,
    Meta,
    Reasoning,
    ReasoningConfig,
    Request,
    Sampling,
    Signature,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from gateway.canon.response import Finish, Usage
from gateway.canon.signature import unwrap_signature
from gateway.dialects.anthropic_messages import DIALECT
from gateway.providers.capabilities import traits_for
from tests.dialects.anthropic_messages.make import (
    PNG,
    losses_of,
    rendered_frames,
    reported_fields,
)

CASES = Path(__file__).parents[1] / "cases"


def case(number: str) -> dict[str, Any]:
    """Return the golden case with this number."""
    (path,) = CASES.glob(f"{number}_*.json")
    body: dict[str, Any] = json.loads(path.read_text())
    return body


def user_turn(text: str, path: str) -> Turn:
    """Return a user turn with one text."""
    return Turn(role="user", parts=(Text(text=text, path=path),), path=path)


def assistant_turn(*parts: Any, path: str = "") -> Turn:
    """Return an assistant turn."""
    return Turn(role="assistant", parts=parts, path=path)


def results_turn(*results: ToolResult) -> Turn:
    """Return a user turn of tool results."""
    return Turn(role="user", parts=results)


CUSTOM = Request(
    model="gw",
    max_output=500,
    instructions=(Text(text="i", path="instructions"),),
    turns=(
        user_turn("patch it", "input[0]"),
        assistant_turn(
            ToolCall(
                id="call_7",
                name="apply_patch",
                raw_arguments="*** Begin",
                custom=True,
                path="input[1]",
            )
        ),
        results_turn(
            ToolResult(id="call_7", parts=(Text(text="Done"),), custom=True, path="input[2]")
        ),
    ),
    tools=(
        Tool(
            name="apply_patch",
            kind="custom",
            description="Edit files",
            format={"type": "grammar", "syntax": "lark", "definition": "start: /.+/"},
            path="tools[0]",
        ),
    ),
    tool_choice=ToolChoice(mode="named", names=("apply_patch",)),
)
OLLAMA = Request(
    model="gw-claude",
    stream=True,
    max_output=100,
    instructions=(Text(text="s", path="messages[0]"),),
    turns=(
        Turn(role="user", parts=(Text(text="q"), Image(data=PNG)), path="messages[1]"),
        assistant_turn(
            Reasoning(text="hmm", path="messages[2].thinking"),
            ToolCall(id="call_2_0", name="f", arguments={"a": 1}),
            ToolCall(id="call_2_1", name="f", arguments={"a": 2}),
        ),
        results_turn(
            ToolResult(id="call_2_0", parts=(Text(text="r1"),)),
            ToolResult(id="call_2_1", parts=(Text(text="r2"),)),
        ),
    ),
    tools=(
        Tool(
            name="f",
            description="d",
            schema={"type": "object", "properties": {"a": {"type": "integer"}}},
        ),
    ),
    sampling=Sampling(temperature=0.5),
    reasoning=ReasoningConfig(effort="high"),
    extra={"ollama": {"options.num_ctx": 8192, "keep_alive": "5m"}},
    client_paths={"temperature": "options.temperature"},
)
COMPLETION = Request(
    model="gw-claude",
    max_output=5,
    turns=(user_turn("Say hi", "prompt"),),
    sampling=Sampling(stop=("\n",), logprobs=True),
    extra={"openai_completions": {"suffix": "!"}},
)
RESUMED = Request(
    model="gw",
    max_output=100,
    instructions=(Text(text="new", path="instructions"),),
    turns=(user_turn("hello", ""), assistant_turn(Text(text="hi")), user_turn("and now?", "input")),
    meta=Meta(store=None),
    extra={"openai_responses": {"truncation": "auto"}},
)


@pytest.mark.parametrize(
    ("number", "request_"),
    [("06", CUSTOM), ("17", OLLAMA), ("23", COMPLETION), ("28", RESUMED)],
    ids=["custom tool", "ollama", "completion", "resumed"],
)
def test_a_golden_request_is_rendered(number: str, request_: Request):
    expected = case(number)["expected"]
    model = expected["body"]["model"]
    rendered_request = DIALECT.provider.render_request(request_, traits_for("anthropic", model))
    assert rendered_request.body == expected["body"]
    reported = [(row["field"], row["action"]) for row in expected["report"]]
    assert sorted(reported_fields(rendered_request.report)) == sorted(reported)
    assert losses_of(rendered_request)


def reasoning_events(text: str, state: Signature) -> tuple[Event, ...]:
    """Return the events of a reasoning block."""
    said_words = (Delta(text),) if text else ()
    return (BlockStart(kind="reasoning"), *said_words, SignatureDelta(state), BlockEnd())


def call(call_id: str, name: str, arguments: str = "") -> tuple[Event, ...]:
    """Return the events of a tool call."""
    deltas = (Delta(arguments),) if arguments else ()
    return (BlockStart(kind="tool_call", id=call_id, name=name), *deltas, BlockEnd())


DEEPSEEK = (
    BlockStart(kind="reasoning"),
    Delta("Let me"),
    Delta(" think"),
    SignatureDelta(Signature(provider="deepseek", model="up", kind="text")),
    BlockEnd(),
    BlockStart(kind="text"),
    Delta("42"),
    BlockEnd(),
    UsageUpdate(Usage(input=6, cache_read=4, output=8, reasoning=6)),
    End(Finish(reason="stop")),
)
GEMINI = (
    *reasoning_events(
        "plan",
        Signature(
            provider="gemini", model="gemini-3.8-flash", kind="thoughtSignature@0", value="U0lH"
        ),
    ),
    *call("call_r1_0", "f", '{"x":1}'),
    *call("call_r1_1", "g"),
    UsageUpdate(Usage(input=30, cache_read=20, output=20, reasoning=8)),
    End(Finish(reason="tool")),
)
OLLAMA_STREAM = (
    *reasoning_events("hm", Signature(provider="ollama", model="qwen3", kind="text")),
    *call("call_g1_0", "f", '{"a":1}'),
    UsageUpdate(Usage(input=26, output=9)),
    End(Finish(reason="tool")),
)
RESPONSES = (
    *reasoning_events(
        "",
        Signature(
            provider="openai_responses",
            model="gw-x",
            kind="encrypted_content",
            value="ENC",
            item_id="rs_9",
        ),
    ),
    *call("call_9", "Bash", '{"command":"ls"}'),
    UsageUpdate(Usage(input=20, cache_read=80, cache_write=0, output=12, reasoning=4)),
    End(Finish(reason="tool")),
)


@pytest.mark.parametrize(
    ("number", "events"),
    [("32", DEEPSEEK), ("36", GEMINI), ("40", OLLAMA_STREAM), ("42", RESPONSES)],
    ids=["deepseek", "gemini", "ollama", "responses"],
)
def test_a_golden_stream_is_printed(number: str, events: tuple[Event, ...]):
    expected = [(item["event"], item["data"]) for item in case(number)["expected"]["events"]]
    assert _readable(rendered_frames([Start(), *events])) == _readable(expected)


def _readable(value: Any) -> Any:
    """Return the value with the gateway's tokens decoded."""
    match value:
        case str():
            return unwrap_signature(value) or value
        case dict():
            return {key: _readable(item) for key, item in value.items()}
        case list() | tuple():
            return [_readable(item) for item in value]
        case _:
            return value
