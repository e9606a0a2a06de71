"""Delete cached responses."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gateway import store
from gateway.models import Route


class Command(BaseCommand):
    """`manage.py clear_cache`."""

    help = "Delete the cached responses of one route, or of all routes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options of `clear_cache`."""
        parser.add_argument(
            "route", nargs="?", default="", help="name of the route (default: all routes)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Delete the cached responses."""
        name = options["route"]
        if name and not Route.objects.filter(name=name).exists():
            raise CommandError(f"there is no route {name}; `manage.py routes` lists them")
        deleted_count = store.clear_cache(name)
        if options["verbosity"] > 0:
            self.stdout.write(f"cached responses deleted: {deleted_count}")
