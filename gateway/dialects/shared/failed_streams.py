"""Responses and streams that failed: what all dialects say about them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from gateway.canon.adaptation import Adaptation, dropped_field
from gateway.canon.errors import Error, GatewayError, bad_upstream
from gateway.canon.events import End, Event, Failed, UsageUpdate
from gateway.canon.json_values import decode_or_none
from gateway.canon.response import Finish, Usage
from gateway.framing.sse import Frame

# For APIs without a field for it: without other content, it is the text of the response.
EXPLANATION_DROPPED: Adaptation = dropped_field(
    "finish.explanation", "the API has no field for the reason why the response ended"
)
TRUNCATED = bad_upstream("the upstream's stream ended before the response was complete").error
_decode = msgspec.json.Decoder().decode


def malformed_output_error(finish: Finish) -> Error:
    """The error for a response that the model malformed."""
    message = finish.explanation or "the model's output is malformed"
    return Error(kind="malformed_output", message=message)


def failed_events(error: Error, usage: Usage | None = None) -> list[Event]:
    """The last events of a stream that failed; `usage` are the tokens reported before, if any."""
    failed_event = Failed(error)
    return [failed_event] if usage is None else [UsageUpdate(usage), failed_event]


def events_before_error(final_events: list[Event]) -> list[Event]:
    """The final events of a response that an error follows; empty if it was not complete.

    A reason that is an error itself, or that the gateway does not know, completes no response.
    """
    end = final_events[-1] if final_events else None
    if not isinstance(end, End) or end.finish.reason == "malformed" or end.finish.unknown:
        return []
    return [*final_events[:-1], replace(end, error_follows=True)]


def decode_event(frame: Frame, parse_error: Callable[..., Error]) -> Any:
    """The JSON in an event.

    Raises GatewayError for anything else, and for an `error` event: with its error, as
    `parse_error` reads it from a payload or from the text `body`.
    """
    if frame.event == "error":
        raise GatewayError(parse_error(decode_or_none(frame.data), body=frame.data))
    try:
        return _decode(frame.data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise bad_upstream("the upstream sent an event that is not JSON") from None


def decode_event_object(frame: Frame, parse_error: Callable[..., Error]) -> dict[str, Any]:
    """The object in an event. Raises GatewayError like `decode_event`, and for other values."""
    value = decode_event(frame, parse_error)
    if not isinstance(value, dict):
        raise bad_upstream("the upstream sent an event that is not an object")
    return value
