"""The Stream tab: upstream and client events side by side, and the model output."""

from __future__ import annotations

from typing import Any

from console.pages.requests.translation import (
    client_request_of,
    decode_body,
    framings,
    translators_of,
)
from console.tracing.stream_timeline import Event, build_timeline, density, parse_events
from gateway.canon.errors import GatewayError
from gateway.canon.events import BlockStart, Delta
from gateway.canon.fold import unfold_response
from gateway.framing.sse import Frame
from gateway.models import RequestLog
from gateway.relay.exchange.log_record import Bodies

_AXIS_HEIGHT = 16
_MAX_TEXT_LENGTH = 600


def stream_view(row: RequestLog, bodies: Bodies) -> dict[str, Any]:
    """Return both sides of a stored stream, aligned, with a density chart of each."""
    upstream_framing, client_framing = framings(row, bodies)
    upstream = parse_events(
        bodies.upstream_response or b"", bodies.upstream_chunks, upstream_framing
    )
    client = parse_events(bodies.client_response or b"", bodies.client_chunks, client_framing)
    feed = None
    client_request = client_request_of(row, bodies)
    if (
        not bodies.same_response
        and client_request is not None
        and (translators := translators_of(row, bodies))
    ):
        try:
            feed = translators.stream_translator(client_request)
        except GatewayError:
            feed = None
    same_response = bodies.same_response
    line = build_timeline(upstream, client, feed if not same_response else None)
    return {
        "line": line,
        "linked": same_response or feed is not None,
        "passthrough": same_response,
        "axes": [
            _axis_bars(upstream, line.last_ms),
            _axis_bars(upstream if same_response else client, line.last_ms),
        ],
        "cut": [name for name in bodies.truncated if name.endswith("response")],
        "limit": _MAX_TEXT_LENGTH,
    }


def _axis_bars(events: list[Event], last_ms: float) -> list[dict[str, float]]:
    """Return bars for the number of events over time."""
    times = [event.at_ms for event in events if event.at_ms is not None]
    slots = density(times, last_ms) if last_ms > 0 else []
    max_slot = max(slots, default=0)
    return [
        {"x": n, "h": (high := round(max(2.0, count / max_slot * _AXIS_HEIGHT), 1)), "y": 16 - high}
        for n, count in enumerate(slots)
        if count
    ]


def response_parts(row: RequestLog, bodies: Bodies) -> list[dict[str, str]]:
    """Model output as parts; empty if the response cannot be parsed."""
    data = bodies.upstream_response
    translators = translators_of(row, bodies)
    if translators is None or not data:
        return []
    provider = translators.upstream_dialect.provider
    try:
        response = decode_body(data)
        if response is not None:
            return _stream_blocks(
                unfold_response(provider.parse_response(response, translators.traits, None))
            )
        parser = provider.stream_parser(translators.traits, None)
        canonical_events: list[Any] = []
        for event in parse_events(data, bodies.upstream_chunks, framings(row, bodies)[0]):
            canonical_events += parser.feed(Frame(event.event_name, event.text.encode()))
        return _stream_blocks(canonical_events)
    except (GatewayError, ValueError, KeyError, TypeError, AttributeError):
        return []


def _stream_blocks(events: list[Any]) -> list[dict[str, str]]:
    """Return the blocks of a canonical stream, including an incomplete last one."""
    parts: list[dict[str, str]] = []
    for event in events:
        if isinstance(event, BlockStart):
            parts.append({"kind": event.kind, "name": event.name, "text": ""})
        elif isinstance(event, Delta) and parts:
            parts[-1]["text"] += event.text
    return parts
