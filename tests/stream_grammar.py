"""The grammar of a canonical stream: which event may follow which."""

from __future__ import annotations

from collections.abc import Iterable

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

# state -> {event type -> next state}. Failed is legal in every state but `over`, and the only
# event that may follow usage within a block.
GRAMMAR: dict[str, dict[type, str]] = {
    "new": {Start: "idle"},
    "idle": {BlockStart: "open", UsageUpdate: "idle", End: "over"},
    "open": {
        Delta: "open",
        CitationDelta: "open",
        SignatureDelta: "open",
        NativeDelta: "open",
        BlockEnd: "idle",
        UsageUpdate: "failing",
    },
    "failing": {},
    "over": {},
}


def check_stream(events: Iterable[Event]) -> None:
    """Raise ValueError with the event's name unless GRAMMAR allows this whole stream."""
    state = "new"
    for index, event in enumerate(events):
        if state == "over" or (type(event) not in GRAMMAR[state] and not isinstance(event, Failed)):
            raise ValueError(f"event {index}, {event!r}, is not allowed in state {state!r}")
        if isinstance(event, Delta) and not event.text:
            raise ValueError(f"event {index} is an empty Delta")
        state = "over" if isinstance(event, Failed) else GRAMMAR[state][type(event)]
    if state != "over":
        raise ValueError(f"the stream ends in state {state!r}, without End or Failed")
