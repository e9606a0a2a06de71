"""A logged request as a curl command that a person can run, with variables for secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping

from console.shell import quote

# Headers that curl or the connection makes itself, or that belong to one hop.
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
# Others are legal in HTTP, but no client of a model needs them.
_NAME = re.compile(r"[A-Za-z0-9-]+")
MASK = "***"


def command(url: str, headers: Mapping[str, str], body: str, variable: str) -> str:
    """The command. Masked credentials become `$variable`, which the shell fills in.

    Header names that no client needs are left out: only letters, digits and hyphens stand
    between the double quotes that let the shell fill in the variable.
    """
    # Without `-g` curl reads braces and brackets of a URL as several URLs.
    glob = "-g " if re.search(r"[\[\]{}]", url) else ""
    lines = [f"curl {glob}{quote(url)}", "  -H 'content-type: application/json'"]
    keyed = False
    for name, value in sorted(headers.items()):
        if name in _OMITTED_HEADERS or name.startswith(_STAINLESS) or not _NAME.fullmatch(name):
            continue
        if name in _KEY_HEADERS or value == MASK:
            if not keyed:
                lines.append(f"  -H {_secret(name, variable)}")
            keyed = True
        else:
            lines.append(f"  -H {quote(f'{name}: {value}')}")
    if not keyed:
        lines.append(f"  -H {_secret('authorization', variable)}")
    lines.append(f"  --data-raw {quote(body)}")
    return " \\\n".join(lines)


def _secret(name: str, variable: str) -> str:
    value = f"Bearer ${variable}" if name == "authorization" else f"${variable}"
    return f'"{name}: {value}"'
