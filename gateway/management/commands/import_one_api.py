"""`manage.py import_one_api DATABASE`: import the database of one-api or new-api."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gateway import audit, store
from gateway.compat.one_api.importer import import_tables
from gateway.compat.one_api.source import SourceError, read_tables

_DATABASE_VARIABLE = "ONE_API_DATABASE"


class Command(BaseCommand):
    """Import the database of one-api or new-api."""

    help = (
        "Add the channels, tokens and quotas of one-api or new-api. Clients keep their keys. "
        "Existing rows are not changed, so you can repeat the import."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options of `import_one_api`."""
        parser.add_argument(
            "database",
            nargs="?",
            default=os.environ.get(_DATABASE_VARIABLE, ""),
            help="path of the SQLite file, or URL of the PostgreSQL database "
            f"(default: ${_DATABASE_VARIABLE})",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="print the report without importing anything"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Import it, and print the report."""
        if not options["database"]:
            raise CommandError(f"pass the path or URL of the database, or set {_DATABASE_VARIABLE}")
        try:
            store.check_secrets()
            tables = read_tables(options["database"])
        except (SourceError, store.WrongSecrets) as error:
            raise CommandError(str(error)) from None
        with audit.acting_as("import_one_api", "command"):
            report = import_tables(tables, dry_run=options["dry_run"])
        for line in report.lines():
            self.stdout.write(line)
        if options["dry_run"]:
            self.stdout.write("\nnothing was imported: this was a dry run")
