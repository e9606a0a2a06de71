"""Which clients use a route, by the model name that they request."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from gateway.models import ApiKey, RequestLog
from gateway.store.field_values import is_pattern

# The requests that are counted: the newest of the last 30 days.
WINDOW_DAYS = 30
MAX_REQUESTS = 5000
# How many clients and keys a row names.
MAX_SHOWN = 4

ROUTE, ALIAS, PATTERN, UNUSED = _("Route name"), _("Alias"), _("Pattern"), _("No longer in use")


@dataclass(slots=True)
class NameUse:
    """The requests of one model name.

    Attributes:
        kind: what the name is today: the route's own name, an alias, matched by a pattern.
        pattern: the pattern of aliases that matches the name; empty if none does.
        clients: requests by product of the `User-Agent` header; the empty one sent none.
        keys: requests by name of the API key, or by the log's prefix if the key is gone.
        last: start of the newest request; None if there was none.
    """

    name: str
    kind: Promise
    pattern: str = ""
    requests: int = 0
    clients: Counter[str] = field(default_factory=Counter)
    keys: Counter[str] = field(default_factory=Counter)
    last: dt.datetime | None = None

    @property
    def top_clients(self) -> list[tuple[str, int]]:
        """The clients with the most requests."""
        return self.clients.most_common(MAX_SHOWN)

    @property
    def more_clients(self) -> int:
        """How many clients `top_clients` leaves out."""
        return max(0, len(self.clients) - MAX_SHOWN)

    @property
    def top_keys(self) -> list[tuple[str, int]]:
        """The keys with the most requests."""
        return self.keys.most_common(MAX_SHOWN)

    @property
    def more_keys(self) -> int:
        """How many keys `top_keys` leaves out."""
        return max(0, len(self.keys) - MAX_SHOWN)


def name_uses(route: str, aliases: Iterable[str]) -> tuple[list[NameUse], int]:
    """Each name of a route with its clients, most requests first, and the requests counted.

    Names that nobody requested are rows without requests. Health checks are left out.
    """
    names = {route: NameUse(route, ROUTE)}
    patterns = [alias for alias in aliases if is_pattern(alias)]
    names |= {a: NameUse(a, PATTERN if a in patterns else ALIAS) for a in aliases}
    rows = RequestLog.objects.column_in("route", [route]).without_health_checks()
    rows = rows.matching(since=timezone.now() - dt.timedelta(days=WINDOW_DAYS))
    columns = ("requested_model", "user_agent", "key_id", "key_prefix", "started_at")
    counted_rows = list(rows.newest(MAX_REQUESTS).values_list(*columns))
    key_names = dict(ApiKey.objects.values_list("pk", "name"))
    for name, agent, key_id, prefix, started_at in counted_rows:
        use = names.get(name) or names.setdefault(name, _matching_pattern(name, patterns))
        use.requests += 1
        use.clients[product(agent)] += 1
        use.keys[key_names.get(key_id) or prefix] += 1
        use.last = max(use.last or started_at, started_at)
    # A pattern whose names were requested is on their rows.
    matched_patterns = {use.pattern for use in names.values()}
    uses = [use for use in names.values() if use.requests or use.name not in matched_patterns]
    return sorted(uses, key=lambda use: (-use.requests, use.name)), len(counted_rows)


def product(agent: str) -> str:
    """The product of a `User-Agent` header without its version, such as `claude-cli`."""
    return agent.partition(" ")[0].partition("/")[0]


def _matching_pattern(name: str, patterns: list[str]) -> NameUse:
    pattern = next((each for each in patterns if fnmatchcase(name, each)), "")
    return NameUse(name, PATTERN if pattern else UNUSED, pattern)
