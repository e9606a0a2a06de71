"""The doctor: checks the capabilities of a model with live requests and proposes corrections."""

from __future__ import annotations

from itertools import groupby
from typing import Any, cast

from asgiref.sync import sync_to_async
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe
from django.views.decorators.vary import vary_on_headers
from django_htmx.http import HttpResponseClientRefresh

from console.access import editor, is_editor, viewer
from console.htmx import is_partial
from console.numbers import number_in
from gateway import store
from gateway.doctor import BY_NAME, PROBES, TRAIT_BY_PROBE, VERDICTS, Advice, estimate
from gateway.models import CapabilityReport, Model, Provider
from gateway.models.capability import MAX_REPORTS
from gateway.routing.snapshot import Target
from gateway.store import doctor
from gateway.store.field_values import is_pattern

PAGE = "models"
# Maximum number of models in the comparison table of a provider.
SIDE_BY_SIDE = 8
LEVELS = {"supported": "ok", "refused": "", "wrong": "bad", "unclear": "warn"}
VERDICT_LABELS = {
    "supported": gettext_lazy("Supported"),
    "refused": gettext_lazy("Refused"),
    "wrong": gettext_lazy("Wrong"),
    "unclear": gettext_lazy("Unclear"),
}


@require_safe
@viewer
@vary_on_headers("HX-Request")
def model_doctor(request: HttpRequest, pk: int) -> HttpResponse:
    """The latest report of a model, or an older one; while it runs, its progress."""
    row = get_object_or_404(Model.objects.select_related("provider"), pk=pk)
    reports = CapabilityReport.objects.of_model(row.provider, row.name)
    report_id = number_in(request.GET.get("report", ""))
    report = get_object_or_404(reports, pk=report_id) if report_id is not None else reports.first()
    if not is_partial(request):
        return _render_page(request, row, report)
    if report is None or not report.running:
        # The run has ended: reload to display the results.
        return HttpResponseClientRefresh()
    return render(request, "console/doctor/_progress.html", _progress_context(row, report))


def _render_page(
    request: HttpRequest,
    row: Model,
    report: CapabilityReport | None,
    *,
    status: int = 200,
    problem: str = "",
) -> HttpResponse:
    target = doctor.target_of(store.current_snapshot(), row.provider.name, row.name)
    advice_rows = _advice_rows(row, report, target)
    context = {
        "page": PAGE,
        **_progress_context(row, report),
        "target": target,
        "estimate": estimate(target.model) if target else None,
        "groups": _probe_groups(report, target, advice_rows),
        "advice_rows": advice_rows,
        "read_only": row.read_only,
        "is_wildcard": is_pattern(row.name),
        "problem": problem,
        "can_edit": is_editor(request.user),
        "older": CapabilityReport.objects.of_model(row.provider, row.name)[:MAX_REPORTS],
    }
    return render(request, "console/doctor/page.html", context, status=status)


def _progress_context(row: Model, report: CapabilityReport | None) -> dict[str, Any]:
    findings = report.findings if report is not None else []
    costs = [f["cost_usd"] for f in findings if f.get("cost_usd") is not None]
    return {
        "row": row,
        "report": report,
        "running": report is not None and report.running,
        "probes_done": len(findings),
        "probe_count": len(PROBES),
        "tally": _count_verdicts(report),
        "probes": _probe_verdicts(report),
        "cost": sum(costs) if costs else None,
    }


def _probe_verdicts(report: CapabilityReport | None) -> list[dict[str, Any]]:
    """All probes with their verdicts so far."""
    verdicts = report.verdicts if report is not None else {}
    return [
        {
            "title": probe.title,
            "level": LEVELS.get(verdicts.get(probe.name, ""), ""),
            "label": VERDICT_LABELS.get(verdicts.get(probe.name, ""), ""),
        }
        for probe in PROBES
    ]


def _count_verdicts(report: CapabilityReport | None) -> list[dict[str, Any]]:
    """Number of probes by verdict."""
    verdicts = list(report.verdicts.values()) if report is not None else []
    return [
        {
            "label": VERDICT_LABELS[verdict],
            "level": LEVELS[verdict],
            "count": verdicts.count(verdict),
        }
        for verdict in VERDICTS
        if verdict in verdicts
    ]


def _probe_groups(
    report: CapabilityReport | None, target: Target | None, advice_rows: list[dict[str, Any]]
) -> list[tuple[str, list[dict[str, Any]]]]:
    """Probes by group, with their findings and the recorded properties."""
    findings = {f["name"]: f for f in report.findings} if report is not None else {}
    contradicting_probes = {name for item in advice_rows for name in item["advice"].probes}
    rows = [
        {
            "probe": probe,
            "finding": _finding_view(findings.get(probe.name)),
            "trait": TRAIT_BY_PROBE.get(probe.name, ""),
            "current_value": _current_value(probe.name, target),
            "differs": probe.name in contradicting_probes,
        }
        for probe in PROBES
    ]
    return [
        (name, list(part)) for name, part in groupby(rows, lambda r: cast("Any", r)["probe"].group)
    ]


def _finding_view(finding: dict[str, Any] | None) -> dict[str, Any] | None:
    if finding is None:
        return None
    verdict = str(finding["verdict"])
    return {
        **finding,
        "label": VERDICT_LABELS.get(verdict, verdict),
        "level": LEVELS.get(verdict, ""),
    }


