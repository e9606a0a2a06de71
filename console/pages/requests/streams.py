"""The Stream tab's two lists of events, and what the model said in the end."""

from __future__ import annotations

from typing import Any

from console.pages.requests.translation import asked_of, decoded, framings, way_of
from console.tracing_stream import Event, density, events, timeline
from gateway.canon.errors import GatewayError
from gateway.canon.events import BlockStart, Delta
from gateway.canon.fold import unfold
from gateway.framing.sse import Frame
from gateway.models import RequestLog
from gateway.relay.entry import Bodies

_AXIS_HEIGHT = 16
_MOST_TEXT = 600


def shown(row: RequestLog, bodies: Bodies) -> dict[str, Any]:
    """The two sides of a stored stream, joined, with pictures of both on one axis."""
    theirs, ours = framings(row, bodies)
    upstream = events(bodies.upstream_response or b"", bodies.upstream_chunks, theirs)
    client = events(bodies.client_response or b"", bodies.client_chunks, ours)
    feed = None
    asked = asked_of(row, bodies)
    if not bodies.same_response and asked is not None and (way := way_of(row, bodies)):
        try:
            feed = way.feed(asked)
        except GatewayError:
            feed = None
    passed = bodies.same_response
    line = timeline(upstream, client, feed if not passed else None)
    return {
        "line": line,
        "linked": passed or feed is not None,
        "passed": passed,
        "axes": [
            _axis(upstream, line.last_ms),
            _axis(upstream if passed else client, line.last_ms),
        ],
        "cut": [name for name in bodies.truncated if name.endswith("response")],
        "most": _MOST_TEXT,
    }


def _axis(found: list[Event], last_ms: float) -> list[dict[str, float]]:
    """Bars of how many events came when."""
    times = [event.at_ms for event in found if event.at_ms is not None]
    slots = density(times, last_ms) if last_ms > 0 else []
    most = max(slots, default=0)
    return [
        {"x": n, "h": (high := round(max(2.0, count / most * _AXIS_HEIGHT), 1)), "y": 16 - high}
        for n, count in enumerate(slots)
        if count
    ]


def answer(row: RequestLog, bodies: Bodies) -> list[dict[str, str]]:
    """What the model said, part by part; empty where that can not be read."""
    data = bodies.upstream_response
    way = way_of(row, bodies)
    if way is None or not data:
        return []
    provider = way.upstream_dialect.provider
    try:
        whole = decoded(data)
        if whole is not None:
            return _parts(unfold(provider.parse_response(whole, way.traits, None)))
        parser = provider.stream_parser(way.traits, None)
        found: list[Any] = []
        for event in events(data, bodies.upstream_chunks, framings(row, bodies)[0]):
            found += parser.feed(Frame(event.wire, event.text.encode()))
        return _parts(found)
    except (GatewayError, ValueError, KeyError, TypeError, AttributeError):
        return []


def _parts(found: list[Any]) -> list[dict[str, str]]:
    """The blocks of a canonical stream, whole or broken off."""
    parts: list[dict[str, str]] = []
    for event in found:
        if isinstance(event, BlockStart):
            parts.append({"kind": event.kind, "name": event.name, "text": ""})
        elif isinstance(event, Delta) and parts:
            parts[-1]["text"] += event.text
    return parts
