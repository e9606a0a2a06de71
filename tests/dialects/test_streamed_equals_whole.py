"""A stream, read by the official SDK's own code, is the response that is not streamed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import RawMessageStreamEvent
from cohere import V2ChatStreamResponse
from google.genai.types import GenerateContentResponse
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from ollama import ChatResponse, GenerateResponse
from openai import NOT_GIVEN
from openai._models import construct_type
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types import Completion
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from gateway.canon.events import Event
from gateway.canon.fold import unfold_response
from gateway.canon.request import Citation, Reasoning, Refusal, Signature, Text, ToolCall
from gateway.canon.response import Finish, Response, Usage
from gateway.dialects import DIALECTS
from gateway.dialects.base import ResponseContext
from gateway.dialects.ollama.context import GENERATE_PATH
from gateway.framing.formats import STREAM_FORMATS
from tests.dialects.splits import split_bytes, split_deltas

Json = dict[str, Any]

texts = st.text('ab é世😀{}"\\\n\u2028', min_size=1, max_size=12)
urls = st.sampled_from(["https://a.test/x", "https://b.test/y"])


@st.composite
def cited_texts(draw: st.DrawFn) -> Text:
    """Return a text with sources, some with a position."""
    text = draw(texts)
    citations = []
    for url in draw(st.lists(urls, max_size=2, unique=True)):
        start = draw(st.integers(0, len(text) - 1))
        position = draw(st.sampled_from([{}, {"start": start, "end": len(text)}]))
        citations.append(Citation(url=url, title="t", **position))
    return Text(text=text, citations=tuple(citations))


signatures = st.builds(Signature, provider=st.just("p"), model=st.just("m"), value=st.just("S"))
reasoning_parts = st.builds(Reasoning, text=st.just("") | texts, signature=signatures)
redacted_parts = st.builds(
    Reasoning,
    redacted=st.just(True),
    signature=st.just(Signature(provider="p", model="m", kind="redacted", value="R")),
)
arguments = st.dictionaries(texts, st.none() | st.integers(-9, 9) | texts, max_size=2)
names = st.from_regex(r"[a-z]{1,5}", fullmatch=True)
calls = st.builds(ToolCall, name=names, arguments=arguments, signature=st.none() | signatures)
custom_calls = st.builds(
    ToolCall, name=names, raw_arguments=st.just("") | texts, custom=st.just(True)
)
counts = st.integers(1, 99)
usages = st.none() | st.builds(
    Usage, input=counts, cache_read=st.none() | counts, output=counts, reasoning=st.none() | counts
)


@st.composite
def responses(draw: st.DrawFn) -> Response:
    """Return a response with parts of any kind in any order."""
    kinds = cited_texts() | reasoning_parts | redacted_parts | calls | custom_calls
    parts = draw(st.lists(kinds, max_size=5))
    if draw(st.booleans()):
        parts.append(Refusal(text=draw(texts)))
    parts = [
        replace(part, id=f"call_{number}") if isinstance(part, ToolCall) else part
        for number, part in enumerate(parts)
    ]
    is_call = any(isinstance(part, ToolCall) for part in parts)
    is_refusal = any(isinstance(part, Refusal) for part in parts)
    reasons = ["length", "stop_sequence", "context", "filter", "pause"]
    reason: Any = draw(
        st.sampled_from(reasons + (["tool"] if is_call else ["refusal" if is_refusal else "stop"]))
    )
    explanation = draw(st.sampled_from([None, "why"])) if reason == "filter" else None
    return Response(
        id="r",
        model="m",
        parts=tuple(parts),
        usage=draw(usages),
        finish=Finish(reason=reason, explanation=explanation),
    )


def context(display: str, **fields: Any) -> ResponseContext:
    """Return a context."""
    return ResponseContext(
        id="1",
        created=1,
        model="gw",
        include_usage=True,
        reasoning_display=display,
        **fields,  # type: ignore[arg-type]
    )


def frames(
    dialect: str, events: list[Event], where: ResponseContext, data: st.DataObject
) -> list[Json]:
    """Return the JSON of a client's stream, which arrives in chunks of any size."""
    renderer = DIALECTS[dialect].client.stream_renderer(where)
    wire = b"".join(renderer.feed(event) for event in split_deltas(events, data))
    decoder = STREAM_FORMATS[DIALECTS[dialect].framing].new_decoder()
    found = [frame for chunk in split_bytes(wire, data) for frame in decoder.feed(chunk)]
    found += decoder.close()
    return [
        {**json.loads(frame.data), "#": frame.event} for frame in found if frame.data != b"[DONE]"
    ]


def both(
    dialect: str, response: Response, where: ResponseContext, data: st.DataObject
) -> tuple[list[Json], Json]:
    """Return a response streamed and not streamed."""
    body, _ = DIALECTS[dialect].client.render_response(response, where)
    return frames(dialect, unfold_response(response), where, data), json.loads(json.dumps(body))


