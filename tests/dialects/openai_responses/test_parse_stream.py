"""Streams of servers that deviate from OpenAI's, validly or not."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.canon.events import Failed
from gateway.canon.fold import fold_events
from gateway.canon.request import Native, Reasoning, Refusal, Signature, Text, ToolCall
from gateway.canon.response import Usage
from gateway.dialects.base import RenderedRequest
from gateway.framing.sse import Frame
from tests.dialects.openai_responses.make import (
    CREATED,
    DIALECT,
    completed_event,
    event,
    events,
    frame,
    function_call,
    message,
    parse_output,
    parse_stream,
    response,
    text,
    traits,
)

ADDED = event("output_item.added", output_index=0, item=message(status="in_progress"))
PART = event("content_part.added", output_index=0, content_index=0, part=text(""))


def delta(text: str, index: int = 0, part: int = 0) -> dict[str, Any]:
    return event("output_text.delta", output_index=index, content_index=part, delta=text)


def arguments(text: str, index: int = 0) -> dict[str, Any]:
    return event("function_call_arguments.delta", output_index=index, delta=text)


def call_added(index: int = 0, **fields: Any) -> dict[str, Any]:
    return event(
        "output_item.added", output_index=index, item=function_call(arguments="", **fields)
    )


def item_done(item: dict[str, Any], index: int = 0) -> dict[str, Any]:
    return event("output_item.done", output_index=index, item=item)


HELLO = (Text(text="Hello"),)


@pytest.mark.parametrize(
    "frames",
    [
        [ADDED, PART, delta("Hel"), delta("lo"), item_done(message(text("Hello")))],
        [ADDED, PART, delta("Hel"), delta("lo")],
        [delta("Hel"), delta("lo")],
        [ADDED, delta("Hello"), event("output_text.done", output_index=0, text="Hello")],
        [ADDED, event("output_text.done", output_index=0, text="Hello")],
        [ADDED, PART, delta("Hel"), event("output_text.done", output_index=0, text="Hello")],
        [item_done(message(text("Hello")))],
        [ADDED, PART, delta(""), delta("Hello"), delta("")],
        [ADDED, PART, delta("Hello"), item_done(message(text("Hello"))), delta(" again")],
    ],
    ids=[
        "by the book",
        "no end of the item",
        "deltas only",
        "a done too",
        "done only",
        "a done with more",
        "the item only",
        "empty deltas",
        "more after the end",
    ],
)
def test_a_text_is_parsed_from_every_event_sequence(frames: list[Any]):
    assert parse_stream(*frames).parts == HELLO


def test_output_in_the_final_event_is_parsed():
    streamed_events = events(CREATED, completed_event(output=[message(text("Hello"))]))
    assert streamed_events[2].text == "Hello"  # type: ignore[union-attr]


CUSTOM_CALL = {
    "id": "ctc_1",
    "type": "custom_tool_call",
    "call_id": "call_1",
    "name": "f",
    "input": "free text",
}


@pytest.mark.parametrize("streamed", [True, False], ids=["all streamed", "the first streamed"])
@pytest.mark.parametrize(
    ("item", "part"),
    [
        (message(text("World")), Text(text="World")),
        (CUSTOM_CALL, ToolCall(id="call_1", name="f", raw_arguments="free text", custom=True)),
        ({"type": "web_search_call", "id": "ws_1"}, None),
    ],
    ids=["message", "custom call", "server call"],
)
def test_an_item_that_only_the_last_event_contains_is_not_lost(
    item: dict[str, Any], part: Any, streamed: bool
):
    """An id in the last event may differ from the ones before."""
    output = [message(text("Hello"), id="msg_0"), item]
    frames = [ADDED, PART, delta("Hello"), *([item_done(item, 1)] if streamed else [])]
    response = fold_events(events(CREATED, *frames, completed_event(output=output)))
    assert response.parts == (*HELLO, part or Native(dialect="openai_responses", data=item))


def test_the_last_event_completes_an_open_item():
    reasoning = {
        "id": "rs_1",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "So"}],
        "encrypted_content": "state",
    }
    added = event("output_item.added", output_index=0, item={"type": "reasoning", "id": "rs_1"})
    output = [reasoning, message(text("Hello"))]
    streamed_events = events(CREATED, added, delta("Hel", 1), completed_event(output=output))
    thought, answer = fold_events(streamed_events).parts
    assert isinstance(thought, Reasoning)
    assert thought.signature is not None
    assert (thought.text, thought.signature.value, answer) == ("So", "state", *HELLO)


def test_events_without_names_are_read():
    parser = DIALECT.provider.stream_parser(traits(), None)
    out: list[Any] = []
    for item in (CREATED, ADDED, PART, delta("Hello"), completed_event()):
        out += parser.feed(Frame("", frame(item).data))
    assert [type(e).__name__ for e in out] == ["Start", "BlockStart", "Delta", "BlockEnd", "End"]


@pytest.mark.parametrize(
    "frames",
    [
        [
            call_added(),
            arguments('{"a":'),
            arguments("1}"),
            item_done(function_call(arguments='{"a":1}')),
        ],
        [call_added(), event("function_call_arguments.done", output_index=0, arguments='{"a":1}')],
        [call_added(), item_done(function_call(arguments='{"a":1}'))],
        [item_done(function_call(arguments='{"a":1}'))],
    ],
    ids=["deltas", "arguments at the end", "item at the end", "item only"],
)
def test_a_call_is_parsed_from_every_event_sequence(frames: list[Any]):
    response = parse_stream(*frames)
    assert response.parts == (ToolCall(id="call_9", name="f", arguments={"a": 1}),)
    assert response.finish.reason == "tool"


def test_interleaved_calls_are_serialized():
    response = parse_stream(
        call_added(0, call_id="a"),
        call_added(1, call_id="b", name="g"),
        arguments('{"x"', 0),
        arguments('{"y"', 1),
        arguments(":1}", 0),
        arguments(":2}", 1),
        item_done(function_call(arguments='{"x":1}', call_id="a"), 0),
        item_done(function_call(arguments='{"y":2}', call_id="b", name="g"), 1),
    )
    assert response.parts == (
        ToolCall(id="a", name="f", arguments={"x": 1}),
        ToolCall(id="b", name="g", arguments={"y": 2}),
    )


def test_a_server_that_numbers_all_items_alike_is_read():
    response = parse_stream(
        ADDED,
        PART,
        delta("Hello"),
        item_done(message(text("Hello"))),
        call_added(0),
        arguments("{}"),
        item_done(function_call()),
    )
    assert response.parts == (*HELLO, ToolCall(id="call_9", name="f", arguments={}))


def test_a_call_without_an_id_gets_one_that_stays_the_same():
    item = {k: v for k, v in function_call().items() if k not in {"call_id", "id"}}
    first, round_trip = parse_stream(item_done(item)), parse_stream(item_done(item))
    assert first.parts[0].id == round_trip.parts[0].id == "call_resp_9_1"  # type: ignore[union-attr]


def summary(text: str, part: int, kind: str = "delta") -> dict[str, Any]:
    field = {"delta": "delta", "done": "text"}[kind]
    name = f"reasoning_summary_text.{kind}"
    return event(name, output_index=0, summary_index=part, **{field: text})


THOUGHT = {
    "id": "rs_1",
    "type": "reasoning",
    "summary": [{"type": "summary_text", "text": "one"}, {"type": "summary_text", "text": "two"}],
    "encrypted_content": "ENC",
}
SIGNED = Signature(
    provider="acme", model="acme-1", kind="encrypted_content", value="ENC", item_id="rs_1"
)


@pytest.mark.parametrize(
    "frames",
    [
        [summary("one", 0), summary("one", 0, "done"), summary("t", 1), summary("wo", 1)],
        [summary("one", 0, "done"), summary("two", 1, "done")],
        [summary("one", 0)],
        [],
    ],
    ids=["deltas", "dones", "the first only", "none"],
)
def test_reasoning_is_parsed_from_every_event_sequence(frames: list[Any]):
    added_event = event("output_item.added", output_index=0, item={**THOUGHT, "summary": []})
    response = parse_stream(added_event, *frames, item_done(THOUGHT))
    assert response.parts == (Reasoning(text="one\n\ntwo", signature=SIGNED),)


def test_raw_reasoning_without_state_has_its_origin():
    item = {"id": "rs_1", "type": "reasoning", "summary": [], "content": None}
    frames = event("reasoning_text.delta", output_index=0, content_index=0, delta="hm")
    response = parse_stream(
        event("output_item.added", output_index=0, item=item), frames, item_done(item)
    )
    signature = Signature(provider="acme", model="acme-1", kind="text")
    assert response.parts == (Reasoning(text="hm", signature=signature),)


def test_items_of_other_types_become_native_parts():
    search = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {}}
    added_event = event(
        "output_item.added", output_index=0, item={**search, "status": "in_progress"}
    )
    response = parse_stream(
        added_event, event("web_search_call.searching", output_index=0), item_done(search)
    )
    assert response.parts == (Native(dialect="openai_responses", data=search),)


def test_a_free_text_tool_sent_as_a_function_is_restored():
    rendered_request = RenderedRequest(
        body={}, client_names={"p_1": "p"}, custom_tools=frozenset(["p_1"])
    )
    frames = [call_added(name="p_1"), arguments('{"input":"*** '), arguments('Begin"}')]
    response = parse_stream(
        *frames, item_done(function_call(name="p_1")), rendered_request=rendered_request
    )
    assert response.parts == (
        ToolCall(id="call_9", name="p", raw_arguments="*** Begin", custom=True),
    )


def test_a_refusal_after_a_text_is_a_block_of_its_own():
    no = {"type": "refusal", "refusal": "No"}
    item = message(text("Well."), no)
    assert parse_output(item).parts == (Text(text="Well."), Refusal(text="No"))
    assert parse_output(item).finish.reason == "refusal"
    frames = event("refusal.delta", output_index=0, content_index=1, delta="No")
    assert (
        parse_stream(ADDED, PART, delta("Well."), frames, item_done(item)).parts
        == parse_output(item).parts
    )


@pytest.mark.parametrize(
    "item",
    [
        message(text("Hello")),
        function_call(),
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
    ],
)
@pytest.mark.parametrize("added_type", ["message", "web_search_call"])
def test_the_type_of_an_item_is_that_of_its_end(item: dict[str, Any], added_type: str):
    added = event("output_item.added", output_index=0, item={"type": added_type, "id": "x"})
    after = event("output_item.added", output_index=1, item=message(status="in_progress"))
    text_after = [after, delta("World", index=1), item_done(message(text("World")), index=1)]
    frames = [added, *text_after, item_done(item)]
    items = [item, message(text("World"))]
    streamed = parse_stream(*frames, completed_event(output=items))
    assert streamed.parts == parse_output(*items).parts


@pytest.mark.parametrize("frames", [[ADDED, PART, delta("Hel")], [call_added()]])
def test_an_item_with_content_keeps_its_type(frames: list[Any]):
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": []}
    *_, last = events(*frames, item_done(reasoning))
    assert isinstance(last, Failed)
    assert "changed the type" in last.error.message


def test_a_repeated_citation_is_parsed_once():
    source = {"type": "url_citation", "url": "https://x", "title": "X", "start_index": 0}
    item = message(text("Hello", source))
    annotation_event = event(
        "output_text.annotation.added", output_index=0, content_index=0, annotation=source
    )
    streamed = parse_stream(ADDED, PART, delta("Hello"), annotation_event, item_done(item)).parts[0]
    assert streamed == parse_output(item).parts[0]
    assert len(streamed.citations) == 1  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("details", "reason"),
    [("max_output_tokens", "length"), ("content_filter", "filter"), (None, "length")],
)
def test_an_incomplete_response_has_its_reason(details: str | None, reason: str):
    reply = response(
        output=[message(text("He"))],
        status="incomplete",
        incomplete_details={"reason": details} if details else None,
    )
    assert DIALECT.provider.parse_response(reply, traits(), None).finish.reason == reason


def test_cache_counts_are_subtracted_from_the_prompt():
    usage = {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 80, "cache_write_tokens": 5},
        "output_tokens": 12,
        "output_tokens_details": {"reasoning_tokens": 4},
    }
    assert parse_output(usage=usage).usage == Usage(
        input=15, cache_read=80, cache_write=5, output=12, reasoning=4, native=usage
    )


ERROR = {"code": "rate_limit_exceeded", "message": "slow"}


@pytest.mark.parametrize(
    ("frames", "kind"),
    [
        ([], "upstream_error"),
        ([ADDED, delta("Hel")], "upstream_error"),
        ([event("failed", response=response(status="failed", error=ERROR))], "rate_limit"),
        ([event("failed", response=None)], "upstream_error"),
        ([{"type": "error", **ERROR, "sequence_number": 3}], "rate_limit"),
        ([{"type": "error", "error": ERROR}], "rate_limit"),
        ([{"error": ERROR}], "rate_limit"),
        (["not json"], "upstream_error"),
        ([[1]], "upstream_error"),
        ([arguments("{}")], "upstream_error"),
    ],
)
def test_a_broken_stream_ends_in_an_error(frames: list[Any], kind: str):
    *_, last = events(CREATED, *frames)
    assert isinstance(last, Failed)
    assert last.error.kind == kind


def test_done_and_unknown_events_are_ignored():
    assert (
        parse_stream(ADDED, PART, "[DONE]", event("unheard.of", x=1), delta("Hello")).parts == HELLO
    )
