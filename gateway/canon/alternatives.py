"""Several responses in one stream (`n` > 1).

The first response is streamed; the alternatives are buffered and sent when it has ended, unless
each comes from a call of its own and the client's API can interleave them (`AlternativeEvents`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec
from msgspec.structs import replace

from gateway.canon.errors import Error, GatewayError
from gateway.canon.events import Event
from gateway.canon.fold import fold_events
from gateway.canon.response import Response

Parser = TypeVar("Parser")


class AlternativeEvents(msgspec.Struct, frozen=True):
    """Events of an alternative response that is streamed next to the first one.

    `index` is that of the alternative, from 1. Its `End` ends only this alternative.
    """

    index: int
    events: list[Event]


class AlternativeParsers(Generic[Parser]):
    """The parsers of alternative responses, by their index in the provider's list."""

    def __init__(self, new_parser: Callable[[], Parser]) -> None:
        self._new_parser = new_parser
        self._streams: dict[int, tuple[Parser, list[Event]]] = {}

    def parser_for(self, index: int) -> tuple[Parser, list[Event]]:
        """The parser of the alternative with this index, and the list of its events."""
        if index not in self._streams:
            self._streams[index] = self._new_parser(), []
        return self._streams[index]

    def __len__(self) -> int:
        """The number of alternatives that have begun."""
        return len(self._streams)

    def close(self, close_parser: Callable[[Parser], list[Event]]) -> tuple[Response, ...]:
        """The alternatives in order; `close_parser` returns the last events of a parser.

        Raises GatewayError for one that is truncated or malformed.
        """
        streams = (self._streams[index] for index in sorted(self._streams))
        return tuple(
            _fold_alternative([*events, *close_parser(parser)]) for parser, events in streams
        )


class PassthroughAlternatives:
    """The alternatives of a passed stream that have begun, and which of them have not ended."""

    def __init__(self) -> None:
        self._open: set[int] = set()
        self._ended: set[int] = set()

    def update(self, index: int, *, ended: bool) -> None:
        """Record that an alternative has begun or, with its finish reason, ended."""
        if ended:
            self._open.discard(index)
            self._ended.add(index)
        elif index not in self._ended:
            self._open.add(index)

    @property
    def any_open(self) -> bool:
        """Whether an alternative has begun and not ended."""
        return bool(self._open)

    def __len__(self) -> int:
        """The number of alternatives that have begun."""
        return len(self._open) + len(self._ended)


def _fold_alternative(events: list[Event]) -> Response:
    response = replace(fold_events(events), usage=None)
    if response.finish.reason == "malformed":
        message = response.finish.explanation or "the model's output is malformed"
        raise GatewayError(Error(kind="malformed_output", message=message))
    return response
