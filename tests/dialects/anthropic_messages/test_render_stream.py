"""Streams for clients follow Anthropic's stream grammar."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.canon.errors import Error
from gateway.canon.events import (
    BlockEnd,
    BlockStart,
    CitationDelta,
    Delta,
    End,
    Event,
    Failed,
    NativeDelta,
    SignatureDelta,
    Start,
    UsageUpdate,
)
from gateway.canon.request import Citation, Signature
from gateway.canon.response import Finish, Usage
from gateway.canon.signature import unwrap_signature
from gateway.dialects.anthropic_messages import DIALECT
from gateway.framing.sse import Decoder
from tests.dialects.anthropic_messages.make import (
    rendered_bytes,
    rendered_frames,
    reported_fields,
    response_context,
)

NO_USAGE = {"input_tokens": 0, "output_tokens": 0}
STOP = End(Finish(reason="stop"))


def stream_of(*events: Event) -> list[Event]:
    """Return a whole stream of these events."""
    return [Start(), *events, STOP]


def blocks(*events: Event, **fields: Any) -> list[tuple[str, Any]]:
    """Return the frames between the start and the end of the message."""
    return rendered_frames(stream_of(*events), **fields)[1:-2]


def deltas(*events: Event, **fields: Any) -> list[dict[str, Any]]:
    """Return the rendered deltas."""
    actual_blocks = blocks(*events, **fields)
    return [data["delta"] for name, data in actual_blocks if name == "content_block_delta"]


def test_a_plain_stream_is_printed_byte_for_byte():
    usage = UsageUpdate(Usage(input=6, cache_read=4, output=8, reasoning=6))
    stream = [Start(), BlockStart(kind="text"), Delta("42"), BlockEnd(), usage, STOP]
    assert rendered_bytes(stream).decode() == (
        'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1",'
        '"type":"message","role":"assistant","model":"gw-x","content":[],"stop_reason":null,'
        '"stop_sequence":null,"usage":{"input_tokens":0,"output_tokens":0}}}\n\n'
        'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
        '"content_block":{"type":"text","text":""}}\n\n'
        'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        '"delta":{"type":"text_delta","text":"42"}}\n\n'
        'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
        'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn",'
        '"stop_sequence":null},"usage":{"input_tokens":6,"cache_read_input_tokens":4,'
        '"cache_creation_input_tokens":0,"output_tokens":8,'
        '"output_tokens_details":{"thinking_tokens":6}}}\n\n'
        'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    )


def test_usage_known_at_the_start_is_sent_in_message_start():
    (_, first), *_ = rendered_frames([Start(usage=Usage(input=3, output=1)), STOP])
    assert first["message"]["usage"]["input_tokens"] == 3


def test_a_later_count_replaces_an_earlier_one():
    stream = [Start(usage=Usage(input=3, output=1)), UsageUpdate(Usage(output=9)), STOP]
    _, data = rendered_frames(stream)[-2]
    assert (data["usage"]["input_tokens"], data["usage"]["output_tokens"]) == (3, 9)


def test_cache_writes_are_reported_by_lifetime():
    _, data = rendered_frames([Start(), UsageUpdate(Usage(cache_write=5, cache_write_1h=2)), STOP])[
        -2
    ]
    split = {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 2}
    assert data["usage"]["cache_creation"] == split


def test_reasoning_ends_with_one_signature():
    state = Signature(provider="deepseek", model="up", kind="text")
    actual_deltas = deltas(
        BlockStart(kind="reasoning"), Delta("a"), Delta("b"), SignatureDelta(state), BlockEnd()
    )
    assert [item["type"] for item in actual_deltas] == [
        "thinking_delta",
        "thinking_delta",
        "signature_delta",
    ]
    assert unwrap_signature(actual_deltas[-1]["signature"]) == state


@pytest.mark.parametrize("thought", [(), (Delta("a"),)], ids=["without words", "with words"])
def test_unsigned_reasoning_gets_a_signature(thought: tuple[Event, ...]):
    actual_deltas = deltas(BlockStart(kind="reasoning"), *thought, BlockEnd())
    assert actual_deltas[-1]["type"] == "signature_delta"
    assert unwrap_signature(actual_deltas[-1]["signature"]) is not None


def test_hidden_reasoning_has_only_its_signature():
    stream = (
        BlockStart(kind="reasoning"),
        Delta("a"),
        SignatureDelta(Signature(value="S")),
        BlockEnd(),
    )
    actual_deltas = deltas(*stream, reasoning_display="none")
    assert [item["type"] for item in actual_deltas] == ["signature_delta"]


def test_redacted_thinking_contains_a_state_token():
    state = Signature(provider="p", model="m", kind="redacted", value="D")
    actual_blocks = blocks(
        BlockStart(kind="reasoning", redacted=True), SignatureDelta(state), BlockEnd()
    )
    assert [name for name, _ in actual_blocks] == ["content_block_start", "content_block_stop"]
    block = actual_blocks[0][1]["content_block"]
    assert block["type"] == "redacted_thinking"
    assert unwrap_signature(block["data"]) == state


@pytest.mark.parametrize(
    ("text", "pieces"),
    [([], ["{}"]), (["{}"], ["{}"]), (['{"a"', ":1}"], ['{"a"', ":1}"])],
    ids=["none", "empty object", "two pieces"],
)
def test_the_input_of_a_call_is_rendered(text: list[str], pieces: list[str]):
    call = BlockStart(kind="tool_call", id="c1", name="f")
    actual_blocks = blocks(call, *map(Delta, text), BlockEnd())
    opened_block = {"type": "tool_use", "id": "c1", "name": "f", "input": {}}
    assert actual_blocks[0][1]["content_block"] == opened_block
    assert [data["delta"]["partial_json"] for _, data in actual_blocks[1:-1]] == pieces


@pytest.mark.parametrize("text", [[], ['a"b\n', "\\"]], ids=["none", "needs escaping"])
def test_a_free_text_call_is_one_string_of_json(text: list[str]):
    call = BlockStart(kind="tool_call", id="c1", name="f", custom=True)
    actual_deltas = deltas(call, *map(Delta, text), BlockEnd())
    assert json.loads("".join(item["partial_json"] for item in actual_deltas)) == {
        "input": "".join(text)
    }


def test_an_id_that_is_illegal_here_is_rewritten():
    actual_blocks = blocks(BlockStart(kind="tool_call", id="call:1", name="f"), BlockEnd())
    assert actual_blocks[0][1]["content_block"]["id"] == "call_1"


def test_arguments_that_are_no_json_are_reported():
    renderer = DIALECT.client.stream_renderer(response_context())
    for event in stream_of(
        BlockStart(kind="tool_call", id="c", name="f"), Delta("{half"), BlockEnd()
    ):
        renderer.feed(event)
    assert reported_fields(renderer.report) == [("content[0]", "approximated")]


def test_reasoning_state_of_a_call_without_a_field_is_reported():
    renderer = DIALECT.client.stream_renderer(response_context())
    call = BlockStart(kind="tool_call", id="c", name="f")
    for event in stream_of(call, SignatureDelta(Signature(value="S")), BlockEnd()):
        renderer.feed(event)
    assert reported_fields(renderer.report) == [("content[0].signature", "dropped")]


def test_a_refusal_is_text_that_ends_in_a_refusal():
    stream = stream_of(BlockStart(kind="refusal"), Delta("no"), BlockEnd())
    frames = rendered_frames(stream)
    assert frames[2][1]["delta"] == {"type": "text_delta", "text": "no"}
    assert frames[-2][1]["delta"]["stop_reason"] == "refusal"


def test_sources_are_printed_as_they_came_or_as_a_web_search():
    native = {"type": "char_location", "cited_text": "q"}
    native_citation = CitationDelta(Citation(dialect="anthropic_messages", native=native))
    theirs = CitationDelta(Citation(url="https://x", title="t", quote="q", dialect="openai_chat"))
    actual_deltas = deltas(BlockStart(kind="text"), Delta("a"), native_citation, theirs, BlockEnd())
    assert actual_deltas[1] == {"type": "citations_delta", "citation": native}
    assert actual_deltas[2]["citation"]["type"] == "web_search_result_location"
    assert actual_deltas[2]["citation"]["url"] == "https://x"


def test_a_source_without_a_url_is_reported():
    renderer = DIALECT.client.stream_renderer(response_context())
    cited = CitationDelta(Citation(title="t", dialect="cohere"))
    for event in stream_of(BlockStart(kind="text"), Delta("a"), cited, BlockEnd()):
        renderer.feed(event)
    assert reported_fields(renderer.report) == [("content[0].citations", "dropped")]


def test_own_native_blocks_are_printed_and_others_leave_no_gap():
    use = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    json_delta = {"type": "input_json_delta", "partial_json": "{}"}
    actual_blocks = blocks(
        BlockStart(kind="native", dialect="gemini", native={"type": "video"}),
        NativeDelta({"x": 1}),
        BlockEnd(),
        BlockStart(kind="native", dialect="anthropic_messages", native=use),
        NativeDelta(json_delta),
        BlockEnd(),
        BlockStart(kind="text"),
        BlockEnd(),
    )
    assert [data["index"] for _, data in actual_blocks] == [0, 0, 0, 1, 1]
    assert actual_blocks[0][1]["content_block"] == use
    assert actual_blocks[1][1]["delta"] == json_delta


@pytest.mark.parametrize(
    ("finish", "delta"),
    [
        (Finish(reason="length"), {"stop_reason": "max_tokens", "stop_sequence": None}),
        (
            Finish(reason="stop_sequence", stop_sequence="END"),
            {"stop_reason": "stop_sequence", "stop_sequence": "END"},
        ),
        (Finish(reason="tool"), {"stop_reason": "tool_use", "stop_sequence": None}),
        (Finish(reason="pause"), {"stop_reason": "pause_turn", "stop_sequence": None}),
        (Finish(reason="filter"), {"stop_reason": "refusal", "stop_sequence": None}),
        (
            Finish(reason="context"),
            {"stop_reason": "model_context_window_exceeded", "stop_sequence": None},
        ),
        (
            Finish(reason="refusal", category="bio", explanation="no"),
            {
                "stop_reason": "refusal",
                "stop_sequence": None,
                "stop_details": {"type": "refusal", "category": "bio", "explanation": "no"},
            },
        ),
    ],
    ids=lambda value: value.reason if isinstance(value, Finish) else "",
)
def test_the_end_event_has_the_stop_reason(finish: Finish, delta: dict[str, Any]):
    assert rendered_frames([Start(), End(finish)])[-2][1]["delta"] == delta


@pytest.mark.parametrize(
    "last",
    [
        Failed(Error(kind="overloaded", message="Overloaded")),
        End(Finish(reason="malformed", explanation="Overloaded")),
    ],
    ids=["failed", "malformed"],
)
def test_a_broken_stream_ends_in_an_error_and_nothing_else(last: Event):
    renderer = DIALECT.client.stream_renderer(response_context())
    renderer.feed(Start())
    renderer.feed(BlockStart(kind="text"))
    data = renderer.feed(last)
    name, body = data.decode().split("\n")[:2]
    assert name == "event: error"
    assert json.loads(body.removeprefix("data: "))["error"]["message"] == "Overloaded"
    assert renderer.feed(Delta("more")) == b""
    assert renderer.feed(STOP) == b""


def test_stream_text_may_contain_any_characters():
    text = 'a"\\\n\u2028\x00é😀'
    (delta,) = deltas(BlockStart(kind="text"), Delta(text), BlockEnd())
    assert delta["text"] == text


def test_an_unknown_usage_is_zero_as_the_api_demands_numbers():
    assert rendered_frames([Start(), STOP])[-2][1]["usage"] == NO_USAGE


@pytest.mark.parametrize("more", ["}", '{"a": 1}', " Done."])
def test_text_after_the_arguments_does_not_reach_the_sdk(more: str) -> None:
    """Anthropic's TypeScript SDK ends the stream with an error at text after the object."""
    renderer = DIALECT.client.stream_renderer(response_context())
    fragments = ['{"a"', ": 1}" + more, more]
    call = [BlockStart(kind="tool_call", id="c", name="f"), *map(Delta, fragments), BlockEnd()]
    frames = Decoder().feed(b"".join(map(renderer.feed, stream_of(*call))))
    sent = [json.loads(frame.data)["delta"] for frame in frames if "block_delta" in frame.event]
    assert "".join(delta["partial_json"] for delta in sent) == '{"a": 1}'
    assert reported_fields(renderer.report) == [("content[0]", "approximated")]
