#!/usr/bin/env python
"""Dragoman's command line: `up` runs it, `help` lists the rest."""

import os
import sys
from pathlib import Path


def main() -> None:
    """Hand over to Django's command dispatcher."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway.config.settings")
    early_options(sys.argv)
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"Configuration error: {error}")


def early_options(argv: list[str]) -> None:
    """Take the options of `up` that the settings depend on before they are read."""
    if argv[1:2] != ["up"]:
        return
    for position, word in enumerate(argv):
        name, equals, value = word.partition("=")
        if name == "--data-dir":
            given = value if equals else "".join(argv[position + 1 : position + 2])
            if given:
                os.environ["DRAGOMAN_DATA_DIR"] = str(Path(given).resolve())


if __name__ == "__main__":
    main()
