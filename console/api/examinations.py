"""The doctor over the API: a model is examined, and the facts found are written if one says so."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from typing import Any

from asgiref.sync import async_to_sync
from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema

from gateway import store
from gateway.api.auth import Reader
from gateway.api.failures import failure
from gateway.api.idempotency import once
from gateway.api.pages import MAX_PAGE
from gateway.api.resources import guarded, missing, reply
from gateway.models import CapabilityReport, Model
from gateway.relay.doctor import PROBES, Advice
from gateway.routing.snapshot import Target
from gateway.store import doctor
from gateway.store.compile import is_pattern
from gateway.store.documents import KINDS, Owned, Refused

log = logging.getLogger(__name__)
router = Router(tags=["doctor"])
_MODELS = KINDS["models"]
_MAX_ID = 2**62
_running: set[asyncio.Task[Any]] = set()


class ExamineIn(Schema):
    """The model to examine, as `provider/model`."""

    model: str


class FindingOut(Schema):
    """The outcome of one probe: `supported`, `refused`, `wrong` or `unclear`."""

    name: str
    verdict: str
    words: str = ""
    ms: float = 0
    cost_usd: float | None = None


class AdviceOut(Schema):
    """A fact that the findings speak against. What an operator has set is `set_by_hand`."""

    trait: str
    now: Any
    proposed: Any
    because: list[str]
    set_by_hand: bool


class ReportOut(Schema):
    """An examination. `of` is how many probes there are; `cost_usd` null where unknown."""

    id: int
    model: str
    state: str
    running: bool
    started: dt.datetime
    of: int
    asked: int
    cost_usd: float | None


class WholeReportOut(ReportOut):
    """An examination with its findings, and once it is over what should be different."""

    findings: list[FindingOut]
    advice: list[AdviceOut]


class ReportPage(Schema):
    """Examinations, newest first, and the cursor of the next page; null at the end."""

    items: list[ReportOut]
    next: int | None


class ApplyIn(Schema):
    """The traits of `advice` that are to be written."""

    traits: list[str]


class AppliedOut(Schema):
    """What was written into the model."""

    model: str
    traits: list[str]


class StoppedOut(Schema):
    """Whether it was running: it ends within a second."""

    stopping: bool


@router.get("/examinations", auth=Reader(), response=ReportPage)
def list_examinations(
    request: HttpRequest, model: str = "", cursor: int | None = None, limit: int = 50
) -> Any:
    """A page of examinations, of one model or of all."""
    found = CapabilityReport.objects.select_related("provider").order_by("-pk")
    if model:
        provider, _, name = model.replace("\0", "").partition("/")
        found = found.filter(provider__name=provider, model=name)
    if cursor is not None:
        found = found.filter(pk__lt=min(max(cursor, 0), _MAX_ID))
    size = min(max(limit, 1), MAX_PAGE)
    rows = list(found[: size + 1])
    items, more = rows[:size], len(rows) > size
    return {"items": [_told(row) for row in items], "next": items[-1].pk if more else None}


@router.post("/examinations", response={201: ReportOut})
def make_examination(request: HttpRequest, payload: ExamineIn) -> HttpResponse:
    """Begin one. It asks the model some thirty questions, which cost what they cost."""
    return once(request, lambda: _started(request, payload.model))


@router.get("/examinations/{int:number}", auth=Reader(), response=WholeReportOut)
def get_examination(request: HttpRequest, number: int) -> Any:
    """One, also while it runs."""
    row = _find(number)
    return _none(number) if row is None else _whole(row)


@router.post("/examinations/{int:number}/stop", response=StoppedOut)
def stop_examination(request: HttpRequest, number: int) -> Any:
    """Ask the process that runs it to end it."""
    row = _find(number)
    if row is None:
        return _none(number)
    return {"stopping": bool(CapabilityReport.objects.filter(pk=row.pk).ask_to_stop())}


@router.post("/examinations/{int:number}/apply", response=AppliedOut)
def apply_examination(request: HttpRequest, number: int, payload: ApplyIn) -> HttpResponse:
    """Write facts that it advises into the model. What was set by hand stays above them."""
    return once(request, lambda: guarded(lambda: _applied(number, payload.traits)))


def _started(request: HttpRequest, label: str) -> HttpResponse:
    row: Model | None = _MODELS.find(label)
    if row is None:
        return missing(_MODELS, label)
    target = doctor.target_of(store.load_snapshot(), row.provider.name, row.name)
    if target is None:
        return failure(409, "its provider can not be called now; /api/warnings says why", "model")
    if is_pattern(row.name):
        return failure(422, "it stands for many models: add one of them by its name", "model")
    by = getattr(request.auth, "pk", None)  # type: ignore[attr-defined]
    try:
        report = doctor.begin(row.provider, row.name, by=by)
    except doctor.Busy:
        return failure(409, "it is being examined already", "model")
    async_to_sync(_launch)(report, target)
    return reply(201, _told(report))


async def _launch(report: CapabilityReport, target: Target) -> None:
    """Let it run on in the server's loop when the answer has been sent."""
    task = asyncio.create_task(doctor.run(report, target))
    _running.add(task)
    task.add_done_callback(_ended)


def _ended(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled() and task.exception() is not None:
        log.error("an examination broke off", exc_info=task.exception())


def _applied(number: int, traits: list[str]) -> HttpResponse:
    report = _find(number)
    if report is None:
        return _none(number)
    offered = {item.trait: item for item, own in _advice(report) if not own}
    for place, trait in enumerate(traits):
        if trait not in offered:
            raise Refused(f"traits[{place}]", "it is not among what this examination advises")
    if not traits:
        raise Refused("traits", "name at least one")
    try:
        row = doctor.learn(report.provider, report.model, [offered[trait] for trait in traits])
    except doctor.Fixed:
        raise Owned("", "a file or the environment owns the model: adopt it first") from None
    return reply(200, {"model": str(row), "traits": traits})


def _find(number: int) -> CapabilityReport | None:
    rows = CapabilityReport.objects.select_related("provider")
    return rows.filter(pk=min(number, _MAX_ID)).first()


def _none(number: int) -> HttpResponse:
    return failure(404, f"there is no examination {number}")


def _advice(report: CapabilityReport) -> list[tuple[Advice, bool]]:
    """What should be different, and whether an operator has set it otherwise."""
    target = doctor.target_of(store.load_snapshot(), report.provider.name, report.model)
    if report.running or target is None:
        return []
    row = Model.objects.filter(provider=report.provider, name=report.model).first()
    own = row.traits if row is not None and isinstance(row.traits, dict) else {}
    return [(item, item.trait in own) for item in doctor.differences(report, target.model.traits)]


def _told(row: CapabilityReport) -> dict[str, Any]:
    costs = [found["cost_usd"] for found in row.findings if found.get("cost_usd") is not None]
    return {
        "id": row.pk,
        "model": f"{row.provider.name}/{row.model}",
        "state": row.state,
        "running": row.running,
        "started": row.started,
        "of": len(PROBES),
        "asked": len(row.findings),
        "cost_usd": sum(costs) if costs else None,
    }


def _whole(row: CapabilityReport) -> dict[str, Any]:
    advised = [
        {
            "trait": item.trait,
            "now": item.now,
            "proposed": item.proposed,
            "because": list(item.because),
            "set_by_hand": own,
        }
        for item, own in _advice(row)
    ]
    return {**_told(row), "findings": row.findings, "advice": advised}
