"""A logged request as a curl command that a person can run, with variables for secrets."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

# Headers that curl or the connection makes itself, or that belong to one hop.
_LEFT_OUT = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "host",
        "transfer-encoding",
        "user-agent",
    }
)
_KEY_HEADERS = ("authorization", "x-api-key", "api-key", "x-goog-api-key")
_STAINLESS = "x-stainless-"
MASK = "***"


def command(url: str, headers: Mapping[str, str], body: str, variable: str) -> str:
    """The command. Masked credentials become `$variable`, which the shell fills in."""
    lines = [f"curl {shlex.quote(url)}", "  -H 'content-type: application/json'"]
    keyed = False
    for name, value in sorted(headers.items()):
        if name in _LEFT_OUT or name.startswith(_STAINLESS):
            continue
        if name in _KEY_HEADERS or value == MASK:
            if not keyed:
                lines.append(f"  -H {_secret(name, variable)}")
            keyed = True
        else:
            lines.append(f"  -H {shlex.quote(f'{name}: {value}')}")
    if not keyed:
        lines.append(f"  -H {_secret('authorization', variable)}")
    lines.append(f"  --data-raw {shlex.quote(body)}")
    return " \\\n".join(lines)


def _secret(name: str, variable: str) -> str:
    value = f"Bearer ${variable}" if name == "authorization" else f"${variable}"
    return f'"{name}: {value}"'
