"""The command line: `dragoman` in an installed package, `manage.py` in a checkout."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from gateway.config.program import program_version


def main() -> None:
    """Run one command; `help` lists them. Invalid settings exit with a one-line error."""
    if sys.argv[1:] in (["--version"], ["version"]):
        # Django's dispatcher would print its own version.
        print(f"dragoman {program_version()}")  # noqa: T201 - the command's output
        return
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        sys.argv[1] = sys.argv[1].replace("-", "_")  # `rotate-keys` is `rotate_keys`
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway.config.settings")
    set_data_dir(sys.argv)
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"Configuration error: {error}")


def set_data_dir(argv: list[str]) -> None:
    """Copy `--data-dir` into the environment: the settings depend on it."""
    if not set(argv[1:2]) & {"up", "backup", "restore"}:
        return
    for position, argument in enumerate(argv):
        name, equals, value = argument.partition("=")
        if name == "--data-dir":
            directory = value if equals else "".join(argv[position + 1 : position + 2])
            if directory:
                os.environ["DRAGOMAN_DATA_DIR"] = str(Path(directory).resolve())
