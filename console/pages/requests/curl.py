"""A logged request as a runnable curl command, with variables for secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping

from console.shell import quote

# Headers that curl or the connection sets itself, or that are hop-by-hop.
_OMITTED_HEADERS = frozenset(
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
# Other characters are legal in HTTP, but clients do not use them.
_NAME = re.compile(r"[A-Za-z0-9-]+")
MASK = "***"


def command(url: str, headers: Mapping[str, str], body: str, variable: str) -> str:
    """Return the command. Masked credentials become `$variable`, which the shell expands.

    Names with other characters are left out: only letters, digits and hyphens are safe inside the
    double quotes that the expansion needs.
    """
    # Without `-g`, curl expands braces and brackets in a URL.
    glob = "-g " if re.search(r"[\[\]{}]", url) else ""
    lines = [f"curl {glob}{quote(url)}", "  -H 'content-type: application/json'"]
    has_key = False
    for name, value in sorted(headers.items()):
        if name in _OMITTED_HEADERS or name.startswith(_STAINLESS) or not _NAME.fullmatch(name):
            continue
        if name in _KEY_HEADERS or value == MASK:
            if not has_key:
                lines.append(f"  -H {_secret_header(name, variable)}")
            has_key = True
        else:
            lines.append(f"  -H {quote(f'{name}: {value}')}")
    if not has_key:
        lines.append(f"  -H {_secret_header('authorization', variable)}")
    lines.append(f"  --data-raw {quote(body)}")
    return " \\\n".join(lines)


def _secret_header(name: str, variable: str) -> str:
    value = f"Bearer ${variable}" if name == "authorization" else f"${variable}"
    return f'"{name}: {value}"'
