"""`manage.py spend`: what was spent in a period, as CSV or JSON."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from gateway.accounting.spend import DIMENSIONS, parse_period, render_csv, spend


class Command(BaseCommand):
    """A thin wrapper around `accounting.spend`."""

    help = "Print spend by day, team, project, key, provider, model, route, tag or end user."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options of `spend`."""
        parser.add_argument(
            "--since",
            default="",
            help="first day, such as 2026-11-01, in UTC (default: start of this month)",
        )
        parser.add_argument("--until", default="", help="last day (default: today)")
        parser.add_argument("--by", default="day", help=f"one or more of {','.join(DIMENSIONS)}")
        parser.add_argument("--format", default="csv", choices=("csv", "json"))

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the spend."""
        names = [name.strip() for name in options["by"].split(",") if name.strip()]
        try:
            start, end = parse_period(options["since"], options["until"], timezone.now())
            rows = spend(start, end, names)
        except ValueError as error:
            raise CommandError(str(error)) from None
        if options["format"] == "csv":
            self.stdout.write(render_csv(rows, names), ending="")
        else:
            self.stdout.write(json.dumps(rows, indent=1, default=lambda usd: f"{usd:f}"))
