"""How a route keeps its answers, as typed in the editor: how long, and who shares them.

What the editor does not show travels with it as JSON.
"""

from __future__ import annotations

import json
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from gateway.routing.cache import MOST_TTL_S, TTL_S, policy

SCOPES: dict[str, str | Promise] = {
    "key": gettext_lazy("each key its own"),
    "team": gettext_lazy("the keys of a team share"),
    "route": gettext_lazy("all keys share"),
}
Typed = tuple[str, str, str]


def typed(cache: dict[str, Any]) -> Typed:
    """The seconds, the scope, and the rest as JSON; no seconds where nothing is kept."""
    rest = {name: value for name, value in cache.items() if name not in {"ttl_s", "scope"}}
    seconds = str(cache.get("ttl_s", TTL_S)) if cache else ""
    return seconds, str(cache.get("scope", "key")), json.dumps(rest, sort_keys=True)


def told(seconds: str, scope: str, rest: str) -> dict[str, Any]:
    """What a row holds. Raises ValueError in words for a person."""
    plain = seconds.replace(" ", "").replace(",", "")
    if not plain or plain == "0":
        return {}
    if not (plain.isascii() and plain.isdigit() and 0 < int(plain[:12]) <= MOST_TTL_S):
        raise ValueError(_("a number from 1 to %(most)d, or nothing") % {"most": MOST_TTL_S})
    try:
        kept = json.loads(rest)
    except ValueError:
        kept = {}
    found = kept if isinstance(kept, dict) else {}
    found |= {"ttl_s": int(plain), "scope": scope if scope in SCOPES else "key"}
    policy(found)
    return found
