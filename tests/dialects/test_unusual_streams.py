"""Streams of real providers that differ from the reference, read as a client of any dialect."""

from __future__ import annotations

import json
from typing import Any

from gateway.canon.events import Event, Failed, UsageUpdate
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.framing.formats import STREAM_FORMATS
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
