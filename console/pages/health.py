"""Health: status of the targets, of the journal and of this process."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from console.access import admin, viewer
from console.insight import process, targets

PAGE = "health"


@require_safe
@viewer
def health(request: HttpRequest) -> HttpResponse:
    """The page, or the part that refreshes every few seconds."""
    part = request.headers.get("HX-Request") and not request.headers.get("HX-Boosted")
    name = "health_live.html" if part else "health.html"
    response = render(request, f"console/{name}", _context())
    response.headers["Vary"] = "HX-Request"
    return response


@require_POST
@admin
def health_reset(request: HttpRequest) -> HttpResponse:
    """End the cooldown of a target in this process."""
    label = request.POST.get("target", "")
    was_in_cooldown = targets.reset_cooldown(label)
    message = (
        _("%(target)s is available again.")
        if was_in_cooldown
        else _("%(target)s is not in cooldown.")
    )
    if request.headers.get("HX-Request"):
        context = {**_context(), "status_message": message % {"target": label}}
        return render(request, "console/health_live.html", context)
    messages.success(request, message % {"target": label})
    return HttpResponseRedirect(reverse("health"))


@require_safe
@viewer
def health_light(request: HttpRequest) -> HttpResponse:
    """Number of healthy providers: a line for the sidebar, or JSON."""
    summary = targets.health_summary(targets.registry_snapshot())
    if request.headers.get("HX-Request"):
        return render(request, "console/health_light.html", {"providers": summary})
    return JsonResponse(
        {
            "healthy": summary.healthy,
            "total": summary.total,
            "unhealthy": summary.unhealthy,
            "level": summary.level,
            "message": summary.message,
        }
    )


def _context() -> dict[str, Any]:
    registry = targets.registry_snapshot()
    return {
        "page": PAGE,
        "targets": targets.target_healths(registry),
        "providers": targets.health_summary(registry),
        "warnings": registry.warnings,
        "facts": process.process_status(),
        "wrong": process.active_problems(),
        "hours": targets.HOURS,
    }
