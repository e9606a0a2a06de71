"""How many requests are under way at each target, where a route asks for it."""

from __future__ import annotations

from gateway.routing.snapshot import Snapshot

_LOAD_STRATEGIES = frozenset({"least_busy", "least_used"})


class TargetLoad:
    """Requests under way in this process, by `provider/model`.

    Attributes:
        counted_targets: the targets of routes whose strategy uses the load.
    """

    def __init__(self) -> None:
        self.in_flight: dict[str, int] = {}
        self.counted_targets: frozenset[str] = frozenset()

    def count_for(self, snapshot: Snapshot) -> None:
        """Count from now on what the routes of a snapshot ask for."""
        routes = (
            route for route in snapshot.routes.values() if route.strategies & _LOAD_STRATEGIES
        )
        self.counted_targets = frozenset(t.model.label for route in routes for t in route.targets)

    def begin_call(self, label: str) -> None:
        """A call of a target begins."""
        self.in_flight[label] = self.in_flight.get(label, 0) + 1

    def end_call(self, label: str) -> None:
        """It is over."""
        remaining = self.in_flight.get(label, 0) - 1
        if remaining > 0:
            self.in_flight[label] = remaining
        else:
            self.in_flight.pop(label, None)
