"""Delete old rows of the request log."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gateway import store


class Command(BaseCommand):
    """`manage.py prune_logs`."""

    help = "Delete requests and bodies that are older than the retention period."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options of `prune_logs`."""
        parser.add_argument("--days", type=int, help="retention in days (default: the setting)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Delete the rows."""
        days = options["days"]
        if days is not None and days < 0:
            raise CommandError("--days must not be negative")
        deleted_rows, deleted_bodies = store.prune(days)
        if options["verbosity"] > 0:
            self.stdout.write(f"requests deleted: {deleted_rows}")
            if deleted_bodies:
                self.stdout.write(f"bodies deleted: {deleted_bodies}")
