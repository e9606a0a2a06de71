"""Runs of evaluations: start, progress, results, control, exports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from console.access import viewer
from console.delete_confirmation import delete_confirmation
from console.evaluate import report as reports
from console.evaluate.definition import (
    InvalidDefinition,
    case_messages,
    case_variables,
    parse_definition,
)
from console.evaluate.report import Report, case_title
from console.evaluation_runs import store
from console.evaluation_runs.runner import claim_runs_soon
from console.evaluation_runs.store import RunRefused
from console.models import EvaluationRun
from console.pages.evaluate.labels import CHECK_LABELS, STATUS_LABELS, STATUS_PILLS
from console.pages.evaluate.results import (
    case_responses,
    case_table,
    load_figures,
    score_rows,
    view_of,
)
from console.pages.evaluate.views import (
    PAGE,
    evaluation_crumbs,
    evaluation_of,
    page_with_errors,
)
from gateway.api.runtime import runtime_of

# Runs that a run can be compared with.
MAX_BASELINES = 50

Render = Callable[[Report], str | bytes]
EXPORTS: dict[str, tuple[Render, str]] = {
    "csv": (reports.as_csv, "text/csv; charset=utf-8"),
    "json": (reports.as_json, "application/json"),
    "md": (reports.as_markdown, "text/markdown; charset=utf-8"),
}
ACTIONS: dict[str, Callable[[EvaluationRun], bool]] = {
    "pause": store.pause,
    "resume": store.resume,
    "cancel": store.cancel,
    "retry": store.retry_failed,
}


def _find_run(request: HttpRequest, uuid: UUID) -> EvaluationRun:
    runs = EvaluationRun.objects.visible_to(request.user).select_related("evaluation", "owner")
    return get_object_or_404(runs, uuid=uuid)


@require_POST
@viewer
def run_start(request: HttpRequest, pk: int) -> HttpResponse:
    """Start a run of an evaluation in the background."""
    try:
        run = store.start(evaluation_of(request, pk), request.user)
    except InvalidDefinition as invalid:
        return page_with_errors(request, pk, invalid.errors)
    except RunRefused as refused:
        return page_with_errors(request, pk, (str(refused),))
    claim_runs_soon(runtime_of(request))
    return redirect("evaluation-run", uuid=run.uuid)


@require_safe
@viewer
def run_page(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Progress, scores and results of a run; `part` requests one of them."""
    run, part = _find_run(request, uuid), request.GET.get("part", "")
    template = f"_run_{part}" if part in {"progress", "results"} else "run"
    context = _run_context(request, run, with_cases=part != "progress")
    response = render(request, f"console/evaluate/{template}.html", context)
    response["Cache-Control"] = "no-store"
    return response


def _run_context(request: HttpRequest, run: EvaluationRun, *, with_cases: bool) -> dict[str, Any]:
    view = view_of(request.GET)
    candidates = run.evaluation.runs.listed().exclude(pk=run.pk)[:MAX_BASELINES]
    baseline = _baseline_run(run, view.baseline, [*candidates])
    figures = load_figures(run, baseline)
    finished_count = len(figures.outcomes)
    return {
        "page": PAGE,
        "run": run,
        "evaluation": run.evaluation,
        "done": finished_count,
        "percent": round(100 * finished_count / run.total, 1) if run.total else 100,
        "status_label": STATUS_LABELS[run.status],
        "status_pill": STATUS_PILLS[run.status],
        "failed": sum(outcome.failed for outcome in figures.outcomes),
        "scores": score_rows(figures),
        "table": case_table(run, figures, view) if with_cases else None,
        "baseline": baseline,
        "baselines": candidates,
        "here": view.query(),
    }


def _baseline_run(
    run: EvaluationRun, requested_pk: str, candidates: list[EvaluationRun]
) -> EvaluationRun | None:
    """The run to compare with: the requested one, by default the previous one."""
    if requested_pk:
        return next((each for each in candidates if str(each.number) == requested_pk), None)
    return next((each for each in candidates if each.number < run.number), None)


@require_safe
@viewer
def run_case(request: HttpRequest, uuid: UUID, number: int) -> HttpResponse:
    """All responses to one case with their checks; a part of the run's page, or a page."""
    run = _find_run(request, uuid)
    definition = parse_definition(run.document)
    if number >= len(definition.cases):
        raise Http404
    case = definition.cases[number]
    context = {
        "page": PAGE,
        "run": run,
        "evaluation": run.evaluation,
        "number": number,
        "title": case_title(number, case),
        "variables": case_variables(definition, case),
        "messages_sent": case_messages(definition, case),
        "models": case_responses(run, definition, number),
        "repeat": definition.repeat,
        "check_labels": CHECK_LABELS,
    }
    name = "_responses" if request.GET.get("part") else "run_case"
    return render(request, f"console/evaluate/{name}.html", context)


@require_POST
@viewer
def run_control(request: HttpRequest, uuid: UUID, action: str) -> HttpResponse:
    """Pause, resume or cancel a run, or run its failed requests again."""
    run = _find_run(request, uuid)
    if action not in ACTIONS:
        raise Http404
    try:
        is_changed = ACTIONS[action](run)
    except RunRefused as refused:
        messages.error(request, str(refused))
    else:
        claim_runs_soon(runtime_of(request))
        if not is_changed:
            messages.warning(request, _("The run has changed in the meantime."))
    return redirect("evaluation-run", uuid=uuid)


@require_http_methods(["GET", "HEAD", "POST"])
@viewer
def run_delete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Delete a run with its results, after a confirmation."""
    run = _find_run(request, uuid)
    if request.method != "POST":
        return delete_confirmation(
            request,
            PAGE,
            crumbs=[
                *evaluation_crumbs(run.evaluation),
                (reverse("evaluation-run", args=[uuid]), f"#{run.number}"),
            ],
            title=_("Delete run %(number)d") % {"number": run.number},
            consequence=_("Its scores and results will be deleted."),
            label=_("Delete run"),
        )
    run.delete()
    messages.success(request, _("Run %(number)d deleted.") % {"number": run.number})
    return redirect("evaluation", pk=run.evaluation_id)


@require_safe
@viewer
def run_export(request: HttpRequest, uuid: UUID, kind: str) -> HttpResponse:
    """The results as a file: CSV, JSON or Markdown."""
    run = _find_run(request, uuid)
    if kind not in EXPORTS:
        raise Http404
    render_report, content_type = EXPORTS[kind]
    response = HttpResponse(render_report(store.report(run)), content_type=content_type)
    name = f"{slugify(run.evaluation.name) or 'evaluation'}-{run.number}.{kind}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "no-store"
    return response
