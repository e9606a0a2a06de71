"""The conditions that raise alerts, evaluated at one moment."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.db.models import Count, Q

from gateway.canon.errors import KINDS
from gateway.models import ApiKey, LogExport, RequestLog
from gateway.models.alert import AlertEvent
from gateway.relay.journal.gauges import process_values
from gateway.relay.limits.limiter import budget_rules, remaining_budgets
from gateway.relay.runtime import Runtime
from gateway.routing.limits import UNITS
from gateway.routing.snapshot import Snapshot
from gateway.store.alert_thresholds import AlertThresholds
from gateway.store.network_values import certificate_expiries, pem_expiry

log = logging.getLogger(__name__)

# Errors of clients do not count against a provider.
_PROVIDER_ERRORS = tuple(name for name, kind in KINDS.items() if kind.retryable)


class Condition(NamedTuple):
    """A condition that is true.

    Attributes:
        per_node: whether other machines may not see it.
        min_s: how long the condition must be true, in seconds, before it raises an alert.
        replaced_subject: subject of the lesser alert that it ends without a message.
    """

    event: AlertEvent
    subject: str
    message: str
    per_node: bool = False
    min_s: int = 0
    replaced_subject: str = ""


class ProcessFigures(NamedTuple):
    """Values that the checking process has without reading the database.

    Attributes:
        snapshot: the registry in use.
        budgets: limit and spend of each budget in US dollars, by owner and span.
        cooldowns: labels of targets that are in cooldown, or have not succeeded since.
        lost_rows: rows of the request log lost since the start.
        waiting_rows: rows of the request log that are not yet in the database.
        journal_share: the share of the journal, in memory or on disk, that is in use.
    """

    snapshot: Snapshot
    budgets: dict[tuple[str, str], tuple[float, float]]
    cooldowns: tuple[str, ...]
    lost_rows: int
    waiting_rows: int
    journal_share: float = 0.0


def read_process_figures(runtime: Runtime) -> ProcessFigures:
    """Read the runtime's figures. Runs in a thread; what the loop owns is read in the loop."""
    rules = budget_rules(runtime.snapshot)
    limits = {(rule.owner, rule.span): rule.limit / UNITS for rule in rules}
    limiter = runtime.limiter
    usd_by_budget = runtime.run_in_loop(
        lambda: remaining_budgets(limiter.counters, rules, limiter.now())
    )
    values = runtime.run_in_loop(
        lambda: process_values(runtime.journal, runtime.monitor, runtime.config.max_requests)
    )
    states = runtime.run_in_loop(lambda: dict(runtime.health))
    return ProcessFigures(
        snapshot=runtime.snapshot,
        budgets={
            span: (limits[span], limits[span] - remaining_usd)
            for span, remaining_usd in usd_by_budget.items()
        },
        cooldowns=tuple(sorted(label for label, state in states.items() if state.open_until)),
        lost_rows=values.rows_dropped + values.rows_refused + values.unrecorded_rows,
        waiting_rows=values.spool_rows,
        journal_share=max(
            values.spool_rows / max(runtime.config.journal_items, 1),
            values.disk_bytes / max(runtime.config.journal_disk_bytes, 1),
        ),
    )


def current_conditions(
    figures: ProcessFigures, now: datetime, thresholds: AlertThresholds
) -> list[Condition]:
    """All conditions that hold. Queries the database."""
    return [
        *_budget_conditions(figures, thresholds),
        *_error_rate_conditions(now, thresholds),
        *_cooldown_conditions(figures, thresholds),
        *_request_log_conditions(figures, thresholds),
        *_expiring_key_conditions(now, thresholds),
        *_expiring_certificate_conditions(figures, now, thresholds),
        *_log_export_conditions(now, thresholds),
    ]


def _budget_conditions(figures: ProcessFigures, thresholds: AlertThresholds) -> Iterator[Condition]:
    names = _owner_names(figures.snapshot)
    lesser_share = thresholds.budget_percent / 100
    shares = (1.0, lesser_share)
    for (owner, span), (limit, spent_usd) in figures.budgets.items():
        share = next((s for s in shares if limit > 0 and spent_usd >= s * limit), None)
        if share is None:
            continue
        name = names.get(owner, owner)
        message = f"{name} has used ${spent_usd:.2f} of its {span} budget of ${limit:.2f}."
        replaced_subject = _budget_subject(name, span, lesser_share) if share > lesser_share else ""
        yield Condition(
            AlertEvent.BUDGET,
            _budget_subject(name, span, share),
            message,
            replaced_subject=replaced_subject,
        )


def _budget_subject(name: str, span: str, share: float) -> str:
    return f"{name}, {span}: {share:.0%}"


