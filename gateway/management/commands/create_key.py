"""Create a gateway key and print it once."""

from __future__ import annotations

import datetime as dt
import re
from argparse import ArgumentParser
from fnmatch import fnmatchcase
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from gateway import audit, store
from gateway.models import Route

MAX_NAME = 200
_TIME_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Command(BaseCommand):
    """`manage.py create_key`."""

    help = "Create a gateway key and print it. The key is not stored and cannot be shown again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options of `create_key`."""
        parser.add_argument("name", help="describes who or what uses the key")
        parser.add_argument(
            "--routes", default="", help="allowed routes, comma-separated (default: all)"
        )
        parser.add_argument(
            "--expires",
            default="",
            help="lifetime of the key, such as 12h, 30d or 4w (default: never expires)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Create the key."""
        name = options["name"].strip()
        if not 0 < len(name) <= MAX_NAME:
            raise CommandError(f"a name must have 1 to {MAX_NAME} characters")
        routes = [route.strip() for route in options["routes"].split(",") if route.strip()]
        expires_at = parse_expiry(options["expires"])
        try:
            store.check_secrets()
        except store.WrongSecrets as error:
            raise CommandError(str(error)) from None
        for route in unmatched_routes(routes):
            self.stderr.write(f"warning: there is no route `{route}` yet")
        with audit.acting_as("create_key", "command"):
            _, secret = store.create_key(name, routes=routes, expires_at=expires_at)
        self.stdout.write(secret)


def unmatched_routes(routes: list[str]) -> list[str]:
    """Return the patterns that match no route now; a later route may match."""
    route_names = Route.objects.values_list("name", flat=True)
    return [route for route in routes if not any(fnmatchcase(name, route) for name in route_names)]


def parse_expiry(text: str) -> dt.datetime | None:
    """Return the time that is `text` (30d, 12h, ...) from now. Raises CommandError."""
    if not text:
        return None
    match = re.fullmatch(r"([1-9]\d{0,4})([mhdw])", text.strip())
    if match is None:
        raise CommandError("--expires must be a number followed by m, h, d or w, such as 30d")
    return timezone.now() + dt.timedelta(**{_TIME_UNITS[match[2]]: int(match[1])})
