"""Health: how each target does, what waits and what was lost, and facts of the process."""

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
    """The page, or the part of it that is renewed every few seconds."""
    part = request.headers.get("HX-Request") and not request.headers.get("HX-Boosted")
    name = "health_live.html" if part else "health.html"
    response = render(request, f"console/{name}", _context())
    response.headers["Vary"] = "HX-Request"
    return response


@require_POST
@admin
def health_reset(request: HttpRequest) -> HttpResponse:
    """Let a target be tried again at once, in this process."""
    label = request.POST.get("target", "")
    known = targets.reset(label)
    words = _("%(target)s is tried again from now on.") if known else _("%(target)s does not rest.")
    if request.headers.get("HX-Request"):
        context = {**_context(), "said": words % {"target": label}}
        return render(request, "console/health_live.html", context)
    messages.success(request, words % {"target": label})
    return HttpResponseRedirect(reverse("health"))


@require_safe
@viewer
def health_light(request: HttpRequest) -> HttpResponse:
    """How many providers are well: a line for the sidebar, or JSON for who asks for it."""
    found = targets.summary(targets.snapshot())
    if request.headers.get("HX-Request"):
        return render(request, "console/health_light.html", {"providers": found})
    return JsonResponse(
        {
            "healthy": found.healthy,
            "total": found.total,
            "sick": found.sick,
            "level": found.level,
            "words": found.words,
        }
    )


def _context() -> dict[str, Any]:
    registry = targets.snapshot()
    return {
        "page": PAGE,
        "targets": targets.healths(registry),
        "providers": targets.summary(registry),
        "warnings": registry.warnings,
        "facts": process.facts(),
        "hours": targets.HOURS,
    }
