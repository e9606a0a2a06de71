"""The command line: `dragoman` in an installed package, `manage.py` in a checkout."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

from gateway.config.program import program_version

# Commands whose help lists `--data-dir`.
_LISTING_DATA_DIR = frozenset({"up", "backup", "restore"})


def main() -> None:
    """Run one command; `help` lists them. Invalid settings exit with a one-line error."""
    if sys.argv[1:] in (["--version"], ["version"]):
        # Django's dispatcher would print its own version.
        print(f"dragoman {program_version()}")  # noqa: T201 - the command's output
        return
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        sys.argv[1] = sys.argv[1].replace("-", "_")  # `rotate-keys` is `rotate_keys`
    # Imports and migrations create many objects, which Python would traverse again and again. A
    # start creates 300,000.
    gc.set_threshold(500_000)
    # httpx's own program, which it imports where rich is installed: 0.05 s and 4 MB.
    sys.modules["httpx._main"] = None  # type: ignore[assignment]
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway.config.settings")
    set_data_dir(sys.argv)
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"Configuration error: {error}")


def set_data_dir(argv: list[str]) -> None:
    """Move `--data-dir` from the arguments to the environment: the settings depend on it.

    Every command accepts it, also Django's own; it stays for commands that list it in their help.
    """
    position = next((n for n, text in enumerate(argv) if text.split("=")[0] == "--data-dir"), None)
    if position is None:
        return
    _name, equals, value = argv[position].partition("=")
    directory = value if equals else "".join(argv[position + 1 : position + 2])
    if not directory:
        return
    os.environ["DRAGOMAN_DATA_DIR"] = str(Path(directory).resolve())
    if argv[1] not in _LISTING_DATA_DIR:
        del argv[position : position + (1 if equals else 2)]
