"""How many requests are under way at each target, where a route asks for it."""

from __future__ import annotations

from gateway.routing.snapshot import Snapshot

_ASKING = frozenset({"least_busy", "least_used"})


class Load:
    """Requests under way in this process, by `provider/model`.

    Attributes:
        watched: the targets that are counted: those of routes which choose by it.
    """

    def __init__(self) -> None:
        self.busy: dict[str, int] = {}
        self.watched: frozenset[str] = frozenset()

    def watch(self, snapshot: Snapshot) -> None:
        """Count from now on what the routes of a snapshot ask for."""
        asking = (route for route in snapshot.routes.values() if route.strategies & _ASKING)
        self.watched = frozenset(t.model.label for route in asking for t in route.targets)

    def enter(self, label: str) -> None:
        """A call of a target begins."""
        self.busy[label] = self.busy.get(label, 0) + 1

    def leave(self, label: str) -> None:
        """It is over."""
        left = self.busy.get(label, 0) - 1
        if left > 0:
            self.busy[label] = left
        else:
            self.busy.pop(label, None)
