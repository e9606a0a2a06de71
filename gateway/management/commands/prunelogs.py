"""Delete old rows of the request log."""

from __future__ import annotations

import datetime as dt
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from gateway import store
from gateway.models import RequestBody, RequestLog


class Command(BaseCommand):
    """`manage.py prunelogs`."""

    help = "Delete requests and bodies older than the retention."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The options of `prunelogs`."""
        parser.add_argument("--days", type=int, help="instead of what the settings say")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prune."""
        days = options["days"]
        if days is not None and days < 0:
            raise CommandError("--days must not be negative")
        kept = store.load_options()
        now = timezone.now()
        gone = RequestLog.objects.prune(
            now - dt.timedelta(days=kept.row_days if days is None else days)
        )
        bodies = RequestBody.objects.prune(now - dt.timedelta(days=kept.body_days))
        if options["verbosity"] > 0:
            self.stdout.write(f"requests deleted: {gone}")
            if bodies:
                self.stdout.write(f"bodies deleted: {bodies}")
