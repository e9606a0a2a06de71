"""The order of events of a provider that may send several content blocks at a time."""

from __future__ import annotations

from typing import Any, Literal

Json = dict[str, Any]
# `stop` ends the whole message.
Phase = Literal["start", "delta", "end", "stop"]
NamedEvent = tuple[str, Json]


class BlockOrder:
    """Puts events in the order of their blocks: canonically, one block is open at a time.

    Events of other blocks wait while a block with a start is open: until its end, or until the
    end of the message where a server sends none.
    """

    def __init__(self) -> None:
        self._open_index: int | None = None
        # Index of a block -> its events, in the order in which the blocks began.
        self._waiting: dict[int, list[tuple[Phase, NamedEvent]]] = {}

    def feed(self, phase: Phase, index: Any, event: NamedEvent) -> list[NamedEvent]:
        """The events to handle now; one without an index belongs to the open block."""
        if phase == "stop":
            self._open_index = None
            return [*self._release_waiting(all_blocks=True), event]
        if type(index) is not int or self._open_index in {None, index}:
            self._track_open_block(phase, index)
            return [event, *self._release_waiting()]
        self._waiting.setdefault(index, []).append((phase, event))
        return []

    def _track_open_block(self, phase: Phase, index: Any) -> None:
        if phase == "start":
            self._open_index = index if type(index) is int else None
        elif phase == "end":
            self._open_index = None

    def _release_waiting(self, *, all_blocks: bool = False) -> list[NamedEvent]:
        """The events of the next blocks, up to one that has not ended."""
        events: list[NamedEvent] = []
        while self._waiting and (all_blocks or self._open_index is None):
            index = next(iter(self._waiting))
            for phase, event in self._waiting.pop(index):
                self._track_open_block(phase, index)
                events.append(event)
        return events
