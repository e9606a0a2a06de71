"""Health over the API: targets, and the status of the responding process."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema

from console.insight import process, targets
from gateway.api.auth import Editor, Reader
from gateway.api.failures import failure
from gateway.api.pages import page
from gateway.api.resources import reply
from gateway.api.runtime import runtime_of

router = Router(tags=["health"], auth=Editor())
_PROCESS_FIELDS = tuple(
    name for name in process.ProcessStatus.__struct_fields__ if name != "journal"
)


class FailureOut(Schema):
    """The last failed attempt of a target; `request` is its row in the log."""

    request: int
    failed_at: dt.datetime
    error_kind: str
    message: str
    status: int | None


class TargetOut(Schema):
    """Health of a target in the last 24 hours; times are milliseconds, null if unknown.

    `state` is `cooldown` (for `cooldown_remaining_s` seconds), `failing`, `degraded`, `ok`,
    or `quiet` without requests. State and cooldown are those of the responding process.
    """

    target: str
    provider: str
    model: str
    state: str
    cooldown_remaining_s: int
    reason: str
    attempts: int
    failures: int
    first_token_p50_ms: float | None
    first_token_p95_ms: float | None
    duration_p50_ms: float | None
    routes: list[str]
    last_failure: FailureOut | None


class TargetPage(Schema):
    """Targets, unhealthy ones first, and the number of healthy providers."""

    healthy_providers: int
    providers: int
    unhealthy_providers: list[str]
    items: list[TargetOut]
    next: int | None


class JournalOut(Schema):
    """Log rows queued for the database, and rows dropped or rejected since the process started.

    `on_disk` queued rows are only on disk, where the journal uses `disk_bytes`.
    """

    waiting: int
    has_dropped: bool
    rows_dropped: int
    rows_refused: int
    bodies_dropped: int
    on_disk: int
    disk_bytes: int
    disk_full: bool


class ProcessOut(Schema):
    """The responding process; sizes are bytes. `journal` is null before its first request.

    `problems` lists its current problems as sentences.
    """

    pid: int
    started_at: dt.datetime
    version: str
    python: str
    django: str
    database: str
    database_bytes: int | None
    data_dir: str
    data_bytes: int
    free_bytes: int
    journal: JournalOut | None
    problems: list[str]


class ResetIn(Schema):
    """The target, as `provider/model`."""

    target: str


class ResetOut(Schema):
    """`reset` is false if the target was not in cooldown."""

    target: str
    reset: bool


@router.get("/health/targets", auth=Reader(), response=TargetPage)
def list_targets(request: HttpRequest, cursor: int = 0, limit: int = 50) -> Any:
    """A page of the targets of all routes and of directly called models."""
    runtime = runtime_of(request)
    registry = targets.registry_snapshot(runtime)
    summary = targets.health_summary(runtime, registry)
    target_page = page(targets.target_healths(runtime, registry), cursor, limit)
    return {
        "healthy_providers": summary.healthy,
        "providers": summary.total,
        "unhealthy_providers": list(summary.unhealthy),
        "items": [_target_out(target_health) for target_health in target_page["items"]],
        "next": target_page["next"],
    }


@router.get("/health/process", auth=Reader(), response=ProcessOut)
def get_process(request: HttpRequest) -> Any:
    """Status of the responding process."""
    runtime = runtime_of(request)
    status = process.process_status(runtime)
    journal = status.journal
    process_out = {name: getattr(status, name) for name in _PROCESS_FIELDS}
    journal_out = None
    if journal is not None:
        journal_out = {
            "waiting": journal.waiting,
            "has_dropped": journal.has_dropped,
            "rows_dropped": journal.counters.rows_dropped,
            "rows_refused": journal.counters.rows_refused,
            "bodies_dropped": journal.counters.bodies_dropped,
            "on_disk": journal.status.on_disk,
            "disk_bytes": journal.status.disk_bytes,
            "disk_full": journal.status.disk_full,
        }
    return {**process_out, "journal": journal_out, "problems": process.active_problems(runtime)}


@router.post("/health/targets/reset", response=ResetOut)
def reset_target(request: HttpRequest, payload: ResetIn) -> HttpResponse:
    """End the cooldown of a target in the responding process."""
    label = payload.target
    runtime = runtime_of(request)
    registry = targets.registry_snapshot(runtime)
    labels = {health.label for health in targets.target_healths(runtime, registry)}
    reset = targets.reset_cooldown(runtime, label)
    if not reset and label not in labels:
        return failure(404, f"there is no target `{label[:200]}`", "target")
    return reply(200, {"target": label, "reset": reset})


def _target_out(target_health: targets.TargetHealth) -> dict[str, Any]:
    error = None
    if target_health.error is not None:
        failure_row = target_health.error
        error = {
            "request": failure_row.pk,
            "failed_at": failure_row.failed_at,
            "error_kind": failure_row.error_kind,
            "message": failure_row.message,
            "status": failure_row.status,
        }
    return {
        "target": target_health.label,
        "provider": target_health.provider,
        "model": target_health.model,
        "state": target_health.state,
        "cooldown_remaining_s": target_health.cooldown_remaining_s,
        "reason": target_health.reason,
        "attempts": target_health.attempts,
        "failures": target_health.failed,
        "first_token_p50_ms": target_health.ttft_p50,
        "first_token_p95_ms": target_health.ttft_p95,
        "duration_p50_ms": target_health.duration_p50,
        "routes": list(target_health.routes),
        "last_failure": error,
    }
