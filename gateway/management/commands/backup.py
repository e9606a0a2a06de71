"""`manage.py backup FILE`: database, secrets and settings in one file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from gateway.backup import run
from gateway.management.passphrase import add_passphrase_option, read_passphrase


class Command(BaseCommand):
    """Make a backup."""

    help = (
        "Write the database, secret keys and settings to one file. The gateway can keep running. "
        "The file gives full access: store it like a password, or encrypt it with "
        "--passphrase-file."
    )
    # A failed check must not prevent a backup.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options of `backup`."""
        parser.add_argument("file", help="a new file, or - for standard output")
        parser.add_argument("--data-dir", help="as for `up`")
        add_passphrase_option(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Write the file."""
        passphrase = read_passphrase(options)
        name = options["file"]
        try:
            if name == "-":
                manifest = run.create(sys.stdout.buffer, passphrase)
            else:
                manifest = run.write_file(Path(name), passphrase)
            run.record_backup(manifest)
        except FileExistsError:
            raise CommandError(f"{name} exists; choose another name") from None
        except OSError as error:
            raise CommandError(f"{error.filename or name}: {error.strerror or error}") from None
        except DatabaseError as error:
            raise CommandError(f"the database cannot be read: {error}") from None
        size_mb = sum(member.bytes for member in manifest.members.values()) / 1e6
        encryption_label = "encrypted" if passphrase else "not encrypted"
        self.stderr.write(
            f"backup of {manifest.database}, Dragoman {manifest.program_version}: "
            f"{size_mb:.1f} MB before compression, {encryption_label}"
        )
