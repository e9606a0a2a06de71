"""`manage.py export`: the registry as YAML that `apply` reads, without secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from gateway.store.configuration import export_yaml


class Command(BaseCommand):
    """Write providers, models, routes, teams, keys and settings."""

    help = "Print the configuration as YAML, without secrets; `apply` reads it."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options of `export`."""
        parser.add_argument("file", nargs="?", help="output file (default: standard output)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write the file, or print it."""
        text = export_yaml()
        if options["file"] in {None, "-"}:
            self.stdout.write(text, ending="")
            return
        try:
            Path(options["file"]).write_text(text, encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{options['file']}: {error.strerror}") from None
