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
from gateway.canon.fold import fold_events
from gateway.canon.response import Response

Parser = TypeVar("Parser")


class AlternativeParsers(Generic[Parser]):
    """The further answers, by their place in the provider's list."""

    def __init__(self, new_parser: Callable[[], Parser]) -> None:
        self._new_parser = new_parser
        self._streams: dict[int, tuple[Parser, list[Event]]] = {}

    def parser_for(self, index: int) -> tuple[Parser, list[Event]]:
        """The parser of the answer at this place, and where its events are gathered."""
        if index not in self._streams:
            self._streams[index] = self._new_parser(), []
        return self._streams[index]

    def close(self, close_parser: Callable[[Parser], list[Event]]) -> tuple[Response, ...]:
        """The answers in order; `end` gives what a parser still owes.

        Raises GatewayError for one that is cut or garbled.
        """
        streams = (self._streams[index] for index in sorted(self._streams))
        return tuple(
            _fold_alternative([*events, *close_parser(parser)]) for parser, events in streams
        )


def _fold_alternative(events: list[Event]) -> Response:
    response = replace(fold_events(events), usage=None)
    if response.finish.reason == "malformed":
        message = response.finish.explanation or "the model's output is malformed"
        raise GatewayError(Error(kind="malformed_output", message=message))
    return response
