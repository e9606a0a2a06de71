"""Features of a request that routing and token estimates need."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.canon.errors import GatewayError
from gateway.canon.request import Audio, Document, Image
from gateway.relay.exchange.call import Call
from gateway.relay.exchange.session_tags import caller_id, session_of, tags_of
from gateway.relay.exchange.usage_tap import BYTES_PER_TOKEN
from gateway.routing.candidates import (
    RequestFeatures,
    depends_on_caller,
    depends_on_content,
    features_of,
    select_candidates,
    with_fallbacks,
)
from gateway.routing.circuit_breaker import CircuitState
from gateway.routing.latency import LatencyByTarget
from gateway.routing.retry_plan import Decision
from gateway.routing.snapshot import Route
from gateway.routing.strategies import Draw

# A picture of about a megapixel, in the terms of both large providers.
TOKENS_PER_IMAGE = 1600
TOKENS_PER_DOCUMENT = 3000
_NO_LOAD: dict[str, int] = {}


def request_features(call: Call) -> RequestFeatures:
    """The features of a call; of one that cannot be parsed, only its size.

    What its dialect does not understand may still be passed through as it is.
    """
    try:
        return features_of(call.request, estimate_tokens(call))
    except GatewayError:
        return RequestFeatures(estimated_tokens=max(1, len(call.body) // BYTES_PER_TOKEN))


def select_for_call(
    call: Call,
    route: Route,
    health: Mapping[str, CircuitState],
    latency_by_target: LatencyByTarget,
    now: float,
    draw: Draw,
    busy: Mapping[str, int] = _NO_LOAD,
) -> Decision:
    """Select the candidates of a call. Its body is parsed only if a routing step needs it."""
    routes = with_fallbacks(call.snapshot, route)
    features = (
        _routing_features(call, parsed=depends_on_content(routes))
        if depends_on_caller(routes)
        else None
    )
    return select_candidates(routes, features, health, latency_by_target, now, draw, busy)


def _routing_features(call: Call, *, parsed: bool) -> RequestFeatures:
    parsed_features = request_features(call) if parsed else RequestFeatures()
    return RequestFeatures(
        parsed_features.used,
        parsed_features.estimated_tokens,
        session_of(call),
        caller_id(call),
        tags_of(call),
        call.started_at,
    )


def estimate_tokens(call: Call) -> int:
    """Tokens by the bytes of the text, and a fixed price for each picture and file."""
    request = call.request
    media_tokens = 0
    media_bytes = 0
    for turn in request.turns:
        for part in turn.parts:
            match part:
                case Image():
                    media_tokens += TOKENS_PER_IMAGE
                    media_bytes += len(part.data or "")
                case Document():
                    media_tokens += TOKENS_PER_DOCUMENT if part.text is None else 0
                    media_bytes += len(part.data or "")
                case Audio():
                    media_bytes += len(part.data) // 2
                case _:
                    pass
    return max(1, (len(call.body) - media_bytes) // BYTES_PER_TOKEN + media_tokens)
