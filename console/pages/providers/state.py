"""How a provider is, in one word and a sentence; and where its key is."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.forms.providers import variable_is_set
from gateway import store
from gateway.models import Provider, RequestLog
from gateway.relay import runtime
from gateway.routing.health import usable

LOOK_BACK = timedelta(hours=1)
# From this share of failures on a provider is called failing.
MANY = 0.5


class Health(NamedTuple):
    """The class of a dot, and what it means."""

    level: str
    words: str


class Credential(NamedTuple):
    """Where a provider's key is: `level` is the class of its pill."""

    level: str
    words: str


def healths(rows: Iterable[Provider]) -> dict[int, Health]:
    """The state of each provider by row id: what was left out, what rests, what failed."""
    warnings = _warnings()
    calls = RequestLog.objects.outcomes_by_provider(timezone.now() - LOOK_BACK)
    resting = _resting()
    return {row.pk: _health(row, warnings, resting, calls) for row in rows}


def _health(
    row: Provider,
    warnings: Mapping[str, Health],
    resting: Mapping[str, int],
    calls: Mapping[str, tuple[int, int]],
) -> Health:
    if not row.enabled:
        return Health("", _("Off"))
    if row.name in warnings:
        return warnings[row.name]
    count, failed = calls.get(row.name, (0, 0))
    if failed and failed >= count * MANY:
        told = _("%(failed)d of %(count)d requests failed in the last hour")
        return Health("bad", told % {"failed": failed, "count": count})
    if row.name in resting:
        return Health("warn", _("Models at rest: %(count)d") % {"count": resting[row.name]})
    if count:
        told = ngettext("%d request in the last hour", "%d requests in the last hour", count)
        return Health("ok", told % count)
    return Health("", _("No requests in the last hour"))


def _warnings() -> dict[str, Health]:
    """Provider -> why it is left out, or called without a key."""
    found = {}
    snapshot = store.load_snapshot()
    for warning in snapshot.warnings:
        kind, _space, rest = warning.row.partition(" `")
        if kind == "provider":
            name = rest.partition("`")[0]
            level = "warn" if name in snapshot.providers else "bad"
            found[name] = Health(level, warning.why[:1].upper() + warning.why[1:])
    return found


def _resting() -> dict[str, int]:
    """Provider -> how many of its models rest, as this process sees it."""
    live = runtime.current()
    found: dict[str, int] = {}
    if live is None:
        return found
    now = time.time()
    for label, state in list(live.health.items()):
        if not usable(state, now):
            name = label.partition("/")[0]
            found[name] = found.get(name, 0) + 1
    return found


def credential(row: Provider, *, admin: bool) -> Credential:
    """Where its key is. Only an admin sees how it ends and which variable it is."""
    if row.credential:
        hint = store.credential_hint(row) if admin else ""
        if hint == "unreadable":
            return Credential("bad", _("unreadable"))
        ends = hint.removeprefix("...") if hint.startswith("...") else ""
        return Credential("ok", f"•••• {ends}" if ends else _("stored"))
    if row.credential_env:
        ready = variable_is_set(row.credential_env)
        name = f"${row.credential_env}" if admin else _("environment")
        words = name if ready else _("%(name)s not set") % {"name": name}
        return Credential("ok" if ready else "warn", words)
    return Credential("", _("none"))


def rows_of(providers: Iterable[Provider], *, admin: bool) -> list[dict[str, Any]]:
    """What the list shows of each."""
    found = list(providers)
    states = healths(found)
    return [
        {"row": row, "health": states[row.pk], "credential": credential(row, admin=admin)}
        for row in found
    ]
