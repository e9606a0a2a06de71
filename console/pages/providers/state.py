"""Health and credential status of providers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.insight import targets
from console.pages.providers.forms import variable_is_set
from console.templatetags.ui import count
from gateway import store
from gateway.models import Provider
from gateway.relay.runtime import Runtime
from gateway.routing.circuit_breaker import allows_call


class Health(NamedTuple):
    """CSS class of a status dot, and its text."""

    level: str
    text: str


class Credential(NamedTuple):
    """Where a provider's key is stored; `level` is the CSS class of its pill."""

    level: str
    text: str


def healths(rows: Iterable[Provider], runtime: Runtime | None) -> dict[int, Health]:
    """State of each provider by row id: configuration problems, cooldowns, failures.

    Whether it fails is the same question as in the sidebar (`targets.health_summary`).
    """
    warnings = _warnings_by_provider()
    attempts = targets.recent_attempts()
    sums = targets.sum_by_provider(attempts)
    failing_models = Counter(name for name, _model in targets.failing_targets(runtime, attempts))
    cooldowns = _models_in_cooldown(runtime)
    return {
        row.pk: _provider_health(row, warnings, cooldowns, failing_models, sums) for row in rows
    }


def _provider_health(
    row: Provider,
    warnings: Mapping[str, Health],
    cooldowns: Mapping[str, int],
    failing_models: Mapping[str, int],
    attempts: Mapping[str, tuple[int, int]],
) -> Health:
    if not row.enabled:
        return Health("", _("Disabled"))
    if row.name in warnings:
        return warnings[row.name]
    total, failed = attempts.get(row.name, (0, 0))
    if failed and failed >= total * targets.UNHEALTHY_SHARE:
        message = ngettext(
            "%(failed)s of %(count)s attempt failed in the last 2 hours",
            "%(failed)s of %(count)s attempts failed in the last 2 hours",
            total,
        )
        level = "bad" if targets.is_failing(total, failed) else "warn"
        return Health(level, message % {"failed": count(failed), "count": count(total)})
    if row.name in cooldowns:
        return Health("warn", _("Models in cooldown: %(count)d") % {"count": cooldowns[row.name]})
    if row.name in failing_models:
        return Health("warn", _("Models failing: %(count)d") % {"count": failing_models[row.name]})
    if total:
        message = ngettext(
            "%s attempt in the last 2 hours", "%s attempts in the last 2 hours", total
        )
        return Health("ok", message % count(total))
    return Health("", _("No requests in the last 2 hours"))


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
