"""Rebuild the hourly and daily roll-ups from the request log."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from gateway.store import usage


class Command(BaseCommand):
    """`manage.py rollup`."""

    help = "Recompute hourly and daily usage from the request log, as far back as the log reaches."

    def handle(self, *args: Any, **options: Any) -> None:
        """Rebuild them; idempotent."""
        rebuilt, unchanged = usage.rebuild()
        if options["verbosity"] > 0:
            self.stdout.write(f"hours recomputed: {rebuilt}")
            if unchanged:
                self.stdout.write(
                    f"hours left unchanged because their rows were pruned: {unchanged}"
                )
