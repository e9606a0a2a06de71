#!/usr/bin/env python
"""Dragoman's command line: `up` runs it, `help` lists the rest."""

import os
import sys


def main() -> None:
    """Hand over to Django's command dispatcher."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway.config.settings")
    from django.core.management import execute_from_command_line  # noqa: PLC0415 - after the variable

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
