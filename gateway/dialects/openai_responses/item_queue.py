"""Queue of a stream's output items: only the first emits events, later ones buffer."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from gateway.canon.events import Event
from gateway.dialects.openai_responses.names import Json
from gateway.dialects.openai_responses.stream_item import StreamItem


class ItemQueue:
    """Items by `output_index`; the events of later items are buffered until their turn."""

    def __init__(self) -> None:
        self._items: OrderedDict[int, StreamItem] = OrderedDict()
        self._ended: set[int] = set()
        # Number of items started.
        self.count = 0

    @property
    def first_index(self) -> int | None:
        """The index of the first open item; None if none is open."""
        return next(iter(self._items), None)

    def get(self, index: int) -> StreamItem | None:
        """The item at an index, if it was started and may still emit events."""
        return self._items.get(index)

    def index_of(self, data: Json) -> int:
        """The index in an event; without one, the index of the last started item."""
        index = data.get("output_index")
        return index if type(index) is int else next(reversed(self._items), 0)

    def is_late(self, name: str, index: Any) -> bool:
        """Whether an event is about an item that has ended."""
        if type(index) is not int or index not in self._ended:
            return False
        if name == "response.output_item.added":
            self._ended.discard(index)  # a server that numbers all its items alike
        return name != "response.output_item.added"

    def add(self, index: int, item: StreamItem) -> StreamItem:
        """Start an item."""
        self.count += 1
        self._items[index] = item
        return item

    def release(self, index: int, events: list[Event]) -> list[Event]:
        """The events, if this item is the first; else they are buffered."""
        if self.first_index == index:
            return events
        self._items[index].pending_events += events
        return []

    def end(self, index: int, final_events: list[Event]) -> list[Event]:
        """End an item with its last events, and release the events of the next items."""
        item = self._items[index]
        events = self.release(index, final_events)
        item.closed = True
        self._ended.add(index)
        while self.first_index is not None and self._items[self.first_index].closed:
            del self._items[self.first_index]
            if self.first_index is not None:
                next_item = self._items[self.first_index]
                events += next_item.pending_events
                next_item.pending_events = []
        return events
