"""Capability reports over the API: check a model, and apply corrections to its traits."""

from __future__ import annotations

import datetime as dt
from typing import Any

from asgiref.sync import async_to_sync
from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema

from gateway import store
from gateway.api.auth import Editor, Reader
from gateway.api.failures import failure
from gateway.api.idempotency import run_once
from gateway.api.pages import MAX_ID, page_of_rows
from gateway.api.resources import not_found_response, reply, run_guarded
from gateway.doctor import PROBES, Advice
from gateway.models import CapabilityReport, Model
from gateway.store import doctor
from gateway.store.documents import KINDS, OwnedElsewhere, Refused
from gateway.store.field_values import is_pattern

router = Router(tags=["doctor"], auth=Editor())
_MODELS = KINDS["models"]


class CapabilityReportIn(Schema):
    """The model to check, as `provider/model`."""

    model: str


class FindingOut(Schema):
    """The outcome of one probe: `supported`, `refused`, `wrong` or `unclear`."""

    name: str
    verdict: str
    message: str = ""
    ms: float = 0
    cost_usd: float | None = None


class AdviceOut(Schema):
    """A proposed correction. `operator_set` is true for a trait that an operator has set."""

    trait: str
    current: Any
    proposed: Any
    probes: list[str]
    operator_set: bool


class ReportOut(Schema):
    """Progress of a report; `cost_usd` is null if unknown."""

    id: int
    model: str
    state: str
    running: bool
    started_at: dt.datetime
    probe_count: int
    probes_done: int
    cost_usd: float | None


class ReportDetailOut(ReportOut):
    """A report with its findings and, once it has ended, proposed corrections."""

    findings: list[FindingOut]
    advice: list[AdviceOut]


class ReportPage(Schema):
    """Reports, newest first, and the cursor of the next page; null at the end."""

    items: list[ReportOut]
    next: int | None


class ApplyIn(Schema):
    """Traits of `advice` to apply."""

    traits: list[str]


class AppliedOut(Schema):
    """Traits that were applied to the model."""

    model: str
    traits: list[str]


class StoppedOut(Schema):
    """`stop_requested` is true if the report was running; it ends within a second."""

    stop_requested: bool


@router.get("/capability-reports", auth=Reader(), response=ReportPage)
def list_capability_reports(
    request: HttpRequest, model: str = "", cursor: int | None = None, limit: int = 50
) -> Any:
    """A page of reports, of one model or of all."""
    reports = CapabilityReport.objects.select_related("provider").order_by("-pk")
    if model:
        provider, _, name = model.replace("\0", "").partition("/")
        reports = reports.filter(provider__name=provider, model=name)
    if cursor is not None:
        reports = reports.filter(pk__lt=min(max(cursor, 0), MAX_ID))
    rows, next_cursor = page_of_rows(lambda count: reports[:count], limit)
    return {"items": [_report_out(row) for row in rows], "next": next_cursor}


@router.post("/capability-reports", response={201: ReportOut})
def create_capability_report(request: HttpRequest, payload: CapabilityReportIn) -> HttpResponse:
    """Start a report. It sends about forty billed requests to the model."""
    return run_once(request, lambda: _start_report(request, payload.model))


@router.get("/capability-reports/{int:number}", auth=Reader(), response=ReportDetailOut)
def get_capability_report(request: HttpRequest, number: int) -> Any:
    """A report, also while it is running."""
    row = _find_report(number)
    return _report_missing(number) if row is None else _detail_out(row)


@router.post("/capability-reports/{int:number}/stop", response=StoppedOut)
def stop_capability_report(request: HttpRequest, number: int) -> Any:
    """Ask the process that runs the report to stop."""
    row = _find_report(number)
    if row is None:
        return _report_missing(number)
    return {"stop_requested": bool(CapabilityReport.objects.filter(pk=row.pk).request_stop())}


