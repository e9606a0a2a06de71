"""The doctor: what a model can do, asked live; and the facts that should be others."""

from __future__ import annotations

import asyncio
import logging
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

from console.access import admin, is_admin, viewer
from gateway import store
from gateway.models import CapabilityReport, Model, Provider
from gateway.models.capability import KEPT
from gateway.relay.doctor import PROBES, TRAIT_OF, VERDICTS, Advice, estimate
from gateway.routing.snapshot import Target
from gateway.store import doctor
from gateway.store.compile import is_pattern

log = logging.getLogger(__name__)

PAGE = "models"
# So many models stand side by side in the table of a provider.
SIDE_BY_SIDE = 8
LEVELS = {"supported": "ok", "refused": "", "wrong": "bad", "unclear": "warn"}
WORDS = {
    "supported": gettext_lazy("Supported"),
    "refused": gettext_lazy("Refused"),
    "wrong": gettext_lazy("Wrong"),
    "unclear": gettext_lazy("Unclear"),
}
_running: set[asyncio.Task[Any]] = set()


@require_safe
@viewer
@vary_on_headers("HX-Request")
def model_doctor(request: HttpRequest, pk: int) -> HttpResponse:
    """The newest examination of a model, or an older one; while it runs, how far it is."""
    row = get_object_or_404(Model.objects.select_related("provider"), pk=pk)
    reports = CapabilityReport.objects.of(row.provider, row.name)
    asked = request.GET.get("report", "")
    report = get_object_or_404(reports, pk=asked) if asked.isdigit() else reports.first()
    if not request.headers.get("HX-Request") or request.headers.get("HX-Boosted"):
        return _page(request, row, report)
    if report is None or not report.running:
        # It is over: the page has more to show than its progress.
        return HttpResponse(headers={"HX-Refresh": "true"})
    return render(request, "console/doctor_live.html", _progress(row, report))


def _page(
    request: HttpRequest,
    row: Model,
    report: CapabilityReport | None,
    *,
    status: int = 200,
    problem: str = "",
) -> HttpResponse:
    target = doctor.target_of(store.load_snapshot(), row.provider.name, row.name)
    advised = _advised(row, report, target)
    context = {
        "page": PAGE,
        **_progress(row, report),
        "target": target,
        "estimate": estimate(target.model) if target else None,
        "groups": _groups(report, target, advised),
        "advised": advised,
        "fixed": doctor.fixed(row),
        "stands_for_many": is_pattern(row.name),
        "problem": problem,
        "may": is_admin(request.user),
        "older": CapabilityReport.objects.of(row.provider, row.name)[:KEPT],
    }
    return render(request, "console/doctor.html", context, status=status)


def _progress(row: Model, report: CapabilityReport | None) -> dict[str, Any]:
    found = report.findings if report is not None else []
    costs = [f["cost_usd"] for f in found if f.get("cost_usd") is not None]
    return {
        "row": row,
        "report": report,
        "running": report is not None and report.running,
        "asked": len(found),
        "of": len(PROBES),
        "tally": _tally(report),
        "marks": _marks(report),
        "cost": sum(costs) if costs else None,
    }


def _marks(report: CapabilityReport | None) -> list[dict[str, Any]]:
    """Every probe by its title, with its verdict as soon as there is one."""
    found = report.verdicts if report is not None else {}
    return [
        {
            "title": probe.title,
            "level": LEVELS.get(found.get(probe.name, ""), ""),
            "label": WORDS.get(found.get(probe.name, ""), ""),
        }
        for probe in PROBES
    ]


def _titles() -> dict[str, str]:
    return {probe.name: probe.title for probe in PROBES}


def _tally(report: CapabilityReport | None) -> list[dict[str, Any]]:
    """How often each verdict was given."""
    given = list(report.verdicts.values()) if report is not None else []
    return [
        {"words": WORDS[verdict], "level": LEVELS[verdict], "count": given.count(verdict)}
        for verdict in VERDICTS
        if verdict in given
    ]


def _groups(
    report: CapabilityReport | None, target: Target | None, advised: list[dict[str, Any]]
) -> list[tuple[str, list[dict[str, Any]]]]:
    """The table of probes under its headings, with what was found and what the tables say."""
    found = {f["name"]: f for f in report.findings} if report is not None else {}
    differ = {name for item in advised for name in item["advice"].because}
    rows = [
        {
            "probe": probe,
            "finding": _shown(found.get(probe.name)),
            "trait": TRAIT_OF.get(probe.name, ""),
            "says": _says(probe.name, target),
            "differs": probe.name in differ,
        }
        for probe in PROBES
    ]
    return [
        (name, list(part)) for name, part in groupby(rows, lambda r: cast("Any", r)["probe"].group)
    ]


def _shown(finding: dict[str, Any] | None) -> dict[str, Any] | None:
    if finding is None:
        return None
    verdict = str(finding["verdict"])
    return {**finding, "label": WORDS.get(verdict, verdict), "level": LEVELS.get(verdict, "")}


def _says(probe: str, target: Target | None) -> str:
    """What the tables say now of what a probe asks; empty if they say nothing."""
    trait = TRAIT_OF.get(probe)
    if trait is None or target is None:
        return ""
    return words_of(getattr(target.model.traits, trait))


