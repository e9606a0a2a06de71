"""Rendering of canonical events for a Chat client."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.canon.errors import Error, GatewayError
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
from gateway.canon.fold import fold_events
from gateway.canon.logprobs import logprobs_extra
from gateway.canon.request import Citation, Signature, Text
from gateway.canon.response import Finish, Response, Usage
from gateway.canon.signature import unwrap_signature
from gateway.dialects.openai_chat import DIALECT
from tests.dialects.openai_chat.make import rendered_frames, reported_fields, response_context

HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "up"}
STOP = End(Finish(reason="stop"))


def block(kind: Any, *deltas: str, **fields: Any) -> list[Event]:
    """Return a block of these deltas."""
    return [BlockStart(kind=kind, **fields), *map(Delta, deltas), BlockEnd()]


def deltas(*events: Event, end: Event = STOP, **fields: Any) -> list[Any]:
    """Return the deltas between the first and the last chunk."""
    frames = rendered_frames([Start(), *events, end], **fields)
    assert frames[-1] == "[DONE]"
    return [frame["choices"][0]["delta"] for frame in frames[1:-2]]


def rendered_choice(*events: Event, end: Event = STOP, **fields: Any) -> dict[str, Any]:
    """Return the choice of the same response, rendered whole."""
    response = fold_events([Start(), *events, end])
    return DIALECT.client.render_response(response, response_context(**fields))[0]["choices"][0]


def test_a_stream_begins_with_the_role_and_ends_with_done():
    frames = rendered_frames([Start(), *block("text", "hi"), STOP])
    choice = {"index": 0, "finish_reason": None}
    assert frames == [
        {**HEAD, "choices": [{**choice, "delta": {"role": "assistant", "content": ""}}]},
        {**HEAD, "choices": [{**choice, "delta": {"content": "hi"}}]},
        {**HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        "[DONE]",
    ]


def test_text_with_characters_that_json_escapes_is_unchanged():
    nasty = 'a"b\\c\n\u2028\x00😀</script>'
    assert deltas(*block("text", nasty)) == [{"content": nasty}]


@pytest.mark.parametrize(
    ("fields", "expected_value"),
    [
        ({}, [{"reasoning_content": "hm"}]),
        ({"reasoning_field": "reasoning"}, [{"reasoning": "hm"}]),
        ({"reasoning_field": "both"}, [{"reasoning_content": "hm", "reasoning": "hm"}]),
        ({"reasoning_field": "none"}, []),
        ({"reasoning_display": "none"}, []),
    ],
    ids=["by default", "another field", "both fields", "no field", "hidden"],
)
def test_reasoning_is_rendered_as_the_route_configures(
    fields: dict[str, Any], expected_value: list[Any]
):
    thought = block("reasoning", "hm")
    assert deltas(*thought, **fields) == expected_value
    message = rendered_choice(*thought, **fields)["message"]
    expected = expected_value[0] if expected_value else {}
    assert {k: v for k, v in message.items() if "reason" in k} == expected


def test_calls_are_numbered_among_themselves():
    events = [
        *block("text", "a"),
        *block("tool_call", '{"x":', "1}", id="c1", name="f"),
        *block("tool_call", id="c2", name="g"),
    ]
    first = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}
    second = {
        "index": 1,
        "id": "c2",
        "type": "function",
        "function": {"name": "g", "arguments": ""},
    }
    assert deltas(*events)[1:] == [
        {"tool_calls": [first]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"x":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]},
        {"tool_calls": [second]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
    ]
    calls = rendered_choice(*events)["message"]["tool_calls"]
    assert [call["function"]["arguments"] for call in calls] == ['{"x":1}', "{}"]


def test_a_custom_call_renders_its_text():
    events = block("tool_call", "ls", id="c", name="sh", custom=True)
    assert deltas(*events) == [
        {
            "tool_calls": [
                {"index": 0, "id": "c", "type": "custom", "custom": {"name": "sh", "input": ""}}
            ]
        },
        {"tool_calls": [{"index": 0, "custom": {"input": "ls"}}]},
    ]
    assert rendered_choice(*events)["message"]["tool_calls"] == [
        {"id": "c", "type": "custom", "custom": {"name": "sh", "input": "ls"}}
    ]


def test_a_custom_call_without_text_gets_none():
    assert len(deltas(*block("tool_call", id="c", name="sh", custom=True))) == 1


def test_invalid_json_arguments_are_unchanged():
    assert rendered_choice(*block("tool_call", '{"a', id="c", name="f"))["message"]["tool_calls"][
        0
    ]["function"] == {"name": "f", "arguments": '{"a'}


def test_the_reasoning_state_of_a_call_is_wrapped():
    state = Signature(provider="gemini", model="g", kind="thought_signature", value="S")
    events = [
        BlockStart(kind="tool_call", id="c", name="f"),
        Delta("{}"),
        SignatureDelta(state),
        BlockEnd(),
    ]
    last = deltas(*events)[-1]["tool_calls"][0]
    # The openai SDK's stream helper fails on a delta of a call without this.
    assert last["function"] == {"arguments": ""}
    slot = last["extra_content"]["google"]["thought_signature"]
    assert unwrap_signature(slot) == state
    call = rendered_choice(*events)["message"]["tool_calls"][0]
    assert call["extra_content"]["google"]["thought_signature"] == slot


def test_reasoning_state_has_no_field():
    state = Signature(provider="anthropic", model="m", value="SIG")
    events = [BlockStart(kind="reasoning"), Delta("hm"), SignatureDelta(state), BlockEnd()]
    assert deltas(*events) == [{"reasoning_content": "hm"}]


SOURCE = Citation(url="https://x", title="X")


def test_sources_are_annotations_of_their_block():
    events: list[Event] = [
        *block("text", "one "),
        BlockStart(kind="text"),
        CitationDelta(SOURCE),
        Delta("two"),
        BlockEnd(),
    ]
    inner = {"url": "https://x", "title": "X", "start_index": 4, "end_index": 7}
    annotation = {"type": "url_citation", "url_citation": inner}
    assert deltas(*events)[-1] == {"annotations": [annotation]}
    assert rendered_choice(*events)["message"]["annotations"] == [annotation]


def test_sources_without_a_url_are_reported():
    events = [BlockStart(kind="text"), Delta("x"), CitationDelta(Citation(quote="q")), BlockEnd()]
    renderer = DIALECT.client.stream_renderer(response_context())
    for event in [Start(), *events, STOP]:
        renderer.feed(event)
    assert reported_fields(renderer.report) == [("annotations", "dropped")]
    _, report = DIALECT.client.render_response(
        fold_events([Start(), *events, STOP]), response_context()
    )
    assert reported_fields(report) == [("annotations", "dropped")]


def test_chat_annotations_are_unchanged():
    native = {"type": "url_citation", "url_citation": {"url": "https://x", "vendor": 1}}
    citation = Citation(url="https://x", dialect="openai_chat", native=native)
    events = [BlockStart(kind="text"), Delta("x"), CitationDelta(citation), BlockEnd()]
    assert deltas(*events)[-1] == {"annotations": [native]}


def test_blocks_of_another_dialect_are_reported():
    events = block("native", dialect="anthropic_messages", native={"type": "server_tool_use"})
    renderer = DIALECT.client.stream_renderer(response_context())
    assert [renderer.feed(event) for event in [Start(), *events]][1:] == [b"", b""]
    assert reported_fields(renderer.report) == [("content.server_tool_use", "dropped")]
    _, report = DIALECT.client.render_response(
        fold_events([Start(), *events, STOP]), response_context()
    )
    assert reported_fields(report) == [("content.server_tool_use", "dropped")]


def test_audio_and_images_are_rendered_in_chats_fields():
    images = [{"type": "image_url", "image_url": {"url": "data:"}}]
    sound = {"dialect": "openai_chat", "native": {"type": "audio"}}
    events: list[Event] = [
        BlockStart(kind="native", **sound),
        NativeDelta({"id": "a", "data": "QQ"}),
        BlockEnd(),
        *block("native", dialect="openai_chat", native={"type": "images", "images": images}),
    ]
    assert deltas(*events) == [{"audio": {"id": "a", "data": "QQ"}}, {"images": images}]
    message = rendered_choice(*events)["message"]
    assert (message["audio"], message["images"]) == ({"id": "a", "data": "QQ"}, images)


# --- ends ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("finish", "word"),
    [
        (Finish(reason="stop"), "stop"),
        (Finish(reason="stop_sequence", stop_sequence="X"), "stop"),
        (Finish(reason="length"), "length"),
        (Finish(reason="context"), "length"),
        (Finish(reason="tool"), "tool_calls"),
        (Finish(reason="filter"), "content_filter"),
        (Finish(reason="refusal"), "content_filter"),
        (Finish(reason="pause"), "stop"),
    ],
    ids=lambda value: value.reason if isinstance(value, Finish) else value,
)
def test_each_stop_reason_has_its_finish_reason(finish: Finish, word: str):
    frames = rendered_frames([Start(), End(finish)])
    assert frames[-2]["choices"][0]["finish_reason"] == word
    body, _ = DIALECT.client.render_response(Response(finish=finish), response_context())
    assert body["choices"][0]["finish_reason"] == word


def test_a_refusal_as_text_is_a_stop():
    events = block("refusal", "I can't")
    end = End(Finish(reason="refusal"))
    assert deltas(*events, end=end) == [{"refusal": "I can't"}]
    assert rendered_frames([Start(), *events, end])[-2]["choices"][0]["finish_reason"] == "stop"
    choice = rendered_choice(*events, end=end)
    assert choice["message"]["refusal"] == "I can't"
    assert choice["message"]["content"] is None
    assert choice["finish_reason"] == "stop"


def test_a_providers_explanation_is_shown_as_a_refusal():
    end = End(Finish(reason="filter", explanation="Blocked by provider: X"))
    assert deltas(end=end) == [{"refusal": "Blocked by provider: X"}]
    choice = rendered_choice(end=end)
    assert choice["message"]["refusal"] == "Blocked by provider: X"
    assert choice["finish_reason"] == "content_filter"


def test_a_paused_turn_is_reported():
    _, report = DIALECT.client.render_response(
        Response(finish=Finish(reason="pause")), response_context()
    )
    assert reported_fields(report) == [("finish_reason", "approximated")]


def test_garbled_output_is_an_error_and_no_response():
    end = End(Finish(reason="malformed", explanation="bad call"))
    assert rendered_frames([Start(), end])[-1] == {
        "error": {
            "message": "bad call",
            "type": "server_error",
            "param": None,
            "code": "malformed_model_output",
        }
    }
    with pytest.raises(GatewayError) as error:
        DIALECT.client.render_response(fold_events([Start(), end]), response_context())
    assert error.value.error.kind == "malformed_output"


def test_events_after_a_failure_are_ignored():
    renderer = DIALECT.client.stream_renderer(response_context())
    renderer.feed(Start())
    out = renderer.feed(Failed(Error(kind="timeout", message="slow")))
    assert b'"code":"timeout"' in out
    assert b"[DONE]" not in out
    assert renderer.feed(STOP) == b""
    assert renderer.feed(Delta("x")) == b""


def test_a_failure_before_content_is_rendered():
    frames = rendered_frames([Failed(Error(kind="overloaded", message="Overloaded"))])
    assert frames[0]["error"]["code"] == "overloaded"


# --- usage ---------------------------------------------------------------------------

USAGE = Usage(input=30, cache_read=60, cache_write=10, output=25, reasoning=7)
RENDERED_USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 25,
    "total_tokens": 125,
    "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
    "completion_tokens_details": {"reasoning_tokens": 7},
}


def test_the_usage_chunk_is_sent_only_when_requested():
    events = [Start(), *block("text", "x"), UsageUpdate(USAGE), STOP]
    assert rendered_frames(events, include_usage=True)[-2] == {
        **HEAD,
        "choices": [],
        "usage": RENDERED_USAGE,
    }
    assert all("usage" not in frame for frame in rendered_frames(events)[:-1])


def test_usage_of_the_start_and_end_is_merged():
    events = [Start(usage=Usage(input=5)), UsageUpdate(Usage(output=2)), STOP]
    usage = rendered_frames(events, include_usage=True)[-2]["usage"]
    assert usage == {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


def test_unknown_usage_is_not_shown_as_zero():
    frames = rendered_frames([Start(), STOP], include_usage=True)
    assert all("usage" not in frame for frame in frames[:-1])
    body, _ = DIALECT.client.render_response(Response(), response_context())
    assert "usage" not in body


def test_a_complete_response_has_its_usage():
    body, _ = DIALECT.client.render_response(Response(usage=USAGE), response_context())
    assert body["usage"] == RENDERED_USAGE
    assert (body["id"], body["object"]) == ("chatcmpl-1", "chat.completion")


def test_a_chat_client_gets_log_probabilities():
    token = {"token": "x", "logprob": -0.5, "bytes": None, "top_logprobs": []}
    extra = {**logprobs_extra([token]), "openai_chat": {"system_fingerprint": "fp"}}
    body, _ = DIALECT.client.render_response(Response(extra=extra), response_context())
    assert body["choices"][0]["logprobs"] == {"content": [token], "refusal": None}
    assert body["system_fingerprint"] == "fp"


FINGERPRINT = {"openai_chat": {"system_fingerprint": "fp_1"}}


@pytest.mark.parametrize("framing", ["sse", "whole_calls"])
def test_every_chunk_has_the_service_tier_and_the_fingerprint(framing: Any):
    events = [
        Start(service_tier="flex", extra=FINGERPRINT),
        *block("reasoning", "hm"),
        *block("text", "hi"),
        *block("tool_call", "{}", id="c", name="f"),
        UsageUpdate(USAGE),
        End(Finish(reason="tool"), (Response(parts=(Text(text="other"),)),)),
    ]
    frames = rendered_frames(events, include_usage=True, framing=framing)
    chunks = [frame for frame in frames if frame != "[DONE]"]
    assert len(chunks) > 5
    for chunk in chunks:
        assert (chunk["service_tier"], chunk["system_fingerprint"]) == ("flex", "fp_1")


def test_a_service_tier_at_the_end_is_in_the_chunks_that_follow():
    update = UsageUpdate(USAGE, service_tier="priority")
    frames = rendered_frames([Start(), *block("text", "hi"), update, STOP], include_usage=True)
    tiers = [frame.get("service_tier") for frame in frames if frame != "[DONE]"]
    assert tiers == [None, None, "priority", "priority"]
