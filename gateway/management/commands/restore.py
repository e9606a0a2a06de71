"""`manage.py restore FILE`: replace the database and secrets with those of a backup."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from gateway.backup import run
from gateway.backup.archive import ArchiveError
from gateway.backup.secrets import RESTORED_ENVIRONMENT
from gateway.management.passphrase import add_passphrase_option, read_passphrase


class Command(BaseCommand):
    """Restore a backup."""

    help = (
        "Restore the database and secret keys from a backup file into an empty database. Stop all "
        "nodes first. The whole file is verified before anything is changed."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options of `restore`."""
        parser.add_argument("file", help="a file written by `backup`")
        parser.add_argument(
            "--force", action="store_true", help="replace the content of a non-empty database"
        )
        parser.add_argument("--data-dir", help="as for `up`")
        add_passphrase_option(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Restore a backup file."""
        passphrase = read_passphrase(options)
        try:
            with Path(options["file"]).open("rb") as source:
                restored_backup = run.restore(source, passphrase, force=options["force"])
        except (ArchiveError, run.RestoreRefused) as error:
            raise CommandError(str(error), returncode=2) from None
        except OSError as error:
            name = error.filename or options["file"]
            raise CommandError(f"{name}: {error.strerror or error}") from None
        except DatabaseError as error:
            raise CommandError(f"the database cannot be written: {error}") from None
        manifest = restored_backup.manifest
        self.stdout.write(
            f"restored the backup of {manifest.created_at}, made by Dragoman "
            f"{manifest.program_version}"
        )
        if restored_backup.missing_settings:
            path = Path(settings.DATA_DIR) / RESTORED_ENVIRONMENT
            names = ", ".join(restored_backup.missing_settings)
            self.stdout.write(f"settings of the backup that differ here are in {path}: {names}")
