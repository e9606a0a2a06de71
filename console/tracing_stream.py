"""A stored stream of both sides, event by event, on one axis of time.

Which client events an upstream event made is found by feeding the translator frame by
frame, as live traffic does.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.framing.kinds import CUTS
from gateway.framing.sse import Frame, FrameTooLarge
from gateway.relay.entry import Chunk

# What one upstream frame makes for the client, in order; None asks for the end of the stream.
Feed = Callable[[Frame | None], list[Frame]]
# A silence this long between events is said.
GAP_MS = 400.0
MOST = 400


class Event(msgspec.Struct, frozen=True):
    """One event as it was on the wire. `at_ms` counts from the request's arrival.

    `name` is what it calls itself, `wire` the name on the `event:` line, `news` its data
    without the fields that stood in the event before it too.
    """

    name: str
    text: str
    at_ms: float | None = None
    wire: str = ""
    news: str = ""


class Pair(msgspec.Struct, frozen=True):
    """What the upstream said, and what the client got for it. `gap_ms` is the silence before."""

    upstream: Event | None
    client: list[Event]
    gap_ms: float = 0.0


class Timeline(msgspec.Struct, frozen=True):
    """A stream's events in order; `more` are left out, `last_ms` is the axis' end."""

    pairs: list[Pair]
    upstream_count: int
    client_count: int
    last_ms: float
    more: int = 0


def events(data: bytes, chunks: list[Chunk], framing: str = "sse") -> list[Event]:
    """The events of a stored stream, each at the time its last byte came.

    `framing` is a key of CUTS, or `array` for the items of one JSON array.
    """
    ends, total = [], 0
    for chunk in chunks:
        total += chunk.size
        ends.append(total)
    if framing not in CUTS:
        return _with_news(_items(data, chunks, ends))
    decoder = CUTS[framing].decoder()
    found: list[Event] = []
    done = 0
    # Cut where the chunks were, so that an event belongs to the chunk that completed it.
    for n, end in enumerate([*ends, len(data)]):
        piece = data[done:end]
        done = max(done, end)
        at = chunks[n].at_ms if n < len(chunks) else (chunks[-1].at_ms if chunks else None)
        try:
            frames = decoder.feed(piece) if piece else []
        except FrameTooLarge:
            break
        found += [_event(frame, at) for frame in frames]
    last = chunks[-1].at_ms if chunks else None
    return _with_news(found + [_event(frame, last) for frame in decoder.close()])


def _items(data: bytes, chunks: list[Chunk], ends: list[int]) -> list[Event]:
    """The items of an array; nothing of one that is not whole."""
    try:
        items = msgspec.json.decode(data, type=list[msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return []
    found: list[Event] = []
    done = 0
    for item in items:
        raw = bytes(item)
        done = data.index(raw, done) + len(raw)
        n = min(bisect.bisect_left(ends, done), len(chunks) - 1)
        found.append(_event(Frame("", raw), chunks[n].at_ms if chunks else None))
    return found


def _with_news(found: list[Event]) -> list[Event]:
    """The events, each with what is new in it."""
    before: dict[str, Any] = {}
    result = []
    for event in found:
        body = _object(event.text.encode())
        if body is None:
            result.append(msgspec.structs.replace(event, news=event.text))
            continue
        fresh = {k: v for k, v in body.items() if k not in before or before[k] != v}
        fresh.pop("type", None)
        whole = len(fresh) == len(body) - ("type" in body)
        text = msgspec.json.encode(fresh).decode()
        news = text if whole or not fresh else f"{text[:-1]}, …}}"
        result.append(msgspec.structs.replace(event, news=news))
        before = body
    return result


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        body = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _event(frame: Frame, at: float | None) -> Event:
    text = frame.data.decode("utf-8", "replace")
    return Event(frame.event or _named(frame.data), text, at, frame.event)


def _named(data: bytes) -> str:
    """What an event without a name calls itself."""
    body = _object(data) or {}
    return str(body.get("type") or body.get("object") or "")


def frames_of(found: list[Event]) -> list[Frame]:
    """The events as the translator reads them."""
    return [Frame(event.wire, event.text.encode()) for event in found]


def timeline(upstream: list[Event], client: list[Event], feed: Feed | None) -> Timeline:
    """The two sides joined. Without `feed` each upstream event is the client's own."""
    made = _counts(upstream, feed)
    pairs: list[Pair] = []
    at = 0
    before: float | None = None
    for n, event in enumerate(upstream):
        got = client[at : at + made[n]] if feed is not None else [event]
        at += made[n]
        pairs.append(Pair(event, got, _gap(before, event.at_ms)))
        before = event.at_ms if event.at_ms is not None else before
    if feed is not None and at < len(client):
        pairs.append(Pair(None, client[at:]))
    times = [event.at_ms for event in (*upstream, *client) if event.at_ms is not None]
    return Timeline(
        pairs[:MOST],
        len(upstream),
        len(client) if feed is not None else len(upstream),
        max(times, default=0.0),
        max(0, len(pairs) - MOST),
    )


def _counts(upstream: list[Event], feed: Feed | None) -> list[int]:
    """How many client events each upstream event made."""
    if feed is None:
        return [1] * len(upstream)
    counts = []
    for frame in frames_of(upstream):
        try:
            counts.append(len(feed(frame)))
        except Exception:  # a stream that the translator can not read is shown as it is
            counts.append(0)
    return counts


def _gap(before: float | None, now: float | None) -> float:
    if before is None or now is None or now - before < GAP_MS:
        return 0.0
    return now - before


def density(times: list[float], last_ms: float, slots: int = 120) -> list[int]:
    """How many events fall into each slot of the axis."""
    found = [0] * slots
    edges = [last_ms / slots * n for n in range(1, slots)]
    for moment in times:
        found[bisect.bisect_right(edges, moment)] += 1
    return found
