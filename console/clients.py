"""How to point a client here: the texts of `snippets` for one address and route.

No text holds a key but the one that is made for it on the spot (`with_key`).
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from console.dialects import title
from console.snippets import CLIENTS

KEY = "DRAGOMAN_KEY"
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")


class Panel(NamedTuple):
    """A client's text with the address and the route in it; `speaks` names its dialect."""

    id: str
    name: str
    language: str
    speaks: str
    text: str
    install: str


def panels(base: str, route: str, key: str = "") -> list[Panel]:
    """Every client's text for this address and route, with a key in place of the variable."""
    given = {
        "base": base,
        "key": KEY,
        "base_json": json.dumps(base),
        "route": _shell(route),
        "route_json": json.dumps(route),
    }
    return [
        Panel(
            c.id,
            c.name,
            c.language,
            title(c.speaks),
            with_key(c.text.format_map(_in(c.language, given)), KEY, key),
            c.install,
        )
        for c in CLIENTS
    ]


def with_key(text: str, variable: str, key: str) -> str:
    """The text with the key itself where it reads the variable; as it is for no key.

    A key of the gateway is letters, digits, `-` and `_`, which no quoting changes.
    """
    if not key or not _PLAIN.fullmatch(key):
        return text
    for form in (
        f'os.environ["{variable}"]',
        f"os.environ['{variable}']",
        f"process.env.{variable}",
    ):
        text = text.replace(form, f'"{key}"')
    return text.replace(f"${variable}", key)


def _in(language: str, given: dict[str, str]) -> dict[str, str]:
    """In a shell the JSON stands between single quotes."""
    if language != "bash":
        return given
    return {**given, "route_json": given["route_json"].replace("'", "'\\''")}


def _shell(text: str) -> str:
    plain = text.replace("/", "").replace("-", "").replace(".", "").replace("_", "")
    return text if plain.isalnum() else "'" + text.replace("'", "'\\''") + "'"
