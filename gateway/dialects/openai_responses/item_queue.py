"""The output items of a stream in the order they began: one speaks at a time."""

from __future__ import annotations

from typing import Any

from gateway.canon.events import Event
from gateway.dialects.openai_responses.item_in import Item
from gateway.dialects.openai_responses.names import Json


class ItemQueue:
    """Items by the wire's index; what comes for a later one is held until its turn."""

    def __init__(self) -> None:
        self._items: dict[int, Item] = {}
        self._ended: set[int] = set()
        # How many items have begun.
        self.count = 0

    @property
    def first(self) -> int | None:
        """The index of the item that speaks; None where none is open."""
        return next(iter(self._items), None)

    def get(self, index: int) -> Item | None:
        """The item at an index, if it has begun and may still speak."""
        return self._items.get(index)

    def index_of(self, data: Json) -> int:
        """The index in an event; where it has none, that of the item that began last."""
        index = data.get("output_index")
        return index if type(index) is int else next(reversed(self._items), 0)

    def is_late(self, name: str, index: Any) -> bool:
        """Whether an event is about an item that has ended."""
        if type(index) is not int or index not in self._ended:
            return False
        if name == "response.output_item.added":
            self._ended.discard(index)  # a server that numbers all its items alike
        return name != "response.output_item.added"

    def add(self, index: int, item: Item) -> Item:
        """Let an item begin."""
        self.count += 1
        self._items[index] = item
        return item

    def give(self, index: int, events: list[Event]) -> list[Event]:
        """The events, if it is this item's turn; else they are held."""
        if self.first == index:
            return events
        self._items[index].held += events
        return []

    def stop(self, index: int, last: list[Event]) -> list[Event]:
        """End an item with its last events; then those that waited speak."""
        item = self._items[index]
        events = self.give(index, last)
        item.closed = True
        self._ended.add(index)
        while self.first is not None and self._items[self.first].closed:
            del self._items[self.first]
            if self.first is not None:
                waiting = self._items[self.first]
                events += waiting.held
                waiting.held = []
        return events
