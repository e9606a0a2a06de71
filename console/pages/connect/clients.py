"""Settings that point a client at the gateway: `panels` for one base URL and route.

No panel contains a key, except one that was just created (`with_key`).
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from console.client_environment import KEY_VARIABLE
from console.dialects import title
from console.pages.connect.snippets import CLIENTS
from console.shell import quote

_KEY_PATTERN = re.compile(r"[A-Za-z0-9_-]+")


class Panel(NamedTuple):
    """A client's snippet with base URL and route filled in; `dialect_title` names its API."""

    id: str
    name: str
    language: str
    dialect_title: str
    text: str
    install: str
    group: str


def panels(base: str, route: str, key: str = "") -> list[Panel]:
    """Return the snippets of all clients; `key` replaces the variable."""
    substitutions = {
        "base": base,
        "key": KEY_VARIABLE,
        "base_json": json.dumps(base, ensure_ascii=False),
        "route": _quote_for_shell(route),
        "route_json": json.dumps(route, ensure_ascii=False),
        "opencode_json": json.dumps(f"dragoman/{route}", ensure_ascii=False),
        # One line: a line break would end a comment or a row of settings.
        "route_text": " ".join(route.split()),
        "base_json_v1": json.dumps(f"{base}/v1", ensure_ascii=False),
    }
    client_panels = [
        Panel(
            c.id,
            c.name,
            c.language,
            title(c.dialect),
            with_key(
                c.text.format_map(_quote_for_language(c.language, substitutions)), KEY_VARIABLE, key
            ),
            c.install,
            c.group,
        )
        for c in CLIENTS
    ]
    # The groups in the order of their first clients.
    groups = list(dict.fromkeys(c.group for c in CLIENTS))
    return sorted(client_panels, key=lambda panel: groups.index(panel.group))


def with_key(text: str, variable: str, key: str) -> str:
    """Replace the variable in a text by the key; unchanged without a key.

    Gateway keys contain only letters, digits, `-` and `_`, so quoting is not needed.
    """
    if not key or not _KEY_PATTERN.fullmatch(key):
        return text
    for form in (
        f'os.environ["{variable}"]',
        f"os.environ['{variable}']",
        f"process.env.{variable}",
    ):
        text = text.replace(form, f'"{key}"')
    return text.replace(f"${variable}", key)


def _quote_for_language(language: str, substitutions: dict[str, str]) -> dict[str, str]:
    """Quote JSON for a shell command, in single quotes."""
    if language != "bash":
        return substitutions
    return {**substitutions, "route_json": substitutions["route_json"].replace("'", "'\\''")}


def _quote_for_shell(text: str) -> str:
    significant = text.replace("/", "").replace("-", "").replace(".", "").replace("_", "")
    return text if significant.isalnum() else quote(text)
