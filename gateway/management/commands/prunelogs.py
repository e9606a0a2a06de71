"""Delete old rows of the request log."""

from __future__ import annotations

import datetime as dt
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from gateway.models import RequestLog


class Command(BaseCommand):
    """`manage.py prunelogs`."""

    help = "Delete requests and bodies older than the retention."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The options of `prunelogs`."""
        parser.add_argument("--days", type=int, default=settings.LOG_RETENTION_DAYS)

    def handle(self, *args: Any, **options: Any) -> None:
        """Prune."""
        if options["days"] < 0:
            raise CommandError("--days must not be negative")
        gone = RequestLog.objects.prune(timezone.now() - dt.timedelta(days=options["days"]))
        if options["verbosity"] > 0:
            self.stdout.write(f"requests deleted: {gone}")
