"""Step 4: the first client, and the light that turns green at its first call."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from console import setup_progress
from console.pages.connect import connect_context, is_partial, light_context, newest_row_id
from console.pages.setup.gate import during, steps


@require_safe
@during("connect")
def setup_connect(request: HttpRequest) -> HttpResponse:
    """The panels of the Connect page, within the first run."""
    state = setup_progress.state()
    since = state.get("since")
    context = {
        **connect_context(request, str(state.get("route", ""))),
        "light": light_context(since if isinstance(since, int) else newest_row_id()),
        **steps("connect"),
    }
    name = "connect_panels.html" if is_partial(request) else "setup_connect.html"
    return render(request, f"console/{name}", context)


@require_POST
@during("connect")
def finish(request: HttpRequest) -> HttpResponse:
    """The first run is over, for good."""
    setup_progress.advance("done")
    return redirect("overview")
