"""Print the routes of the current snapshot."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from gateway import store
from gateway.models import Route
from gateway.routing.snapshot import Snapshot

HEADING = ("ROUTE", "STRATEGY", "TARGETS", "ALSO", "SOURCE")


class Command(BaseCommand):
    """`manage.py routes`."""

    help = "Print all routes with their targets and aliases, and rows that were skipped."

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the routes and the warnings."""
        snapshot = store.load_snapshot()
        for line in table(snapshot, sources()):
            self.stdout.write(line)
        for warning in snapshot.warnings:
            self.stderr.write(f"warning: {warning.row}: {warning.reason}")


def sources() -> dict[str, str]:
    """Return the source of each route by name: `file litellm_config.yaml:12`."""
    rows = Route.objects.values_list("name", "source", "source_ref")
    return {name: f"{source} {ref}".rstrip() for name, source, ref in rows}


def table(snapshot: Snapshot, sources: dict[str, str]) -> list[str]:
    """Format the routes as aligned lines, with a heading."""
    aliases_by_route: dict[str, list[str]] = {name: [] for name in snapshot.routes}
    for pattern, route_name in [*snapshot.aliases.items(), *snapshot.wildcards]:
        if pattern != route_name:
            aliases_by_route.setdefault(route_name, []).append(pattern)
    rows = [HEADING]
    for name, route in sorted(snapshot.routes.items()):
        targets = ", ".join(target.model.label for target in route.targets) or "-"
        aliases = ", ".join(aliases_by_route[name]) or "-"
        rows.append((name, route.strategy, targets, aliases, sources.get(name, "")))
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADING))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
