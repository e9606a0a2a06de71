"""Further answers in one stream, where a request asked for several.

A client hears one answer after the other, so all but the first are kept until the end.
Those that nobody asked for are not read at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from msgspec.structs import replace

from gateway.canon.errors import Error, GatewayError
from gateway.canon.events import Event
from gateway.canon.fold import fold
from gateway.canon.response import Response

Parser = TypeVar("Parser")


class Others(Generic[Parser]):
    """The further answers, by their place in the provider's list."""

    def __init__(self, make: Callable[[], Parser]) -> None:
        self._make = make
        self._read: dict[int, tuple[Parser, list[Event]]] = {}

    def at(self, place: int) -> tuple[Parser, list[Event]]:
        """The parser of the answer at this place, and where its events are gathered."""
        if place not in self._read:
            self._read[place] = self._make(), []
        return self._read[place]

    def close(self, end: Callable[[Parser], list[Event]]) -> tuple[Response, ...]:
        """The answers in order; `end` gives what a parser still owes.

        Raises GatewayError for one that is cut or garbled.
        """
        read = (self._read[place] for place in sorted(self._read))
        return tuple(_whole([*events, *end(parser)]) for parser, events in read)


def _whole(events: list[Event]) -> Response:
    answer = replace(fold(events), usage=None)
    if answer.finish.reason == "malformed":
        message = answer.finish.explanation or "the model's output is malformed"
        raise GatewayError(Error(kind="malformed_output", message=message))
    return answer
