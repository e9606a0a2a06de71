"""Print the routes as the gateway sees them."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from gateway import store
from gateway.routing.snapshot import Snapshot


class Command(BaseCommand):
    """`manage.py routes`."""

    help = "Print every route, its targets, its other names, and what was left out."

    def handle(self, *args: Any, **options: Any) -> None:
        """Print."""
        snapshot = store.load_snapshot()
        for line in table(snapshot):
            self.stdout.write(line)
        for warning in snapshot.warnings:
            self.stderr.write(f"left out: {warning.row}: {warning.why}")


def table(snapshot: Snapshot) -> list[str]:
    """The routes as aligned lines, a heading first."""
    rows = [("ROUTE", "STRATEGY", "TARGETS", "ALSO")]
    names: dict[str, list[str]] = {name: [] for name in snapshot.routes}
    for pattern, named in [*snapshot.aliases.items(), *snapshot.wildcards]:
        names.setdefault(named, []).append(pattern)
    for name, route in sorted(snapshot.routes.items()):
        targets = ", ".join(target.model.label for target in route.targets)
        rows.append((name, route.strategy, targets, ", ".join(names[name])))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
