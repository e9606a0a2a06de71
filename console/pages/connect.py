"""Connect a client: what to set in each, and a light that turns green at its first call."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from console.access import viewer
from console.clients import KEY, panels
from gateway.models import RequestLog, Route

PAGE = "connect"
DEMO = "demo"


@require_safe
@viewer
def connect(request: HttpRequest) -> HttpResponse:
    """All panels, for the route that is chosen."""
    context = {"page": PAGE, **connecting(request), "light": light_context(newest_row())}
    name = "connect_panels.html" if is_part(request) else "connect.html"
    return render(request, f"console/{name}", context)


@require_safe
@viewer
def connect_light(request: HttpRequest) -> HttpResponse:
    """The light alone: waiting, or what the first call after `since` was."""
    since = request.GET.get("since", "")
    number = int(since) if since.isascii() and since.isdigit() and len(since) < 19 else newest_row()
    context = {"light": light_context(number)}
    return render(request, "console/connect_light.html", context)


def connecting(request: HttpRequest, preferred: str = "") -> dict[str, Any]:
    """What the panels need: address, routes, the one that is chosen, each client's text."""
    routes = [route.name for route in Route.objects.live() if "*" not in route.name]
    wanted = request.GET.get("route") or preferred
    # The demo comes last: who has made another route means that one.
    routes.sort(key=lambda name: (name == DEMO, name))
    route = wanted if wanted in routes else next(iter(routes), "provider/model")
    base = f"{request.scheme}://{request.get_host()}"
    return {
        "base": base,
        "routes": routes,
        "route": route,
        "key_variable": KEY,
        "open": settings.OPEN,
        "panels": panels(base, route),
    }


def light_context(since: int) -> dict[str, Any]:
    """The first call after a row of the log, if there is one."""
    return {"since": since, "call": RequestLog.objects.first_client_call(since)}


def newest_row() -> int:
    """The id of the newest row of the log, after which a first call is waited for."""
    return RequestLog.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


def is_part(request: HttpRequest) -> bool:
    """Whether htmx asks for a part of the page."""
    wants_all = ("HX-Boosted", "HX-History-Restore-Request")
    return "HX-Request" in request.headers and not any(n in request.headers for n in wants_all)
