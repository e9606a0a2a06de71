"""Call every target once and print the result."""

from __future__ import annotations

import asyncio
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gateway import store
from gateway.routing.snapshot import Snapshot, Target
from gateway.simulate.probe import ProbeResult, probe_all
from gateway.terminal_text import printable_line


class Command(BaseCommand):
    """`manage.py probe`."""

    help = "Send one short live request to each target of the given routes (default: all routes)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options of `probe`."""
        parser.add_argument("routes", nargs="*", help="routes, aliases or provider/model names")
        parser.add_argument(
            "--timeout", type=float, default=20.0, help="timeout of each request, in seconds"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Probe the targets."""
        if not options["timeout"] > 0:
            raise CommandError("--timeout must be above 0")
        snapshot = store.load_snapshot()
        targets, patterns = select_targets(snapshot, options["routes"])
        for label in patterns:
            self.stderr.write(f"skipped  {label}  it is a wildcard; specify a model")
        results = asyncio.run(probe_all(snapshot, targets, timeout_s=options["timeout"]))
        for result in results:
            self.stdout.write(line(result))
        if any(not result.ok for result in results):
            raise CommandError("some targets did not respond")


def line(result: ProbeResult) -> str:
    """Format the result of one call."""
    status = "ok    " if result.ok else "failed"
    detail = printable_line(" ".join(result.detail.split()))
    return f"{status}  {result.target}  {result.ms:.0f} ms  {detail}"


def select_targets(snapshot: Snapshot, names: list[str]) -> tuple[list[Target], list[str]]:
    """Return the targets of these routes, or of all, each model once; and skipped wildcards.

    Raises CommandError for an unknown name.
    """
    targets: dict[str, Target] = {}
    for name in names or sorted(snapshot.routes):
        route = snapshot.route(name)
        if route is None:
            raise CommandError(f"there is no route `{name}`; `manage.py routes` lists them")
        targets.update({target.model.label: target for target in route.targets})
    patterns = [label for label in targets if "*" in label]
    return [target for label, target in targets.items() if label not in patterns], patterns
