"""Fill the request log with generated rows, for benchmarks and for trying the console."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.utils import timezone

from gateway.management.seed_requests import SPAN_S, seed


class Command(BaseCommand):
    """`manage.py seed_requests`."""

    help = "Fill the log with generated requests. Do not use it on a production database."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options of `seed_requests`."""
        parser.add_argument("count", type=int, help="number of rows")
        parser.add_argument(
            "--days", type=float, default=SPAN_S / 86400, help="number of days they cover"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Write the rows, then update the database's statistics."""
        if options["count"] < 1 or options["days"] <= 0:
            raise CommandError("count and --days must be greater than 0")
        until, span_s = timezone.now().timestamp(), options["days"] * 86400
        for written_count in seed(options["count"], until=until, span_s=span_s):
            if options["verbosity"] > 1:
                self.stdout.write(f"{written_count} rows")
        with connection.cursor() as cursor:
            # As autovacuum does in time; until then, PostgreSQL cannot answer from an index alone.
            cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")
        if options["verbosity"] > 0:
            self.stdout.write(f"rows written: {options['count']}")