def without_empty(value: Any) -> Any:
    """Return a value without fields that are null or empty."""
    if isinstance(value, dict):
        inner = {k: without_empty(v) for k, v in value.items() if k not in {"#"}}
        return {k: v for k, v in inner.items() if v not in (None, [], {}, "")}
    return [without_empty(v) for v in value] if isinstance(value, list) else value


displays = st.sampled_from(["none", "summary", "raw"])
many = settings(max_examples=30, deadline=None)


@pytest.mark.parametrize("field", ["reasoning_content", "both", "reasoning_details"])
@many
@given(responses(), displays, st.data())
def test_chat(field: str, response: Response, display: str, data: st.DataObject):
    where = context(display, reasoning_field=field)
    chunks, body = both("openai_chat", response, where, data)
    state: Any = ChatCompletionStreamState()
    for chunk in chunks:
        state.handle_chunk(construct_type(value=chunk, type_=ChatCompletionChunk))
    final = state.current_completion_snapshot.model_dump()
    final["object"] = "chat.completion"
    message = final["choices"][0]["message"]
    for call in message.get("tool_calls") or []:
        call.pop("index", None)
        (call.get("function") or {}).pop("parsed_arguments", None)
    for annotation in message.get("annotations") or []:
        annotation.pop("index", None)
    assert without_empty(final) == without_empty(body)


@many
@given(responses(), displays, st.data())
def test_completions(response: Response, display: str, data: st.DataObject):
    chunks, body = both("openai_completions", response, context(display), data)
    models: Any = [construct_type(value=chunk, type_=Completion) for chunk in chunks]
    texts_seen = [choice.text for model in models for choice in model.choices]
    reasons = [choice.finish_reason for model in models for choice in model.choices]
    [choice] = body["choices"]
    assert "".join(texts_seen) == choice["text"]
    assert [reason for reason in reasons if reason] == [choice["finish_reason"]]
    assert chunks[-1].get("usage") == body.get("usage")


@many
@given(responses(), displays, st.data())
def test_messages(response: Response, display: str, data: st.DataObject):
    events, body = both("anthropic_messages", response, context(display), data)
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for event in events:
        parsed_event: Any = TypeAdapter(RawMessageStreamEvent).validate_python(event)
        assert event["#"] == parsed_event.type
        snapshot = accumulate_event(
            event=parsed_event, current_snapshot=snapshot, json_bufs=buffers
        )
    assert without_empty(snapshot.to_dict()) == without_empty(body)


@many
@given(responses(), displays, st.data())
def test_responses(response: Response, display: str, data: st.DataObject):
    events, body = both("openai_responses", response, context(display), data)
    state: Any = ResponseStreamState(input_tools=[], text_format=NOT_GIVEN)
    for number, event in enumerate(events):
        assert event["sequence_number"] == number
        assert event["#"] == event["type"]
        parsed_event: Any = TypeAdapter(ResponseStreamEvent).validate_python(event)
        state.handle_event(parsed_event)
    assert events[-1]["response"]["output"] == [
        event["item"] for event in events if event["type"] == "response.output_item.done"
    ]
    assert without_empty(_without_ids(events[-1]["response"])) == without_empty(_without_ids(body))


def _without_ids(response: Json) -> Json:
    """Return a response without the ids of its items, which count from another number."""
    return response | {"output": [{**item, "id": ""} for item in response["output"]]}


@many
@given(responses(), displays, st.sampled_from(["sse", "array"]), st.data())
def test_gemini(response: Response, display: str, framing: Any, data: st.DataObject):
    where = context(display, framing=framing)
    body, _ = DIALECTS["gemini"].client.render_response(response, where)
    if framing == "array":
        renderer = DIALECTS["gemini"].client.stream_renderer(where)
        wire = b"".join(map(renderer.feed, split_deltas(unfold_response(response), data)))
        chunks = json.loads(wire)
    else:
        chunks = frames("gemini", unfold_response(response), where, data)
    merged: list[Json] = []
    for chunk in chunks:
        GenerateContentResponse.model_validate({k: v for k, v in chunk.items() if k != "#"})
        for part in chunk["candidates"][0]["content"]["parts"]:
            is_same = bool(merged) and merged[-1].keys() | part.keys() <= {"text", "thought"}
            if is_same and merged[-1].get("thought") == part.get("thought"):
                merged[-1]["text"] += part["text"]
            else:
                merged.append(dict(part))
    last = chunks[-1]["candidates"][0]
    whole = body["candidates"][0]
    assert _texts_joined(merged) == _texts_joined(whole["content"]["parts"])
    for name in ("finishReason", "finishMessage", "groundingMetadata", "citationMetadata"):
        assert last.get(name) == whole.get(name), name
    assert chunks[-1].get("usageMetadata") == body.get("usageMetadata")