def words_of(value: Any) -> str:
    """A trait's value for a person."""
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if value is None:
        return _("no limit")
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value)) or _("none")
    return str(value)


def _advised(
    row: Model, report: CapabilityReport | None, target: Target | None
) -> list[dict[str, Any]]:
    """What differs; a fact that was changed by hand is not offered."""
    if report is None or report.running or target is None:
        return []
    own = row.traits if isinstance(row.traits, dict) else {}
    return [
        {
            "advice": item,
            "now": words_of(item.now),
            "proposed": words_of(item.proposed),
            "titles": [_titles()[name] for name in item.because],
            "own": item.trait in own,
        }
        for item in doctor.differences(report, target.model.traits)
    ]


@require_POST
@admin
async def doctor_start(request: HttpRequest, pk: int) -> HttpResponse:
    """Begin an examination; it goes on when this answer is sent."""
    user = await request.auser()
    return await _started(request, pk, user.pk)


async def _started(request: HttpRequest, pk: int, by: int | None) -> HttpResponse:
    report, target, problem = await sync_to_async(_begun)(pk, by)
    if report is None or target is None:
        await sync_to_async(messages.error)(request, problem)
        return redirect("model-doctor", pk=pk)
    task = asyncio.create_task(doctor.run(report, target))
    _running.add(task)
    task.add_done_callback(_ended)
    return redirect("model-doctor", pk=pk)


def _begun(pk: int, by: int | None) -> tuple[CapabilityReport | None, Target | None, str]:
    row = get_object_or_404(Model.objects.select_related("provider"), pk=pk)
    target = doctor.target_of(store.load_snapshot(), row.provider.name, row.name)
    if target is None:
        return None, None, _("Its provider can not be called now.")
    if is_pattern(row.name):
        return None, None, _("It stands for many models. Add one of them by its name.")
    try:
        return doctor.begin(row.provider, row.name, by=by), target, ""
    except doctor.Busy:
        return None, None, _("It is being examined already.")


def _ended(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled() and task.exception() is not None:
        log.error("an examination broke off", exc_info=task.exception())


@require_POST
@admin
def doctor_stop(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask the process that runs it to end it."""
    row = get_object_or_404(Model.objects.select_related("provider"), pk=pk)
    stopped = CapabilityReport.objects.of(row.provider, row.name).ask_to_stop()
    said = _("It stops within a second.") if stopped else _("Nothing was running.")
    messages.success(request, said)
    return redirect("model-doctor", pk=pk)


@require_POST
@admin
def doctor_apply(request: HttpRequest, pk: int) -> HttpResponse:
    """Write the facts that were chosen into the model."""
    row = get_object_or_404(Model.objects.select_related("provider"), pk=pk)
    report = get_object_or_404(
        CapabilityReport.objects.of(row.provider, row.name), pk=_number(request.POST.get("report"))
    )
    target = doctor.target_of(store.load_snapshot(), row.provider.name, row.name)
    wanted = set(request.POST.getlist("trait"))
    offered = [item["advice"] for item in _advised(row, report, target) if not item["own"]]
    chosen: list[Advice] = [item for item in offered if item.trait in wanted]
    if not chosen:
        return _page(request, row, report, status=422, problem=_("Choose at least one."))
    try:
        doctor.learn(row.provider, row.name, chosen)
    except doctor.Fixed:
        problem = _("A file or the environment owns this model. Copy it to the database first.")
        return _page(request, row, report, status=409, problem=problem)
    names = ", ".join(item.trait for item in chosen)
    messages.success(request, _("Written: %(names)s. It holds within a second.") % {"names": names})
    return redirect("model-doctor", pk=pk)


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() and len(text) < 19 else 0


@require_safe
@viewer
def provider_doctor(request: HttpRequest, pk: int) -> HttpResponse:
    """The newest examinations of all models of a provider, side by side."""
    provider = get_object_or_404(Provider, pk=pk)
    newest = CapabilityReport.objects.newest(provider)
    names = doctor.models_of(provider)
    rows = {row.name: row for row in provider.models.all() if row.name in set(names)}
    told = [_line(rows[name], newest.get(name)) for name in names]
    seen = [line for line in told if line["report"] is not None][:SIDE_BY_SIDE]
    context = {
        "page": "providers",
        "provider": provider,
        "lines": told,
        "seen": seen,
        "matrix": [(probe, [_cell(line, probe.name) for line in seen]) for probe in PROBES],
        "may": is_admin(request.user),
    }
    return render(request, "console/doctor_provider.html", context)


def _line(row: Model, report: CapabilityReport | None) -> dict[str, Any]:
    return {
        "row": row,
        "report": report,
        "tally": _tally(report),
        "verdicts": report.verdicts if report is not None else {},
    }


def _cell(line: dict[str, Any], probe: str) -> dict[str, Any]:
    verdict = line["verdicts"].get(probe, "")
    return {
        "model": line["row"].name,
        "level": LEVELS.get(verdict, ""),
        "label": WORDS.get(verdict, ""),
        "verdict": verdict,
    }