@router.post("/capability-reports/{int:number}/apply", response=AppliedOut)
def apply_capability_report(request: HttpRequest, number: int, payload: ApplyIn) -> HttpResponse:
    """Apply proposed corrections to the model. Traits set by an operator take precedence."""
    return run_once(request, lambda: run_guarded(lambda: _apply_advice(number, payload.traits)))


def _start_report(request: HttpRequest, label: str) -> HttpResponse:
    row: Model | None = _MODELS.find(label)
    if row is None:
        return not_found_response(_MODELS, label)
    target = doctor.target_of(store.current_snapshot(), row.provider.name, row.name)
    if target is None:
        return failure(409, "its provider is disabled or misconfigured; see /api/warnings", "model")
    if is_pattern(row.name):
        return failure(422, "this model is a wildcard: add a specific model", "model")
    by = getattr(request.auth, "pk", None)  # type: ignore[attr-defined]
    try:
        report = doctor.create_running_report(row.provider, row.name, by=by)
    except doctor.AlreadyRunning:
        return failure(409, "checks are already running", "model")
    async_to_sync(doctor.start_run)(report, target)
    return reply(201, _report_out(report))


def _apply_advice(number: int, traits: list[str]) -> HttpResponse:
    report = _find_report(number)
    if report is None:
        return _report_missing(number)
    offered_advice = {
        item.trait: item for item, set_by_operator in _report_advice(report) if not set_by_operator
    }
    for index, trait in enumerate(traits):
        if trait not in offered_advice:
            raise Refused(f"traits[{index}]", "not proposed by this report")
    if not traits:
        raise Refused("traits", "must contain at least one trait")
    try:
        row = doctor.write_traits(
            report.provider, report.model, [offered_advice[trait] for trait in traits]
        )
    except doctor.ReadOnlyModel:
        raise OwnedElsewhere(
            "", "the model is managed by a file or the environment: adopt it first"
        ) from None
    return reply(200, {"model": str(row), "traits": traits})


def _find_report(number: int) -> CapabilityReport | None:
    rows = CapabilityReport.objects.select_related("provider")
    return rows.filter(pk=min(number, MAX_ID)).first()


def _report_missing(number: int) -> HttpResponse:
    return failure(404, f"there is no capability report {number}")


def _report_advice(report: CapabilityReport) -> list[tuple[Advice, bool]]:
    """Proposed corrections, and whether an operator has set each trait."""
    target = doctor.target_of(store.current_snapshot(), report.provider.name, report.model)
    if report.running or target is None:
        return []
    row = Model.objects.filter(provider=report.provider, name=report.model).first()
    operator_traits = row.traits if row is not None and isinstance(row.traits, dict) else {}
    return [
        (item, item.trait in operator_traits)
        for item in doctor.differences(report, target.model.traits)
    ]


def _report_out(row: CapabilityReport) -> dict[str, Any]:
    costs = [finding["cost_usd"] for finding in row.findings if finding.get("cost_usd") is not None]
    return {
        "id": row.pk,
        "model": f"{row.provider.name}/{row.model}",
        "state": row.state,
        "running": row.running,
        "started_at": row.started_at,
        "probe_count": len(PROBES),
        "probes_done": len(row.findings),
        "cost_usd": sum(costs) if costs else None,
    }


def _detail_out(row: CapabilityReport) -> dict[str, Any]:
    advice_rows = [
        {
            "trait": item.trait,
            "current": item.current,
            "proposed": item.proposed,
            "probes": list(item.probes),
            "operator_set": set_by_operator,
        }
        for item, set_by_operator in _report_advice(row)
    ]
    return {
        **_report_out(row),
        "findings": [_finding_out(finding) for finding in row.findings],
        "advice": advice_rows,
    }


def _finding_out(finding: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": finding["name"],
        "verdict": finding["verdict"],
        "message": finding.get("message", ""),
        "ms": finding.get("ms", 0),
        "cost_usd": finding.get("cost_usd"),
    }
