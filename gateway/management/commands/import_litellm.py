"""`manage.py import_litellm URL`: import the database of a LiteLLM proxy."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from gateway import audit, store
from gateway.compat.litellm.database.importer import Secrets, import_tables
from gateway.compat.litellm.database.source import SourceError, read_tables
from gateway.config import environment

_URL = "LITELLM_DATABASE_URL"


class Command(BaseCommand):
    """Import the database of a LiteLLM proxy."""

    help = (
        "Add the models, teams, keys and spend of a LiteLLM proxy's PostgreSQL database. Clients "
        "keep their keys. Existing rows are not changed, so you can repeat the import."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options of `import_litellm`."""
        parser.add_argument(
            "url",
            nargs="?",
            default=os.environ.get(_URL, ""),
            help=f"URL of the proxy's database (default: ${_URL}). Models are decrypted with "
            "$LITELLM_SALT_KEY, or $LITELLM_MASTER_KEY if the proxy had no salt key",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="print the report without importing anything"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Import it, and print the report."""
        if not options["url"]:
            raise CommandError(f"pass the URL of the database, or set {_URL}", returncode=2)
        secrets = Secrets(
            salt_key=os.environ.get("LITELLM_SALT_KEY", ""),
            master_key=os.environ.get("LITELLM_MASTER_KEY", ""),
        )
        try:
            if secrets.salt is not None:
                environment.require_extra("the models' encryption key", "nacl", "litellm")
            store.check_secrets()
            tables = read_tables(options["url"])
        except (SourceError, store.WrongSecrets, ImproperlyConfigured) as error:
            raise CommandError(str(error)) from None
        with audit.acting_as("import_litellm", "command"):
            report = import_tables(tables, secrets, dry_run=options["dry_run"])
        for line in report.lines():
            self.stdout.write(line)
        if options["dry_run"]:
            self.stdout.write("\nnothing was imported: this was a dry run")
