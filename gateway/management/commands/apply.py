"""`manage.py apply FILE`: apply a configuration file to the registry and print the changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from gateway.compat.litellm.config.reader import ConfigError
from gateway.management.configuration_file import apply_file
from gateway.store.configuration import ChangeLine

_MAX_VALUE_CHARS = 200


class Command(BaseCommand):
    """Apply a configuration file."""

    help = (
        "Create or update the providers, models, routes, teams, keys and settings in FILE. "
        "They are managed by the file from then on: what it no longer contains is removed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options of `apply`."""
        parser.add_argument("file", help="YAML file in the format of `export`")
        parser.add_argument(
            "--dry-run", action="store_true", help="print the changes without applying them"
        )
        parser.add_argument(
            "--take",
            action="store_true",
            help="also change rows that are managed elsewhere, and manage them by this file",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Apply the file."""
        try:
            outcome = apply_file(
                Path(options["file"]), take=options["take"], dry_run=options["dry_run"]
            )
        except ConfigError as mistake:
            raise CommandError(str(mistake), returncode=2) from None
        for line in outcome.lines:
            self.stdout.write(_format_line(line))
        if not outcome.lines:
            self.stdout.write("no changes")
        for name, secret in outcome.keys:
            self.stdout.write(f"key of {name}, shown once: {secret}")


def _format_line(line: ChangeLine) -> str:
    head = f"{line.action} {line.kind} {line.name}"
    if line.action != "~":
        return head
    return f"{head}: {line.field}: {_format_value(line.before)} -> {_format_value(line.after)}"


def _format_value(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_VALUE_CHARS else f"{text[:_MAX_VALUE_CHARS]}..."
