"""Aligns a stored stream of upstream and client, event by event, on one time axis.

To find the client events of an upstream event, the translator is fed frame by frame, like
for live traffic.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.canon.json_values import decode_or_none
from gateway.framing.eventstream import CorruptMessage
from gateway.framing.formats import STREAM_FORMATS
from gateway.framing.sse import Frame, FrameTooLarge
from gateway.relay.exchange.log_record import Chunk

# Translates one upstream frame to client frames; None ends the stream.
TranslateFrame = Callable[[Frame | None], list[Frame]]
# Longer gaps between events are displayed.
GAP_MS = 400.0
MAX_PAIRS = 400


class Event(msgspec.Struct, frozen=True):
    """One event of a stream. `at_ms` is the time since the request's arrival.

    `name` is its display name, `event_name` the name on the `event:` line, and
    `changed_fields` its data without fields that are equal in the previous event.
    """

    name: str
    text: str
    at_ms: float | None = None
    event_name: str = ""
    changed_fields: str = ""


class Pair(msgspec.Struct, frozen=True):
    """An upstream event and its client events. `gap_ms` is the time since the previous one."""

    upstream: Event | None
    client: list[Event]
    gap_ms: float = 0.0


class Timeline(msgspec.Struct, frozen=True):
    """Events of a stream in order, without `omitted_count` more; `last_ms` ends the axis."""

    pairs: list[Pair]
    upstream_count: int
    client_count: int
    last_ms: float
    omitted_count: int = 0


def parse_events(data: bytes, chunks: list[Chunk], framing: str = "sse") -> list[Event]:
    """Events of a stored stream, each with the arrival time of its last byte.

    `framing` is a key of STREAM_FORMATS, or `array` for the items of one JSON array.
    """
    chunk_ends, total = [], 0
    for chunk in chunks:
        total += chunk.size
        chunk_ends.append(total)
    if framing not in STREAM_FORMATS:
        return _with_changed_fields(_array_events(data, chunks, chunk_ends))
    decoder = STREAM_FORMATS[framing].new_decoder()
    decoded_events: list[Event] = []
    consumed = 0
    # Feed the original chunks, so that an event gets the time of the chunk that completed it.
    for n, end in enumerate([*chunk_ends, len(data)]):
        chunk_bytes = data[consumed:end]
        consumed = max(consumed, end)
        arrived_ms = (
            chunks[n].received_ms
            if n < len(chunks)
            else (chunks[-1].received_ms if chunks else None)
        )
        try:
            frames = decoder.feed(chunk_bytes) if chunk_bytes else []
        except (CorruptMessage, FrameTooLarge):
            break
        decoded_events += [_timeline_event(frame, arrived_ms) for frame in frames]
    last_arrived_ms = chunks[-1].received_ms if chunks else None
    return _with_changed_fields(
        decoded_events + [_timeline_event(frame, last_arrived_ms) for frame in decoder.close()]
    )


def _array_events(data: bytes, chunks: list[Chunk], chunk_ends: list[int]) -> list[Event]:
    """Items of a JSON array as events; empty if the array is incomplete."""
    try:
        items = msgspec.json.decode(data, type=list[msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return []
    events: list[Event] = []
    consumed = 0
    for item in items:
        raw_item = bytes(item)
        consumed = data.index(raw_item, consumed) + len(raw_item)
        n = min(bisect.bisect_left(chunk_ends, consumed), len(chunks) - 1)
        events.append(
            _timeline_event(Frame("", raw_item), chunks[n].received_ms if chunks else None)
        )
    return events


def _with_changed_fields(events: list[Event]) -> list[Event]:
    """Events with `changed_fields` set."""
    previous_body: dict[str, Any] = {}
    result = []
    for event in events:
        body = _decode_object(event.text.encode())
        if body is None:
            result.append(msgspec.structs.replace(event, changed_fields=event.text))
            continue
        changed_values = {
            k: v for k, v in body.items() if k not in previous_body or previous_body[k] != v
        }
        changed_values.pop("type", None)
        is_complete = len(changed_values) == len(body) - ("type" in body)
        text = msgspec.json.encode(changed_values).decode()
        changed_fields = text if is_complete or not changed_values else f"{text[:-1]}, …}}"
        result.append(msgspec.structs.replace(event, changed_fields=changed_fields))
        previous_body = body
    return result


def _decode_object(data: bytes) -> dict[str, Any] | None:
    body = decode_or_none(data)
    return body if isinstance(body, dict) else None


def _timeline_event(frame: Frame, arrived_ms: float | None) -> Event:
    text = frame.data.decode("utf-8", "replace")
    return Event(frame.event or _name_in_body(frame.data), text, arrived_ms, frame.event)


def _name_in_body(data: bytes) -> str:
    """Name in the body of an event without a name."""
    body = _decode_object(data) or {}
    return str(body.get("type") or body.get("object") or "")


def frames_of(events: list[Event]) -> list[Frame]:
    """Events as frames for the translator."""
    return [Frame(event.event_name, event.text.encode()) for event in events]


def build_timeline(
    upstream: list[Event], client: list[Event], translate_frame: TranslateFrame | None
) -> Timeline:
    """Join both sides. Without `translate_frame`, both sides have the same events."""
    event_counts = _client_event_counts(upstream, translate_frame)
    pairs: list[Pair] = []
    position = 0
    previous_ms: float | None = None
    for n, event in enumerate(upstream):
        client_events = (
            client[position : position + event_counts[n]]
            if translate_frame is not None
            else [event]
        )
        position += event_counts[n]
        pairs.append(Pair(event, client_events, _gap_ms(previous_ms, event.at_ms)))
        previous_ms = event.at_ms if event.at_ms is not None else previous_ms
    if translate_frame is not None and position < len(client):
        pairs.append(Pair(None, client[position:]))
    times = [event.at_ms for event in (*upstream, *client) if event.at_ms is not None]
    return Timeline(
        pairs[:MAX_PAIRS],
        len(upstream),
        len(client) if translate_frame is not None else len(upstream),
        max(times, default=0.0),
        max(0, len(pairs) - MAX_PAIRS),
    )


def _client_event_counts(
    upstream: list[Event], translate_frame: TranslateFrame | None
) -> list[int]:
    """Number of client events for each upstream event."""
    if translate_frame is None:
        return [1] * len(upstream)
    counts = []
    for frame in frames_of(upstream):
        try:
            counts.append(len(translate_frame(frame)))
        except Exception:  # displayed without links if the translator fails
            counts.append(0)
    return counts


def _gap_ms(previous_ms: float | None, current_ms: float | None) -> float:
    if previous_ms is None or current_ms is None or current_ms - previous_ms < GAP_MS:
        return 0.0
    return current_ms - previous_ms


def density(times: list[float], last_ms: float, slots: int = 120) -> list[int]:
    """Number of events in each slot of the axis."""
    counts = [0] * slots
    edges = [last_ms / slots * n for n in range(1, slots)]
    for time_ms in times:
        counts[bisect.bisect_right(edges, time_ms)] += 1
    return counts
