"""Health and credential status of providers."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.insight.targets import MIN_ATTEMPTS, UNHEALTHY_SHARE
from console.pages.providers.forms import variable_is_set
from console.templatetags.ui import count
from gateway import store
from gateway.models import Provider, RequestLog
from gateway.relay.runtime import Runtime
from gateway.routing.circuit_breaker import allows_call

WINDOW = timedelta(hours=1)


class Health(NamedTuple):
    """CSS class of a status dot, and its text."""

    level: str
    text: str


class Credential(NamedTuple):
    """Where a provider's key is stored; `level` is the CSS class of its pill."""

    level: str
    text: str


def healths(rows: Iterable[Provider], runtime: Runtime | None) -> dict[int, Health]:
    """State of each provider by row id: configuration problems, cooldowns, failures."""
    warnings = _warnings_by_provider()
    calls = RequestLog.objects.outcomes_by_provider(timezone.now() - WINDOW)
    cooldowns = _models_in_cooldown(runtime)
    return {row.pk: _provider_health(row, warnings, cooldowns, calls) for row in rows}


def _provider_health(
    row: Provider,
    warnings: Mapping[str, Health],
    cooldowns: Mapping[str, int],
    calls: Mapping[str, tuple[int, int]],
) -> Health:
    if not row.enabled:
        return Health("", _("Disabled"))
    if row.name in warnings:
        return warnings[row.name]
    all_calls, failed_calls = calls.get(row.name, (0, 0))
    if failed_calls and failed_calls >= all_calls * UNHEALTHY_SHARE:
        message = ngettext(
            "%(failed)s of %(count)s request failed in the last hour",
            "%(failed)s of %(count)s requests failed in the last hour",
            all_calls,
        )
        level = "bad" if all_calls >= MIN_ATTEMPTS else "warn"
        return Health(level, message % {"failed": count(failed_calls), "count": count(all_calls)})
    if row.name in cooldowns:
        return Health("warn", _("Models in cooldown: %(count)d") % {"count": cooldowns[row.name]})
    if all_calls:
        message = ngettext("%s request in the last hour", "%s requests in the last hour", all_calls)
        return Health("ok", message % count(all_calls))
    return Health("", _("No requests in the last hour"))


def _warnings_by_provider() -> dict[str, Health]:
    """Return the reason why a provider is left out, or called without a key, by name."""
    healths = {}
    snapshot = store.current_snapshot()
    for warning in snapshot.warnings:
        kind, _space, remainder = warning.row.partition(" `")
        if kind == "provider":
            name = remainder.partition("`")[0]
            level = "warn" if name in snapshot.providers else "bad"
            healths[name] = Health(level, warning.reason[:1].upper() + warning.reason[1:])
    return healths


def _models_in_cooldown(runtime: Runtime | None) -> dict[str, int]:
    """Number of models in cooldown in this process, by provider name."""
    counts: dict[str, int] = {}
    if runtime is None:
        return counts
    now = time.monotonic()
    for label, state in list(runtime.health.items()):
        if not allows_call(state, now):
            name = label.partition("/")[0]
            counts[name] = counts.get(name, 0) + 1
    return counts


def credential(row: Provider, *, admin: bool) -> Credential:
    """Describe where a provider's key is stored; details are for admins only."""
    if row.credential:
        hint = store.credential_hint(row) if admin else ""
        if hint == "unreadable":
            return Credential("bad", _("unreadable"))
        last_chars = hint.removeprefix("...") if hint.startswith("...") else ""
        return Credential("ok", f"•••• {last_chars}" if last_chars else _("stored"))
    if row.credential_env:
        is_set = variable_is_set(row.credential_env)
        name = f"${row.credential_env}" if admin else _("environment")
        text = name if is_set else _("%(name)s not set") % {"name": name}
        return Credential("ok" if is_set else "warn", text)
    return Credential("", _("none"))


def rows_of(
    providers: Iterable[Provider], runtime: Runtime | None, *, admin: bool
) -> list[dict[str, Any]]:
    """Return the rows of the list."""
    rows = list(providers)
    states = healths(rows, runtime)
    return [
        {"row": row, "health": states[row.pk], "credential": credential(row, admin=admin)}
        for row in rows
    ]
