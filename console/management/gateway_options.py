"""`--base-url` and `--key`: the options of commands that call a gateway as its clients do."""

from __future__ import annotations

import os
import re
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from django.core.management.base import CommandError, OutputWrapper

from console.client_environment import BASE_URL_VARIABLE, KEY_VARIABLE

BASE_URL = "http://localhost:4000"
BAD_INPUT = 2
_KEY = re.compile(r"[A-Za-z0-9_.~+/=-]+")


def add_gateway_options(parser: ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--base-url", help=f"base URL of the gateway (default: {BASE_URL})")
    parser.add_argument("--key", help=f"gateway key (default: ${KEY_VARIABLE})")


def read_gateway_options(options: dict[str, Any]) -> tuple[str, str]:
    """The base URL without `/v1`, and the key. Raises CommandError."""
    base_url = options["base_url"] or os.environ.get(BASE_URL_VARIABLE) or BASE_URL
    parts = urlsplit(base_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise CommandError("--base-url must begin with http:// or https://", returncode=BAD_INPUT)
    key = options["key"] or os.environ.get(KEY_VARIABLE) or ""
    if not key:
        raise CommandError(f"set --key or {KEY_VARIABLE} to a gateway key", returncode=BAD_INPUT)
    if not _KEY.fullmatch(key):
        raise CommandError("--key: a gateway key has no spaces or quotes", returncode=BAD_INPUT)
    return base_url.rstrip("/").removesuffix("/v1"), key


def print_progress(stream: OutputWrapper, *, quiet: bool) -> Callable[[int, int], None]:
    """Print progress: in a terminal on one line that changes, else every 10 %."""
    terminal = stream.isatty()

    def show(finished_count: int, total: int) -> None:
        if quiet:
            return
        if terminal:
            stream.write(
                f"\r{finished_count}/{total} responses",
                ending="\n" if finished_count == total else "",
            )
            stream.flush()
        elif (
            finished_count == total
            or finished_count * 10 // total > (finished_count - 1) * 10 // total
        ):
            stream.write(f"{finished_count}/{total} responses")

    return show
