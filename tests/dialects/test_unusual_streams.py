"""Streams of real providers that differ from the reference, read as a client of any dialect."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.canon.events import BlockEnd, BlockStart, Delta, Event, Failed, UsageUpdate
from gateway.canon.fold import fold_events
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.dialects.base import ResponseContext
from gateway.framing.formats import STREAM_FORMATS
from gateway.framing.sse import Frame
from tests.stream_grammar import check_stream

Json = dict[str, Any]


def sse(*values: Any) -> bytes:
    """Return events, named by their `type`, if they have one."""
    out = b""
    for value in values:
        name = value.get("type") if isinstance(value, dict) else None
        data = value if isinstance(value, str) else json.dumps(value)
        out += (f"event: {name}\n" if name else "").encode() + f"data: {data}\n\n".encode()
    return out


def events_of(dialect: str, data: bytes, size: int = 0) -> list[Event]:
    """Return the events of a provider's bytes, read in chunks of one size."""
    decoder = STREAM_FORMATS[DIALECTS[dialect].framing].new_decoder()
    parser = DIALECTS[dialect].provider.stream_parser(Traits(preset="acme", model="m"), None)
    size = size or len(data)
    frames = [f for i in range(0, len(data), size) for f in decoder.feed(data[i : i + size])]
    events = [event for frame in [*frames, *decoder.close()] for event in parser.feed(frame)]
    events += parser.close()
    check_stream(events)
    return events


def test_a_failed_response_keeps_its_usage():
    usage = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
    failed = {"status": "failed", "error": {"code": "server_error", "message": "m"}, "usage": usage}
    openai = sse(
        {"type": "response.created", "response": {"id": "r"}},
        {"type": "response.failed", "response": failed},
    )
    delta = {"finish_reason": "ERROR", "error": "m", "usage": {"tokens": usage}}
    cohere = sse({"type": "message-start", "id": "r"}, {"type": "message-end", "delta": delta})
    for dialect, data in (("openai_responses", openai), ("cohere", cohere)):
        *_, update, failed_event = events_of(dialect, data)
        assert isinstance(update, UsageUpdate)
        assert (update.usage.input, update.usage.output) == (7, 3)
        assert isinstance(failed_event, Failed)


def google(*parts: Json, **more: Any) -> Json:
    """Return a chunk of Gemini."""
    return {"candidates": [{"content": {"parts": list(parts)}, "index": 0, **more}]}


GROUNDING = {
    "groundingMetadata": {
        "groundingChunks": [{"web": {"uri": "https://x", "title": "t"}}],
        "groundingSupports": [
            {"segment": {"startIndex": 6, "endIndex": 11}, "groundingChunkIndices": [0]}
        ],
    }
}
SIGNED = {"text": "", "thoughtSignature": "U0lH"}
CALL = {"functionCall": {"name": "f", "args": {}}}


def test_sources_of_a_second_text_are_not_those_of_the_first():
    more = GROUNDING | {"finishReason": "STOP"}
    data = sse(google({"text": "a"}), google(CALL), google({"text": "Hello World"}, **more))
    first, _, second = fold_events(events_of("gemini", data)).parts
    assert first.citations == ()  # type: ignore[union-attr]
    assert len(second.citations) == 1  # type: ignore[union-attr]


@pytest.mark.parametrize("between", [[SIGNED], [CALL], [CALL, SIGNED], []], ids=str)
@pytest.mark.parametrize("repeats", [1, 2])
def test_sources_after_a_later_part_belong_to_the_text(between: list[Json], repeats: int):
    chunks = [google({"text": "Hello "}), google({"text": "World"}), *map(google, between)]
    last = [google(**GROUNDING)] * repeats + [google(finishReason="STOP")]
    events = events_of("gemini", sse(*chunks, *last))
    [whole] = google({"text": "Hello World"}, *between, **GROUNDING, finishReason="STOP").values()
    parse = DIALECTS["gemini"].provider.parse_response
    complete_response = parse({"candidates": whole}, Traits(preset="acme", model="m"), None)
    assert fold_events(events).parts == complete_response.parts
    [citation] = complete_response.parts[0].citations  # type: ignore[union-attr]
    assert (citation.url, citation.start, citation.end) == ("https://x", 6, 11)
    chat = DIALECTS["openai_chat"].client.stream_renderer(
        ResponseContext(id="1", created=1, model="m")
    )
    assert b'"start_index":6,"end_index":11' in b"".join(map(chat.feed, events))


def test_text_after_a_call_is_not_held_back():
    parser = DIALECTS["gemini"].provider.stream_parser(Traits(preset="acme", model="m"), None)
    frames = [google({"text": "a"}), google(CALL), google({"text": "b"})]
    events = [parser.feed(Frame("", json.dumps(frame).encode())) for frame in frames]
    assert events[1] == []
    assert [type(event) for event in events[2]] == [
        *(BlockEnd, BlockStart, BlockEnd, BlockStart, Delta)
    ]


def test_a_stream_that_breaks_off_still_has_the_parts_held_back():
    events = events_of("gemini", sse(google({"text": "a"}), google(CALL)))
    assert [type(event) for event in events[-4:]] == [BlockEnd, BlockStart, BlockEnd, Failed]
