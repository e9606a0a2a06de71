"""Health over the API: how each target does, and the facts of the process that answers."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema

from console.insight import process, targets
from gateway.api.auth import Reader
from gateway.api.failures import failure
from gateway.api.pages import page
from gateway.api.resources import reply

router = Router(tags=["health"])
_FACTS = tuple(name for name in process.Facts.__struct_fields__ if name != "journal")


class FailureOut(Schema):
    """The last call of a target that failed; `request` is its row in the log."""

    request: int
    at: dt.datetime
    kind: str
    words: str
    status: int | None


class TargetOut(Schema):
    """How a target did in the last 24 hours; times are milliseconds, null where unknown.

    `state` is `resting` (for `rests_s` seconds more), `failing`, `ok`, or `quiet` if it
    was not called. State and rest are those of the process that answers.
    """

    target: str
    provider: str
    model: str
    state: str
    rests_s: int
    reason: str
    tries: int
    failed: int
    first_token_p50_ms: float | None
    first_token_p95_ms: float | None
    duration_p50_ms: float | None
    routes: list[str]
    last_failure: FailureOut | None


class TargetPage(Schema):
    """Targets, those in trouble first; and how many providers are well."""

    healthy_providers: int
    providers: int
    sick_providers: list[str]
    items: list[TargetOut]
    next: int | None


class JournalOut(Schema):
    """What waits for the database, and what was lost since the process began."""

    waiting: int
    lost: bool


class ProcessOut(Schema):
    """The process that answers; sizes are bytes. `journal` is null before its first request."""

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


class ResetIn(Schema):
    """The target, as `provider/model`."""

    target: str


class ResetOut(Schema):
    """Whether it rested: `reset` is false if there was nothing to end."""

    target: str
    reset: bool


@router.get("/health/targets", auth=Reader(), response=TargetPage)
def list_targets(request: HttpRequest, cursor: int = 0, limit: int = 50) -> Any:
    """A page of the targets of all routes, and of what else was called."""
    registry = targets.snapshot()
    well, shown = targets.summary(registry), page(targets.healths(registry), cursor, limit)
    return {
        "healthy_providers": well.healthy,
        "providers": well.total,
        "sick_providers": list(well.sick),
        "items": [_told(found) for found in shown["items"]],
        "next": shown["next"],
    }


@router.get("/health/process", auth=Reader(), response=ProcessOut)
def get_process(request: HttpRequest) -> Any:
    """Facts of the process that answers."""
    facts = process.facts()
    journal = facts.journal
    told = {name: getattr(facts, name) for name in _FACTS}
    held = None if journal is None else {"waiting": journal.waiting, "lost": journal.lost}
    return {**told, "journal": held}


@router.post("/health/targets/reset", response=ResetOut)
def reset_target(request: HttpRequest, payload: ResetIn) -> HttpResponse:
    """Let a target that rests be tried again at once, in the process that answers."""
    label = payload.target
    known = {found.label for found in targets.healths(targets.snapshot())}
    reset = targets.reset(label)
    if not reset and label not in known:
        return failure(404, f"there is no target `{label[:200]}`", "target")
    return reply(200, {"target": label, "reset": reset})


def _told(found: targets.Health) -> dict[str, Any]:
    error = None
    if found.error is not None:
        error = {**msgspec.structs.asdict(found.error), "request": found.error.pk}
    return {
        "target": found.label,
        "provider": found.provider,
        "model": found.model,
        "state": found.state,
        "rests_s": found.left_s,
        "reason": found.reason,
        "tries": found.tries,
        "failed": found.failed,
        "first_token_p50_ms": found.first_p50,
        "first_token_p95_ms": found.first_p95,
        "duration_p50_ms": found.whole_p50,
        "routes": list(found.routes),
        "last_failure": error,
    }
