"""The conditions that raise alerts, as they hold at one moment."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import Count, Q

from gateway.canon.errors import KINDS
from gateway.models import ApiKey, LogExport, RequestLog
from gateway.models.alert import AlertEvent
from gateway.relay.journal.gauges import process_values
from gateway.relay.limits.limiter import budget_rules, remaining_budgets
from gateway.relay.runtime import Runtime
from gateway.routing.limits import UNITS
from gateway.routing.snapshot import Snapshot

# Shares of a budget at which there is an alert.
BUDGET_SHARES = (1.0, 0.8)
KEY_EXPIRY = timedelta(days=7)
# A provider's error rate is looked at over this time, given this many requests.
ERROR_WINDOW = timedelta(minutes=5)
ERROR_MIN_REQUESTS = 20
ERROR_SHARE = 0.25
# Errors of clients do not count against a provider.
_PROVIDER_ERRORS = tuple(name for name, kind in KINDS.items() if kind.retryable)
# Rows of the request log that wait before there is an alert.
LOG_BACKLOG_ROWS = 5_000
# Exports of the log may fail for so long before there is an alert.
EXPORT_FAILS = timedelta(minutes=15)


class Condition(NamedTuple):
    """A condition that holds. `per_node`: whether other machines may not see it."""

    event: AlertEvent
    subject: str
    message: str
    per_node: bool = False


class ProcessFigures(NamedTuple):
    """What the process that checks knows without the database.

    Attributes:
        snapshot: the registry in use.
        budgets: limit and spend of each budget in US dollars, by owner and span.
        cooldowns: labels of targets that are in cooldown, or have not succeeded since.
        lost_rows: rows of the request log lost since the start.
        waiting_rows: rows of the request log that are not yet in the database.
    """

    snapshot: Snapshot
    budgets: dict[tuple[str, str], tuple[float, float]]
    cooldowns: tuple[str, ...]
    lost_rows: int
    waiting_rows: int


def read_process_figures(runtime: Runtime) -> ProcessFigures:
    """Read the runtime's figures. Runs in a thread; what the loop owns is read in the loop."""
    rules = budget_rules(runtime.snapshot)
    limits = {(rule.owner, rule.span): rule.limit / UNITS for rule in rules}
    limiter = runtime.limiter
    remaining = runtime.run_in_loop(
        lambda: remaining_budgets(limiter.counters, rules, limiter.now())
    )
    values = runtime.run_in_loop(
        lambda: process_values(runtime.journal, runtime.monitor, runtime.config.max_requests)
    )
    states = runtime.run_in_loop(lambda: dict(runtime.health))
    return ProcessFigures(
        snapshot=runtime.snapshot,
        budgets={span: (limits[span], limits[span] - left) for span, left in remaining.items()},
        cooldowns=tuple(sorted(label for label, state in states.items() if state.open_until)),
        lost_rows=values.rows_dropped + values.rows_refused + values.unrecorded_rows,
        waiting_rows=values.spool_rows,
    )


def current_conditions(figures: ProcessFigures, now: datetime) -> list[Condition]:
    """All conditions that hold. Queries the database."""
    return [
        *_budgets(figures),
        *_error_rates(now),
        *_cooldowns(figures),
        *_request_log(figures),
        *_expiring_keys(now),
        *_log_export(now),
    ]


def _budgets(figures: ProcessFigures) -> Iterator[Condition]:
    names = _owner_names(figures.snapshot)
    for (owner, span), (limit, spent) in figures.budgets.items():
        share = next((s for s in BUDGET_SHARES if limit > 0 and spent >= s * limit), None)
        if share is None:
            continue
        name = names.get(owner, owner)
        subject = f"{name}, {span}: {share:.0%}"
        message = f"{name} has used ${spent:.2f} of its {span} budget of ${limit:.2f}."
        yield Condition(AlertEvent.BUDGET, subject, message)


def _owner_names(snapshot: Snapshot) -> dict[str, str]:
    names = {"all": "The gateway"}
    names |= {f"provider:{p.id}": f"Provider {p.name}" for p in snapshot.providers.values()}
    for route in snapshot.routes.values():
        for target in route.targets:
            names[f"target:{target.id}"] = f"Target {route.name} > {target.model.label}"
    for key in snapshot.keys.values():
        names[f"key:{key.id}"] = f"API key {key.name}"
        for team in key.team.line if key.team is not None else ():
            names[f"team:{team.id}"] = f"Team {team.name}"
    return names


def _error_rates(now: datetime) -> Iterator[Condition]:
    recent = RequestLog.objects.filter(started_at__gte=now - ERROR_WINDOW).exclude(provider="")
    failed = Count("pk", filter=Q(error_kind__in=_PROVIDER_ERRORS))
    rows = recent.order_by().values("provider").annotate(n=Count("pk"), bad=failed)
    for row in rows:
        share = row["bad"] / row["n"]
        if row["n"] >= ERROR_MIN_REQUESTS and share >= ERROR_SHARE:
            message = (
                f"{row['bad']} of {row['n']} requests to {row['provider']} failed "
                f"in the last {ERROR_WINDOW.seconds // 60} minutes."
            )
            yield Condition(AlertEvent.ERROR_RATE, row["provider"], message)


def _cooldowns(figures: ProcessFigures) -> Iterator[Condition]:
    for label in figures.cooldowns:
        message = f"{label} is in cooldown after repeated failures."
        yield Condition(AlertEvent.COOLDOWN, label, message, per_node=True)


def _request_log(figures: ProcessFigures) -> Iterator[Condition]:
    if figures.lost_rows:
        message = f"{figures.lost_rows} rows of the request log were lost since the start."
        yield Condition(AlertEvent.REQUEST_LOG, "rows lost", message, per_node=True)
    if figures.waiting_rows >= LOG_BACKLOG_ROWS:
        message = f"{figures.waiting_rows} rows of the request log wait for the database."
        yield Condition(AlertEvent.REQUEST_LOG, "rows waiting", message, per_node=True)


def _expiring_keys(now: datetime) -> Iterator[Condition]:
    expiring = ApiKey.objects.filter(
        revoked_at=None, expires_at__gt=now, expires_at__lte=now + KEY_EXPIRY
    )
    for key in expiring:
        subject = f"{key.name} ({key.prefix})"
        message = f"API key {subject} expires on {key.expires_at:%Y-%m-%d %H:%M} UTC."
        yield Condition(AlertEvent.KEY_EXPIRY, subject, message)


def _log_export(now: datetime) -> Iterator[Condition]:
    for export in LogExport.objects.filter(failed_at__lte=now - EXPORT_FAILS):
        message = f"The request log is not exported ({_last_export(export)}): {export.error}"
        yield Condition(AlertEvent.LOG_EXPORT, "log export", message)


def _last_export(export: LogExport) -> str:
    last = export.exported_at
    return f"last on {last:%Y-%m-%d %H:%M} UTC" if last is not None else "no export has succeeded"