def _texts_joined(parts: list[Json]) -> Any:
    """Return the visible text, the thoughts, and the other parts with all signatures in order."""
    texts_seen = "".join(p["text"] for p in parts if "text" in p and not p.get("thought"))
    thoughts = "".join(p["text"] for p in parts if p.get("thought") and "text" in p)
    signed = [p["thoughtSignature"] for p in parts if "thoughtSignature" in p]
    other = [p for p in parts if "text" not in p]
    return texts_seen, thoughts, signed, other


@pytest.mark.parametrize("endpoint", ["", GENERATE_PATH])
@many
@given(responses(), displays, st.data())
def test_ollama(endpoint: str, response: Response, display: str, data: st.DataObject):
    lines, body = both("ollama", response, context(display, endpoint=endpoint), data)
    message: Json = {}
    for line in lines:
        ChatResponse.model_validate(line) if not endpoint else GenerateResponse.model_validate(line)
        assert line["done"] is (line is lines[-1])
        fields = line.pop("message", None) or {
            k: line.pop(k) for k in ("response", "thinking", "tool_calls") if k in line
        }
        for name, value in fields.items():
            message[name] = value if name == "role" else message.get(name, type(value)()) + value
    final = lines[-1] | (message if endpoint else {"message": message})
    assert without_empty(final) == without_empty(body)


@many
@given(responses(), displays, st.data())
def test_cohere(response: Response, display: str, data: st.DataObject):
    events, body = both("cohere", response, context(display), data)
    content: list[Json] = []
    tool_calls: list[Json] = []
    citations: list[Json] = []
    for event in events:
        TypeAdapter(V2ChatStreamResponse).validate_python(event)
        assert event["#"] == event["type"]
        message = event.get("delta", {}).get("message", {})
        match event["type"]:
            case "content-start":
                assert event["index"] == len(content)
                content.append(message["content"])
            case "content-delta":
                for name, text in message["content"].items():
                    content[event["index"]][name] += text
            case "tool-call-start":
                assert event["index"] == len(tool_calls)
                tool_calls.append(message["tool_calls"])
            case "tool-call-delta":
                function = tool_calls[event["index"]]["function"]
                function["arguments"] += message["tool_calls"]["function"]["arguments"]
            case "citation-start":
                citations.append(message["citations"])
    end = events[-1]["delta"]
    final = {"content": content, "tool_calls": tool_calls, "citations": citations}
    expected = body["message"]
    if "tool_plan" in expected:
        # A whole message with calls has its text as the plan.
        plan = [each["text"] for each in content if each["type"] == "text"]
        assert "\n\n".join(plan) == expected["tool_plan"]
        final["content"] = [each for each in content if each["type"] != "text"]
        final["citations"] = expected.get("citations", [])
    expected = {k: v for k, v in expected.items() if k not in {"role", "tool_plan"}}
    assert without_empty(final) == without_empty(expected)
    assert end["finish_reason"] == body["finish_reason"]
    assert without_empty(end["usage"]) == without_empty(body.get("usage", {}))


@many
@given(responses(), displays, st.data())
def test_converse(response: Response, display: str, data: st.DataObject):
    events, body = both("bedrock_converse", response, context(display), data)
    content: list[Json] = []
    for event in events:
        index = event.get("contentBlockIndex")
        match event["#"]:
            case "contentBlockStart":
                assert index == len(content)
                content.append({"toolUse": {**event["start"]["toolUse"], "input": ""}})
            case "contentBlockDelta":
                if index == len(content):
                    content.append({})
                _merge_delta(content[index], event["delta"])
    for block in content:
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(block["toolUse"]["input"])
        if "citations" in block:
            cited: Json = {"content": [{"text": block.pop("text")}]}
            block["citationsContent"] = cited | {"citations": block.pop("citations")}
    expected = body["output"]["message"]["content"]
    assert without_empty(content) == without_empty(expected)
    assert events[-2]["stopReason"] == body["stopReason"]
    assert events[-1]["usage"] == body["usage"]


def _merge_delta(block: Json, delta: Json) -> None:
    """Add a delta of Converse to its block."""
    if "text" in delta:
        block["text"] = block.get("text", "") + delta["text"]
    if "toolUse" in delta:
        block["toolUse"]["input"] += delta["toolUse"]["input"]
    if "citation" in delta:
        block.setdefault("citations", []).append(delta["citation"])
    reasoning = delta.get("reasoningContent", {})
    if "redactedContent" in reasoning:
        block["reasoningContent"] = reasoning
    elif reasoning:
        text = block.setdefault("reasoningContent", {}).setdefault("reasoningText", {"text": ""})
        text["text"] += reasoning.get("text", "")
        if "signature" in reasoning:
            text["signature"] = reasoning["signature"]
