"""`manage.py logs`: the newest rows of the request log, in the terminal."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from console.templatetags.ui import ms, tokens, usd
from gateway.models import RequestLog
from gateway.terminal_text import printable_line

MAX_LINES = 10_000
POLL_S = 1.0
# On PostgreSQL a lower ID may become visible after a higher one: so many are looked at again.
OVERLAP = 200


class Command(BaseCommand):
    """Reads the database: it runs where the gateway runs."""

    help = "Print the newest requests in the log; --follow waits for new ones."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options of `logs`."""
        parser.add_argument(
            "-n", "--lines", type=int, default=20, help="rows to print (default: 20)"
        )
        parser.add_argument("-f", "--follow", action="store_true", help="follow the log")
        parser.add_argument("--route", help="only this route")
        parser.add_argument("--model", help="only this model")
        parser.add_argument("--provider", help="only this provider")
        parser.add_argument("--status", help="only this status, such as 429 or 5xx")
        parser.add_argument("--session", help="only this session")
        parser.add_argument("--search", help="only requests that contain these words")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the rows, oldest first."""
        if not 0 <= options["lines"] <= MAX_LINES:
            raise CommandError(f"--lines must be from 0 to {MAX_LINES}", returncode=2)
        names = ("route", "model", "provider", "status", "session")
        rows = RequestLog.objects.matching(
            **{name: options[name] for name in names}, text=options["search"]
        )
        newest = RequestLog.objects.newest_pk()
        rows_to_print = list(rows.filter(pk__lte=newest).order_by("-pk")[: options["lines"]])
        for row in reversed(rows_to_print):
            self.stdout.write(format_row(row))
        if options["follow"]:
            try:
                self._follow_log(rows, newest)
            except KeyboardInterrupt:
                return

    def _follow_log(self, rows: Any, newest: int) -> None:
        first, printed_pks = newest, set[int]()
        while True:
            time.sleep(POLL_S)
            after = max(first, max(printed_pks, default=0) - OVERLAP)
            for row in rows.filter(pk__gt=after).exclude(pk__in=printed_pks).order_by("pk"):
                self.stdout.write(format_row(row))
                self.stdout.flush()
                printed_pks.add(row.pk)
            printed_pks = {pk for pk in printed_pks if pk > max(printed_pks) - OVERLAP}


def format_row(row: RequestLog) -> str:
    """One row as a line: time, status, model, duration, tokens, cost, id, and the error if any."""
    model_label = f"{row.provider}/{row.model}" if row.model else ""
    route = row.route or row.requested_model
    model = f"{route} > {model_label}" if model_label and model_label != route else route
    parts = [
        f"{row.started_at:%H:%M:%S}",
        str(row.status),
        model or row.endpoint,
        ms(row.duration_ms),
        f"{tokens(row.prompt_tokens)} + {tokens(row.output_tokens)} tokens",
        usd(row.charged_usd),
        row.request_id,
    ]
    if row.error:
        parts.append(row.error)
    return printable_line("  ".join(str(part) for part in parts))
