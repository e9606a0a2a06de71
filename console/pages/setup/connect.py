"""Step 4: the first client, and the status of its first request."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from console import setup_progress
from console.htmx import render_page_or_part
from console.pages.connect.views import PANELS, connect_context, status_context
from console.pages.setup.gate import setup_step, steps
from gateway.models import RequestLog


@require_safe
@setup_step("connect")
def setup_connect(request: HttpRequest) -> HttpResponse:
    """The panels of the Connect page, within the setup."""
    state = setup_progress.state()
    since = state.get("since")
    context = {
        **connect_context(request, str(state.get("route", ""))),
        "status": status_context(
            request, since if isinstance(since, int) else RequestLog.objects.newest_pk()
        ),
        **steps("connect"),
    }
    return render_page_or_part(request, "console/setup/connect.html", PANELS, context)


@require_POST
@setup_step("connect")
def finish(request: HttpRequest) -> HttpResponse:
    """Finish the setup."""
    setup_progress.advance("done")
    return redirect("overview")
