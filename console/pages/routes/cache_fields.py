"""Response cache of a route, as entered in the editor: its TTL and scope.

Options that the editor does not display are carried along as JSON.
"""

from __future__ import annotations

import json
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.templatetags.ui import count
from gateway.routing.cache_policy import MAX_TTL_S, TTL_S, parse_cache_policy

SCOPES: dict[str, str | Promise] = {
    "key": gettext_lazy("Per key"),
    "team": gettext_lazy("Per team"),
    "route": gettext_lazy("Shared by all keys"),
}
CacheFields = tuple[str, str, str]


def cache_fields(cache: dict[str, Any]) -> CacheFields:
    """TTL, scope and the other options as JSON; an empty TTL if the cache is off."""
    extra = {name: value for name, value in cache.items() if name not in {"ttl_s", "scope"}}
    seconds = str(cache.get("ttl_s", TTL_S)) if cache else ""
    return seconds, str(cache.get("scope", "key")), json.dumps(extra, sort_keys=True)


def parse_cache(seconds: str, scope: str, extra_json: str) -> dict[str, Any]:
    """The cache options of the spec. Raises ValueError with a message for the form."""
    digits = seconds.replace(" ", "").replace(",", "")
    if not digits or digits == "0":
        return {}
    if not (digits.isascii() and digits.isdigit() and 0 < int(digits[:12]) <= MAX_TTL_S):
        raise ValueError(
            _("Enter a number of seconds from 1 to %(maximum)s (%(days)d days), or leave it empty.")
            % {"maximum": count(MAX_TTL_S), "days": MAX_TTL_S // 86_400}
        )
    try:
        extra = json.loads(extra_json)
    except (ValueError, RecursionError):
        extra = {}
    cache = extra if isinstance(extra, dict) else {}
    cache |= {"ttl_s": int(digits), "scope": scope if scope in SCOPES else "key"}
    parse_cache_policy(cache)
    return cache
