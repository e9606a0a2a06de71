"""What a request is, as far as its way through a route or its token count needs it."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.canon.errors import GatewayError
from gateway.canon.request import Audio, Document, Image
from gateway.relay.asker import session_of, tags_of, who
from gateway.relay.call import Call
from gateway.relay.tap import BYTES_PER_TOKEN
from gateway.routing.course import Decision
from gateway.routing.health import State
from gateway.routing.plan import Facts, asks, decide, facts_of, reads, with_fallbacks
from gateway.routing.readings import Readings
from gateway.routing.snapshot import Route
from gateway.routing.strategies import Draw

# A picture of about a megapixel, in the terms of both large providers.
TOKENS_PER_IMAGE = 1600
TOKENS_PER_DOCUMENT = 3000
_IDLE: dict[str, int] = {}


def facts(call: Call) -> Facts:
    """The facts of a call. One that can not be read is known by its length only.

    What its dialect does not understand may still be passed through as it is.
    """
    try:
        return facts_of(call.request, estimate(call))
    except GatewayError:
        return Facts(tokens=max(1, len(call.body) // BYTES_PER_TOKEN))


def decision(
    call: Call,
    route: Route,
    health: Mapping[str, State],
    readings: Readings,
    now: float,
    draw: Draw,
    busy: Mapping[str, int] = _IDLE,
) -> Decision:
    """The way of a call through its route. Its body is parsed only if a step asks for it."""
    routes = with_fallbacks(call.snapshot, route)
    known = _asked(call, parsed=reads(routes)) if asks(routes) else None
    return decide(routes, known, health, readings, now, draw, busy)


def _asked(call: Call, *, parsed: bool) -> Facts:
    said = facts(call) if parsed else Facts()
    return Facts(
        said.uses, said.tokens, session_of(call), who(call), tags_of(call), call.started_at
    )


def estimate(call: Call) -> int:
    """Tokens by the bytes of the text, and a fixed price for each picture and file."""
    request = call.request
    media = 0
    data = 0
    for turn in request.turns:
        for part in turn.parts:
            match part:
                case Image():
                    media += TOKENS_PER_IMAGE
                    data += len(part.data or "")
                case Document():
                    media += TOKENS_PER_DOCUMENT if part.text is None else 0
                    data += len(part.data or "")
                case Audio():
                    data += len(part.data) // 2
                case _:
                    pass
    return max(1, (len(call.body) - data) // BYTES_PER_TOKEN + media)
