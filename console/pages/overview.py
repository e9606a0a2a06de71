"""The overview: today's traffic, problems, and next steps."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_safe

from console.access import is_admin, signed_in
from console.htmx import render_page_or_part
from console.insight import process, targets
from console.insight.steps import steps
from console.insight.today import today
from console.pages.requests.log_lines import lines
from console.pages.requests.log_search import page
from console.pages.requests.query import Search
from gateway.api.runtime import runtime_of
from gateway.models import RequestLog
from gateway.roles import has_permission

PAGE = "overview"
NEWEST_ROWS = 8
MAX_ERRORS = 5


@require_safe
@signed_in
def overview(request: HttpRequest) -> HttpResponse:
    """The page, or the part that refreshes every few seconds; members start at their keys."""
    if not has_permission(request.user, "view"):
        return redirect("personal-keys")
    return render_page_or_part(
        request, "console/overview/page.html", "console/overview/_live.html", _page_context(request)
    )


def _page_context(request: HttpRequest) -> dict[str, Any]:
    runtime = runtime_of(request)
    registry = targets.registry_snapshot(runtime)
    todo = steps() if is_admin(request.user) else ()
    context = {
        "page": PAGE,
        "steps": todo,
        "remaining_steps": sum(not step.done for step in todo),
        "done": sum(step.done for step in todo),
        "providers": targets.health_summary(runtime, registry),
        "warnings": registry.warnings,
        "journal": process.journal_status(runtime),
        "base": f"{request.scheme}://{request.get_host()}",
        "route": next(iter(sorted(registry.routes)), "demo/demo"),
        "has_requests": RequestLog.objects.has_client_requests(),
    }
    if context["has_requests"]:
        context["today"] = today()
        context["newest"] = lines(page(Search(), size=NEWEST_ROWS).rows)
        context["errors"] = lines(
            RequestLog.objects.without_health_checks().failed().newest(MAX_ERRORS)
        )
    return context