def _current_value(probe: str, target: Target | None) -> str:
    """The recorded property that a probe checks; empty if there is none."""
    trait = TRAIT_BY_PROBE.get(probe)
    if trait is None or target is None:
        return ""
    return value_label(getattr(target.model.traits, trait))


def value_label(value: Any) -> str:
    """A trait's value as text."""
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if value is None:
        return _("no limit")
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value)) or _("none")
    return str(value)


def _advice_rows(
    row: Model, report: CapabilityReport | None, target: Target | None
) -> list[dict[str, Any]]:
    """Proposed corrections; custom properties cannot be applied."""
    if report is None or report.running or target is None:
        return []
    operator_traits = row.traits if isinstance(row.traits, dict) else {}
    return [
        {
            "advice": item,
            "current": value_label(item.current),
            "proposed": value_label(item.proposed),
            "titles": [BY_NAME[name].title for name in item.probes],
            "set_by_operator": item.trait in operator_traits,
        }
        for item in doctor.differences(report, target.model.traits)
    ]


@require_POST
@editor
async def doctor_start(request: HttpRequest, pk: int) -> HttpResponse:
    """Start the checks, which continue after this response."""
    user = await request.auser()
    return await _start_report(request, pk, user.pk)


async def _start_report(request: HttpRequest, pk: int, by: int | None) -> HttpResponse:
    report, target, problem = await sync_to_async(_create_report)(pk, by)
    if report is None or target is None:
        await sync_to_async(messages.error)(request, problem)
        return redirect("model-doctor", pk=pk)
    await doctor.start_run(report, target)
    return redirect("model-doctor", pk=pk)


def _create_report(pk: int, by: int | None) -> tuple[CapabilityReport | None, Target | None, str]:
    row = get_object_or_404(Model.objects.select_related("provider"), pk=pk)
    target = doctor.target_of(store.current_snapshot(), row.provider.name, row.name)
    if target is None:
        return None, None, _("The provider is disabled or misconfigured.")
    if is_pattern(row.name):
        return None, None, _("This entry is a wildcard. Add a specific model first.")
    try:
        return doctor.create_running_report(row.provider, row.name, by=by), target, ""
    except doctor.AlreadyRunning:
        return None, None, _("Checks are already running.")


@require_POST
@editor
def doctor_stop(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask the process that runs the checks to stop."""
    row = get_object_or_404(Model.objects.select_related("provider"), pk=pk)
    stopped = CapabilityReport.objects.of_model(row.provider, row.name).request_stop()
    message = _("The checks stop within a second.") if stopped else _("No checks were running.")
    messages.success(request, message)
    return redirect("model-doctor", pk=pk)


@require_POST
@editor
def doctor_apply(request: HttpRequest, pk: int) -> HttpResponse:
    """Write the selected properties to the model."""
    row = get_object_or_404(Model.objects.select_related("provider"), pk=pk)
    report = get_object_or_404(
        CapabilityReport.objects.of_model(row.provider, row.name),
        pk=number_in(request.POST.get("report", "")) or 0,
    )
    target = doctor.target_of(store.current_snapshot(), row.provider.name, row.name)
    selected_traits = set(request.POST.getlist("trait"))
    offered_advice = [
        item["advice"] for item in _advice_rows(row, report, target) if not item["set_by_operator"]
    ]
    selected_advice: list[Advice] = [
        item for item in offered_advice if item.trait in selected_traits
    ]
    if not selected_advice:
        return _render_page(
            request, row, report, status=422, problem=_("Select at least one property.")
        )
    try:
        doctor.write_traits(row.provider, row.name, selected_advice)
    except doctor.ReadOnlyModel:
        problem = _(
            "This model is managed by a file or the environment. Copy it to the database first."
        )
        return _render_page(request, row, report, status=409, problem=problem)
    names = ", ".join(item.trait for item in selected_advice)
    messages.success(
        request, _("Applied: %(names)s. Takes effect within a second.") % {"names": names}
    )
    return redirect("model-doctor", pk=pk)


@require_safe
@viewer
def provider_doctor(request: HttpRequest, pk: int) -> HttpResponse:
    """The latest reports of all models of a provider, side by side."""
    provider = get_object_or_404(Provider, pk=pk)
    newest = CapabilityReport.objects.newest(provider)
    names = doctor.models_of(provider)
    rows = {row.name: row for row in provider.models.all() if row.name in set(names)}
    lines = [_model_line(rows[name], newest.get(name)) for name in names]
    columns = [line for line in lines if line["report"] is not None][:SIDE_BY_SIDE]
    context = {
        "page": "providers",
        "provider": provider,
        "lines": lines,
        "columns": columns,
        "matrix": [
            (probe, [_verdict_cell(line, probe.name) for line in columns]) for probe in PROBES
        ],
        "can_edit": is_editor(request.user),
    }
    return render(request, "console/doctor/provider.html", context)


def _model_line(row: Model, report: CapabilityReport | None) -> dict[str, Any]:
    return {
        "row": row,
        "report": report,
        "tally": _count_verdicts(report),
        "verdicts": report.verdicts if report is not None else {},
    }


def _verdict_cell(line: dict[str, Any], probe: str) -> dict[str, Any]:
    verdict = line["verdicts"].get(probe, "")
    return {
        "model": line["row"].name,
        "level": LEVELS.get(verdict, ""),
        "label": VERDICT_LABELS.get(verdict, ""),
        "verdict": verdict,
    }