def _owner_names(snapshot: Snapshot) -> dict[str, str]:
    names = {"all": "The gateway"}
    names |= {f"provider:{p.id}": f"Provider {p.name}" for p in snapshot.providers.values()}
    for route in snapshot.routes.values():
        for target in route.targets:
            names[f"target:{target.id}"] = f"Target {route.name} > {target.model.label}"
    for key in snapshot.keys.values():
        names[f"key:{key.id}"] = f"API key {key.name}"
        for team in key.team.with_ancestors if key.team is not None else ():
            names[f"team:{team.id}"] = f"Team {team.name}"
    return names


def _error_rate_conditions(now: datetime, thresholds: AlertThresholds) -> Iterator[Condition]:
    since = now - timedelta(minutes=thresholds.error_rate_minutes)
    recent = RequestLog.objects.filter(started_at__gte=since).exclude(provider="")
    failed_count = Count("pk", filter=Q(error_kind__in=_PROVIDER_ERRORS))
    rows = recent.order_by().values("provider").annotate(n=Count("pk"), bad=failed_count)
    for row in rows:
        is_high = 100 * row["bad"] >= thresholds.error_rate_percent * row["n"]
        if row["n"] >= thresholds.error_rate_min_requests and is_high:
            message = (
                f"{row['bad']} of {row['n']} requests to {row['provider']} failed "
                f"in the last {thresholds.error_rate_minutes} minutes."
            )
            yield Condition(AlertEvent.ERROR_RATE, row["provider"], message)


def _cooldown_conditions(
    figures: ProcessFigures, thresholds: AlertThresholds
) -> Iterator[Condition]:
    for label in figures.cooldowns:
        message = f"{label} is in cooldown after repeated failures."
        yield Condition(
            AlertEvent.COOLDOWN, label, message, per_node=True, min_s=thresholds.cooldown_s
        )


def _request_log_conditions(
    figures: ProcessFigures, thresholds: AlertThresholds
) -> Iterator[Condition]:
    if figures.lost_rows:
        message = f"Rows of the request log lost since the start: {figures.lost_rows}."
        yield Condition(AlertEvent.REQUEST_LOG, "rows lost", message, per_node=True)
    if figures.waiting_rows >= thresholds.waiting_rows:
        message = f"{figures.waiting_rows} rows of the request log wait for the database."
        yield Condition(AlertEvent.REQUEST_LOG, "rows waiting", message, per_node=True)
    if 100 * figures.journal_share >= thresholds.journal_percent:
        message = (
            f"The journal of the request log is {figures.journal_share:.0%} full. "
            "Rows are lost when it is full."
        )
        yield Condition(AlertEvent.REQUEST_LOG, "journal", message, per_node=True)


def _expiring_key_conditions(now: datetime, thresholds: AlertThresholds) -> Iterator[Condition]:
    threshold_time = now + timedelta(days=thresholds.key_expiry_days)
    keys = ApiKey.objects.filter(
        revoked_at=None, expires_at__gt=now, expires_at__lte=threshold_time
    )
    for key in keys:
        subject = f"{key.name} ({key.prefix})"
        message = f"API key {subject} expires on {key.expires_at:%Y-%m-%d %H:%M} UTC."
        yield Condition(AlertEvent.KEY_EXPIRY, subject, message)


def _expiring_certificate_conditions(
    figures: ProcessFigures, now: datetime, thresholds: AlertThresholds
) -> Iterator[Condition]:
    threshold_time = now + timedelta(days=thresholds.certificate_expiry_days)
    for label, until in (*_provider_certificates(figures.snapshot), *_watched_certificate()):
        if until <= threshold_time:
            verb = "expired" if until <= now else "expires"
            message = f"{label} {verb} on {until:%Y-%m-%d %H:%M} UTC."
            yield Condition(AlertEvent.CERTIFICATE_EXPIRY, label, message)


def _provider_certificates(snapshot: Snapshot) -> Iterator[tuple[str, datetime]]:
    for provider in snapshot.providers.values():
        for label, until in certificate_expiries(provider.network):
            yield f"The {label} of provider {provider.name}", until


def _watched_certificate() -> Iterator[tuple[str, datetime]]:
    """The certificate that clients see: that of `up --ssl-certfile`, or of a proxy in front."""
    path = settings.WATCH_CERTIFICATE
    if not path:
        return
    try:
        yield f"The certificate {Path(path).name}", pem_expiry(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        log.warning(
            "the certificate cannot be read", extra={"path": path, "error": type(error).__name__}
        )


def _log_export_conditions(now: datetime, thresholds: AlertThresholds) -> Iterator[Condition]:
    failing_since = now - timedelta(minutes=thresholds.log_export_minutes)
    for export in LogExport.objects.filter(failed_at__lte=failing_since):
        message = f"The request log is not exported ({_last_export(export)}): {export.error}"
        yield Condition(AlertEvent.LOG_EXPORT, "log export", message)


def _last_export(export: LogExport) -> str:
    last_export_at = export.exported_at
    return (
        f"last on {last_export_at:%Y-%m-%d %H:%M} UTC"
        if last_export_at is not None
        else "no export has succeeded"
    )
