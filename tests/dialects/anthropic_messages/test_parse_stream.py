"""Provider streams are parsed into canonical events, even if the provider deviates."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.canon.events import (
    BlockEnd,
    BlockStart,
    Delta,
    Failed,
    SignatureDelta,
)
from gateway.canon.request import Native, Reasoning, Signature, Text, ToolCall
from gateway.canon.response import Finish
from gateway.dialects.anthropic_messages import DIALECT
from gateway.dialects.base import RenderedRequest
from gateway.framing.sse import Frame
from tests.dialects.anthropic_messages.make import (
    OVER,
    block_start_frame,
    block_stop_frame,
    delta,
    events,
    frame,
    message_start_frame,
    rendered_frames,
    response_from,
    stop_reason_frame,
    text_delta,
    traits,
)

TOOL = {"type": "tool_use", "id": "c1", "name": "f", "input": {}}


def failure(*frames: Frame) -> str:
    """Return the error kind that a stream ends with."""
    last = events(*frames)[-1]
    assert isinstance(last, Failed)
    return last.error.kind


def test_a_stream_is_parsed_incrementally():
    streamed_events = events(
        message_start_frame(),
        block_start_frame(),
        text_delta("a"),
        text_delta("b"),
        block_stop_frame(),
        stop_reason_frame(),
        OVER,
    )
    assert [type(event).__name__ for event in streamed_events] == [
        "Start",
        "BlockStart",
        "Delta",
        "Delta",
        "BlockEnd",
        "UsageUpdate",
        "End",
    ]


def test_deltas_are_emitted_one_by_one():
    parser = DIALECT.provider.stream_parser(traits(), None)
    parser.feed(message_start_frame())
    parser.feed(block_start_frame())
    assert parser.feed(text_delta("a")) == [Delta("a")]
    assert parser.feed(delta(type="text_delta", text="")) == []


def test_usage_of_message_start_and_message_delta_is_merged():
    first = {
        "input_tokens": 30,
        "cache_read_input_tokens": 60,
        "cache_creation_input_tokens": 10,
        "output_tokens": 1,
    }
    last = {"output_tokens": 25, "output_tokens_details": {"thinking_tokens": 7}}
    usage = response_from(
        message_start_frame(usage=first), stop_reason_frame(usage=last), OVER
    ).usage
    assert usage is not None
    assert (usage.input, usage.cache_read, usage.cache_write) == (30, 60, 10)
    assert (usage.output, usage.reasoning, usage.prompt_tokens) == (25, 7, 100)


@pytest.mark.parametrize(
    ("first", "last", "count"),
    [
        ({"input_tokens": 0}, {"input_tokens": 9, "output_tokens": 1}, 9),
        ({"input_tokens": 9}, {"input_tokens": 0, "output_tokens": 1}, 9),
        ({"input_tokens": 9}, {"input_tokens": None, "output_tokens": 1}, 9),
        (None, {"output_tokens": 1}, None),
        ("many", {"input_tokens": "many", "output_tokens": 1}, None),
    ],
    ids=["late", "early", "null", "never", "no numbers"],
)
def test_token_counts_are_read_from_any_event(first: Any, last: Any, count: int | None):
    usage = response_from(
        message_start_frame(usage=first), stop_reason_frame(usage=last), OVER
    ).usage
    assert usage is not None
    assert usage.input == count


@pytest.mark.parametrize(
    "last",
    [
        {"output_tokens": 5},
        {"output_tokens": 5, "cache_creation": None},
        {"output_tokens": 5, "cache_creation": {"ephemeral_1h_input_tokens": 0}},
        {"output_tokens": 5, "cache_creation": {"ephemeral_5m_input_tokens": 4}},
    ],
    ids=["never", "null", "zero", "other lifetime"],
)
def test_tokens_written_for_an_hour_are_read_from_any_event(last: dict[str, Any]):
    split = {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 6}
    first = {"input_tokens": 9, "cache_creation_input_tokens": 10, "cache_creation": split}
    usage = response_from(
        message_start_frame(usage=first), stop_reason_frame(usage=last), OVER
    ).usage
    assert usage is not None
    assert (usage.cache_write, usage.cache_write_1h) == (10, 6)


def test_without_any_usage_nothing_is_counted():
    assert response_from(message_start_frame(), stop_reason_frame(usage=None), OVER).usage is None


def test_reasoning_gets_a_signature_with_its_origin_at_the_end():
    response = response_from(
        message_start_frame(),
        block_start_frame(type="thinking", thinking="", signature=""),
        delta(type="thinking_delta", thinking="hm"),
        delta(type="signature_delta", signature="S"),
        block_stop_frame(),
        block_start_frame(1, type="redacted_thinking", data="D"),
        block_stop_frame(1),
        stop_reason_frame(),
        OVER,
        preset="anthropic",
        model="claude",
    )
    origin = {"provider": "anthropic", "model": "claude"}
    assert response.parts == (
        Reasoning(text="hm", signature=Signature(**origin, value="S")),
        Reasoning(redacted=True, signature=Signature(**origin, kind="redacted", value="D")),
    )


def test_reasoning_without_a_known_origin_names_the_streams_model():
    frames = (
        message_start_frame(),
        block_start_frame(type="thinking", thinking="t"),
        block_stop_frame(),
        stop_reason_frame(),
        OVER,
    )
    signed = next(e for e in events(*frames, model="") if isinstance(e, SignatureDelta))
    assert signed.signature.model == "m"


@pytest.mark.parametrize(
    "frames",
    [
        (
            block_start_frame(**TOOL),
            delta(type="input_json_delta", partial_json='{"a":1}'),
            block_stop_frame(),
        ),
        (
            block_start_frame(**TOOL),
            delta(type="input_json_delta", partial_json=""),
            delta(type="input_json_delta", partial_json='{"a"'),
            delta(type="input_json_delta", partial_json=":1}"),
            block_stop_frame(),
        ),
        (block_start_frame(**{**TOOL, "input": {"a": 1}}), block_stop_frame()),
        (
            block_start_frame(**{**TOOL, "input": {"a": 1}}),
            delta(type="input_json_delta", partial_json='{"a":1}'),
            block_stop_frame(),
        ),
    ],
    ids=["one delta", "several", "whole at the start", "both"],
)
def test_the_input_of_a_tool_is_read(frames: tuple[Frame, ...]):
    response = response_from(message_start_frame(), *frames, stop_reason_frame("tool_use"), OVER)
    assert response.parts == (ToolCall(id="c1", name="f", arguments={"a": 1}),)
    assert response.finish.reason == "tool"


def test_a_tool_without_input_has_no_arguments():
    response = response_from(
        message_start_frame(),
        block_start_frame(**TOOL),
        block_stop_frame(),
        stop_reason_frame("tool_use"),
        OVER,
    )
    assert response.parts == (ToolCall(id="c1", name="f", arguments={}),)


def test_tool_names_are_restored_for_the_client():
    rendered_request = RenderedRequest(body={}, client_names={"f": "a.b"})
    frames = (
        message_start_frame(),
        block_start_frame(**TOOL),
        block_stop_frame(),
        stop_reason_frame("tool_use"),
        OVER,
    )
    (call,) = response_from(*frames, rendered_request=rendered_request).parts
    assert isinstance(call, ToolCall)
    assert call.name == "a.b"


@pytest.mark.parametrize(
    ("fragments", "raw"),
    [('{"input":"*** Begin"}', "*** Begin"), ("{half", "{half"), ('{"x":1}', ""), ("", "")],
)
def test_a_free_text_tool_gets_its_text_back(fragments: str, raw: str):
    rendered_request = RenderedRequest(body={}, custom_tools=frozenset({"f"}))
    pieces = [delta(type="input_json_delta", partial_json=piece) for piece in fragments]
    frames = (
        message_start_frame(),
        block_start_frame(**TOOL),
        *pieces,
        block_stop_frame(),
        stop_reason_frame("tool_use"),
        OVER,
    )
    assert response_from(*frames, rendered_request=rendered_request).parts == (
        ToolCall(id="c1", name="f", raw_arguments=raw, custom=True),
    )


def test_citations_belong_to_their_text():
    cited = {"type": "char_location", "cited_text": "q", "document_title": "t"}
    response = response_from(
        message_start_frame(),
        block_start_frame(),
        text_delta("a"),
        delta(type="citations_delta", citation=cited),
        block_stop_frame(),
        stop_reason_frame(),
        OVER,
    )
    (part,) = response.parts
    assert isinstance(part, Text)
    assert [citation.native for citation in part.citations] == [cited]


def test_blocks_of_a_server_tool_are_preserved():
    use = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    fields = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}
    response = response_from(
        message_start_frame(),
        block_start_frame(**use),
        delta(type="input_json_delta", partial_json='{"query":"x"}'),
        block_stop_frame(),
        block_start_frame(1, **fields),
        block_stop_frame(1),
        stop_reason_frame(),
        OVER,
    )
    assert response.parts == (
        Native(dialect="anthropic_messages", data={**use, "input": {"query": "x"}}),
        Native(dialect="anthropic_messages", data=fields),
    )
    assert response.finish.reason == "stop"


@pytest.mark.parametrize(
    ("delta_fields", "expected"),
    [
        ({"stop_reason": "end_turn"}, Finish(reason="stop")),
        ({"stop_reason": "max_tokens"}, Finish(reason="length")),
        (
            {"stop_reason": "stop_sequence", "stop_sequence": "END"},
            Finish(reason="stop_sequence", stop_sequence="END"),
        ),
        ({"stop_reason": "pause_turn"}, Finish(reason="pause")),
        ({"stop_reason": "model_context_window_exceeded"}, Finish(reason="context")),
        ({"stop_reason": "tool_use"}, Finish(reason="stop")),
        ({"stop_reason": "of_next_year"}, Finish(reason="stop", unknown="of_next_year")),
        (
            {
                "stop_reason": "refusal",
                "stop_details": {"type": "refusal", "category": "bio", "explanation": "no"},
            },
            Finish(reason="refusal", category="bio", explanation="no"),
        ),
    ],
    ids=lambda value: value["stop_reason"] if isinstance(value, dict) else "",
)
def test_the_stop_reason_is_parsed(delta_fields: dict[str, Any], expected: Finish):
    last = frame("message_delta", delta=delta_fields, usage={"output_tokens": 1})
    assert response_from(message_start_frame(), last, OVER).finish == expected


def test_a_call_without_the_tool_use_stop_reason_ends_for_tools():
    response = response_from(
        message_start_frame(),
        block_start_frame(**TOOL),
        block_stop_frame(),
        stop_reason_frame("end_turn"),
        OVER,
    )
    assert response.finish.reason == "tool"


# --- foreign wire ----------------------------------------------------------------------


def test_interleaved_blocks_are_serialized():
    response = response_from(
        message_start_frame(),
        block_start_frame(0, **TOOL),
        block_start_frame(1, **{**TOOL, "id": "c2"}),
        delta(1, type="input_json_delta", partial_json='{"b":'),
        delta(0, type="input_json_delta", partial_json='{"a":'),
        delta(1, type="input_json_delta", partial_json="2}"),
        block_start_frame(2),
        block_stop_frame(1),
        text_delta("text", 2),
        delta(0, type="input_json_delta", partial_json="1}"),
        block_stop_frame(0),
        block_stop_frame(2),
        stop_reason_frame("tool_use"),
        OVER,
    )
    assert response.parts == (
        ToolCall(id="c1", name="f", arguments={"a": 1}),
        ToolCall(id="c2", name="f", arguments={"b": 2}),
        Text(text="text"),
    )


def test_a_buffered_block_streams_once_the_previous_one_ends():
    parser = DIALECT.provider.stream_parser(traits(), None)
    for item in (
        message_start_frame(),
        block_start_frame(0),
        block_start_frame(1),
        text_delta("b", 1),
    ):
        parser.feed(item)
    assert parser.feed(text_delta("a", 0)) == [Delta("a")]
    assert parser.feed(block_stop_frame(0)) == [BlockEnd(), BlockStart(kind="text"), Delta("b")]
    assert parser.feed(text_delta("c", 1)) == [Delta("c")]


@pytest.mark.parametrize(
    "frames",
    [
        (message_start_frame(), text_delta("a"), block_stop_frame(), stop_reason_frame(), OVER),
        (block_start_frame(), text_delta("a"), block_stop_frame(), stop_reason_frame(), OVER),
        (message_start_frame(), block_start_frame(), text_delta("a"), stop_reason_frame(), OVER),
        (
            message_start_frame(),
            block_start_frame(),
            text_delta("a"),
            block_stop_frame(),
            stop_reason_frame(),
        ),
        (message_start_frame(), block_start_frame(), text_delta("a"), stop_reason_frame()),
        (message_start_frame(), block_start_frame(), text_delta("a"), block_stop_frame(), OVER),
        (
            message_start_frame(),
            block_start_frame(type="text", text="a"),
            block_stop_frame(),
            stop_reason_frame(),
            OVER,
        ),
        (
            message_start_frame(),
            block_start_frame(),
            delta(text="a"),
            block_stop_frame(),
            stop_reason_frame(),
            OVER,
        ),
        (
            message_start_frame(),
            frame("content_block_start", content_block={"type": "text"}),
            frame("content_block_delta", delta={"type": "text_delta", "text": "a"}),
            frame("content_block_stop"),
            stop_reason_frame(),
            OVER,
        ),
        (
            message_start_frame(),
            block_start_frame(),
            text_delta("a"),
            block_stop_frame(),
            stop_reason_frame(),
            OVER,
            text_delta("b"),
            OVER,
        ),
        (
            message_start_frame(),
            message_start_frame(),
            block_start_frame(),
            text_delta("a"),
            block_stop_frame(),
            block_stop_frame(),
            stop_reason_frame(),
            OVER,
        ),
        (
            message_start_frame(),
            frame("ping"),
            frame("of_next_year", x=1),
            block_start_frame(),
            text_delta("a"),
            delta(type="of_next_year", words="b"),
            Frame("", b'{"type":"content_block_stop","index":0}'),
            Frame("message_delta", b'{"delta":{"stop_reason":"end_turn"}}'),
            Frame("", b"[DONE]"),
            OVER,
        ),
    ],
    ids=[
        "delta before its block",
        "no message_start",
        "no block stop",
        "no message_stop",
        "no stop at all but a reason",
        "no reason but message_stop",
        "words in the start",
        "delta without a type",
        "no indexes",
        "more after the end",
        "everything twice",
        "unknown and unnamed events",
    ],
)
def test_minor_grammar_errors_of_a_server_are_tolerated(frames: tuple[Frame, ...]):
    assert response_from(*frames).parts == (Text(text="a"),)


def test_a_different_content_kind_begins_a_new_block():
    response = response_from(
        message_start_frame(),
        block_start_frame(type="thinking", thinking=""),
        delta(type="thinking_delta", thinking="hm"),
        text_delta("a"),
        block_stop_frame(),
        stop_reason_frame(),
        OVER,
    )
    assert [type(part).__name__ for part in response.parts] == ["Reasoning", "Text"]


@pytest.mark.parametrize(
    "frames",
    [
        (),
        (message_start_frame(),),
        (message_start_frame(), block_start_frame(), text_delta("a")),
        (message_start_frame(), block_start_frame(), text_delta("a"), block_stop_frame()),
        (
            message_start_frame(),
            block_start_frame(),
            text_delta("a"),
            block_stop_frame(),
            stop_reason_frame(None),
        ),
    ],
    ids=["nothing", "a start", "an open block", "a closed block", "no reason"],
)
def test_a_cut_stream_ends_in_an_error(frames: tuple[Frame, ...]):
    assert failure(*frames) == "upstream_error"


@pytest.mark.parametrize(
    "last",
    [
        Frame("", b"<html>"),
        Frame("content_block_delta", b'{"type":"content_block_delta","ind'),
        Frame("", b"\xff\xfe"),
        Frame("", b"[1]"),
        Frame("", b"null"),
        frame("content_block_start", index=0, content_block="text"),
        frame("content_block_delta", index=0, delta="a"),
        delta(type="text_delta", text=5),
        delta(type="input_json_delta", partial_json="{}"),
        delta(1, type="input_json_delta", partial_json="{}"),
    ],
    ids=[
        "html",
        "torn",
        "no UTF-8",
        "a list",
        "null",
        "block that is a string",
        "delta that is a string",
        "words that are a number",
        "input in a text block",
        "input of no block",
    ],
)
def test_invalid_json_in_a_stream_ends_in_an_error(last: Frame):
    assert (
        failure(
            message_start_frame(),
            block_start_frame(),
            text_delta("a"),
            last,
            block_stop_frame(),
            stop_reason_frame(),
            OVER,
        )
        == "upstream_error"
    )


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"type": "overloaded_error", "message": "Overloaded"}, "overloaded"),
        ({"type": "rate_limit_error", "message": "slow"}, "rate_limit"),
        ({"type": "api_error", "message": "x"}, "upstream_error"),
        ({"type": "authentication_error", "message": "x"}, "upstream_auth"),
        ({"type": "timeout_error", "message": "x"}, "timeout"),
        ({"type": "invalid_request_error", "message": "prompt is too long: 9"}, "context_length"),
        ({"message": "x"}, "upstream_error"),
        ("gone", "upstream_error"),
    ],
    ids=str,
)
def test_an_error_event_ends_the_stream(error: Any, kind: str):
    assert (
        failure(
            message_start_frame(),
            block_start_frame(),
            text_delta("a"),
            frame("error", error=error),
            stop_reason_frame(),
        )
        == kind
    )


def test_an_error_in_another_providers_shape_ends_the_stream_too():
    assert failure(Frame("", b'{"error":{"message":"no"}}')) == "upstream_error"


def test_the_response_has_its_id_model_tier_and_own_fields():
    response = response_from(
        message_start_frame(usage={"service_tier": "standard"}, container={"id": "x"}),
        stop_reason_frame(),
        OVER,
    )
    assert (response.id, response.model, response.service_tier) == ("msg_u", "m", "default")
    assert response.extra == {"anthropic_messages": {"container": {"id": "x"}}}


def test_the_last_events_own_fields_belong_to_the_response():
    edits = {"applied_edits": [{"type": "clear_tool_uses_20250919"}]}
    delta = {"stop_reason": "end_turn", "stop_sequence": None, "container": {"id": "y"}}
    stop = frame("message_delta", delta=delta, usage={}, context_management=edits)
    started = message_start_frame(container={"id": "x"}, diagnostics={"d": 1})
    own_fields = {
        "container": {"id": "y"},
        "diagnostics": {"d": 1},
        "context_management": edits,
    }
    response = response_from(started, stop, OVER)
    assert response.extra == {"anthropic_messages": own_fields}
    sent = rendered_frames(events(started, stop, OVER))
    assert sent[0][1]["message"]["container"] == {"id": "x"}
    last = sent[-2][1]
    assert last["delta"]["container"] == {"id": "y"}
    assert last["context_management"] == edits
    assert "diagnostics" not in last
