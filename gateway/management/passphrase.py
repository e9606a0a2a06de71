"""The option --passphrase-file of `backup` and `restore`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

_MIN_CHARS = 12


def add_passphrase_option(parser: CommandParser) -> None:
    """Add the option."""
    parser.add_argument(
        "--passphrase-file",
        metavar="FILE",
        help="a file whose first line is the passphrase of an encrypted backup",
    )


def read_passphrase(options: Mapping[str, Any]) -> str | None:
    """The passphrase in the file; None without the option. Raises CommandError."""
    path = options["passphrase_file"]
    if path is None:
        return None
    try:
        passphrase = Path(path).read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"--passphrase-file: {error}") from None
    if len(passphrase) < _MIN_CHARS:
        raise CommandError(f"the passphrase must have at least {_MIN_CHARS} characters")
    return passphrase
