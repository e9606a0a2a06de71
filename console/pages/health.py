"""Health: status of the targets, of the journal and of this process."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from console.access import editor, viewer
from console.htmx import is_partial, render_page_or_part
from console.insight import process, targets
from gateway.api.runtime import runtime_of

PAGE = "health"
PAGE_ROWS = 50


@require_safe
@viewer
def health(request: HttpRequest) -> HttpResponse:
    """The page, or the part that refreshes every few seconds."""
    return render_page_or_part(
        request, "console/health/page.html", "console/health/_live.html", _page_context(request)
    )


@require_POST
@editor
def health_reset(request: HttpRequest) -> HttpResponse:
    """End the cooldown of a target in this process."""
    label = request.POST.get("target", "")
    was_in_cooldown = targets.reset_cooldown(runtime_of(request), label)
    message = (
        _("%(target)s is available again.")
        if was_in_cooldown
        else _("%(target)s is not in cooldown.")
    )
    if is_partial(request):
        context = {**_page_context(request), "status_message": message % {"target": label}}
        return render(request, "console/health/_live.html", context)
    messages.success(request, message % {"target": label})
    return HttpResponseRedirect(reverse("health", query=request.GET))


@require_safe
@viewer
def health_status(request: HttpRequest) -> HttpResponse:
    """Number of healthy providers: a line for the sidebar, or JSON."""
    runtime = runtime_of(request)
    summary = targets.health_summary(runtime, targets.registry_snapshot(runtime))
    if is_partial(request):
        return render(request, "console/health/_status.html", {"providers": summary})
    return JsonResponse(
        {
            "healthy": summary.healthy,
            "total": summary.total,
            "unhealthy": summary.unhealthy,
            "level": summary.level,
            "message": summary.message,
        }
    )


def _page_context(request: HttpRequest) -> dict[str, Any]:
    runtime = runtime_of(request)
    registry = targets.registry_snapshot(runtime)
    text = request.GET.get("q", "").strip()[:100]
    pages = targets.find_target_healths(runtime, registry, text, PAGE_ROWS, request.GET.get("page"))
    return {
        "page": PAGE,
        "targets": list(pages),
        "pages": pages,
        "text": text,
        "count": pages.paginator.count,
        "providers": targets.health_summary(runtime, registry),
        "warnings": registry.warnings,
        "facts": process.process_status(runtime),
        "wrong": process.active_problems(runtime),
        "hours": targets.HOURS,
    }
