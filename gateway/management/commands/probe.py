"""Call every target once and say what came back."""

from __future__ import annotations

import asyncio
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gateway import store
from gateway.relay.probe import probe_all
from gateway.routing.snapshot import Snapshot, Target


class Command(BaseCommand):
    """`manage.py probe`."""

    help = "Make one small live call of every target (of the routes named, or of all)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The options of `probe`."""
        parser.add_argument("routes", nargs="*", help="routes, aliases or provider/model names")
        parser.add_argument("--timeout", type=float, default=20.0, help="seconds for each call")

    def handle(self, *args: Any, **options: Any) -> None:
        """Probe."""
        snapshot = store.load_snapshot()
        targets = chosen(snapshot, options["routes"])
        results = asyncio.run(probe_all(snapshot, targets, timeout_s=options["timeout"]))
        for result in results:
            mark = "ok    " if result.ok else "failed"
            self.stdout.write(f"{mark}  {result.target}  {result.ms:.0f} ms  {result.detail}")
        if any(not result.ok for result in results):
            raise CommandError("not every target answered")


def chosen(snapshot: Snapshot, names: list[str]) -> list[Target]:
    """The targets of these routes, of all if none is named; each model once."""
    found: dict[str, Target] = {}
    for name in names or sorted(snapshot.routes):
        route = snapshot.route(name)
        if route is None:
            raise CommandError(f"there is no route `{name}`; `manage.py routes` lists them")
        found.update({target.model.label: target for target in route.targets})
    return list(found.values())
