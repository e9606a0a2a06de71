"""Connect a client: settings of each client, and a status of its first request."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from console.access import admin, is_admin, viewer
from console.htmx import render_page_or_part
from console.pages.connect.clients import KEY, panels
from gateway import store
from gateway.models import RequestLog, Route

PAGE = "connect"
TEMPLATE = "console/connect/page.html"
PANELS = "console/connect/_panels.html"
DEMO = "demo"
_MAX_NAME_LENGTH = 200


@require_safe
@viewer
def connect(request: HttpRequest) -> HttpResponse:
    """The panels of all clients, for the selected route."""
    context = {
        "page": PAGE,
        **connect_context(request),
        "light": light_context(newest_row_id()),
        "may_insert": is_admin(request.user),
    }
    return render_page_or_part(request, TEMPLATE, PANELS, context)


@never_cache
@require_POST
@admin
def connect_key(request: HttpRequest) -> HttpResponse:
    """Create a key for the selected route and show it in the examples, once.

    It is not stored, so no page can show it again. Scripts that accept JSON get the key alone.
    """
    requested_route = request.POST.get("route", "")[:_MAX_NAME_LENGTH]
    context = connect_context(request, requested_route)
    # Columns of the playground may be models by full name, which have no route row.
    route = requested_route if store.load_snapshot().route(requested_route) else context["route"]
    name = f"{request.user.get_username()}, {route}"[:_MAX_NAME_LENGTH]
    row, secret = store.create_key(name, routes=[route])
    if "application/json" in request.headers.get("Accept", ""):
        return JsonResponse({"key": secret, "name": row.name, "route": route})
    context |= {
        "page": PAGE,
        "made": row,
        "may_insert": True,
        "panels": panels(context["base"], context["route"], secret),
        "light": light_context(newest_row_id()),
    }
    return render_page_or_part(request, TEMPLATE, PANELS, context)


@require_safe
@viewer
def connect_light(request: HttpRequest) -> HttpResponse:
    """The status alone: waiting, or the first request after `since`."""
    since = request.GET.get("since", "")
    number = (
        int(since) if since.isascii() and since.isdigit() and len(since) < 19 else newest_row_id()
    )
    context = {"light": light_context(number)}
    return render(request, "console/connect/_light.html", context)


def connect_context(request: HttpRequest, preferred: str = "") -> dict[str, Any]:
    """Context of the panels: base URL, routes, the selected route, each client's example."""
    routes = [route.name for route in Route.objects.live() if "*" not in route.name]
    requested_route = request.GET.get("route") or preferred
    # The demo comes last: another route is more likely to be meant.
    routes.sort(key=lambda name: (name == DEMO, name))
    route = requested_route if requested_route in routes else next(iter(routes), "provider/model")
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
    """The first client request after a row of the log, if there is one."""
    return {"since": since, "call": RequestLog.objects.first_client_call(since)}


def newest_row_id() -> int:
    """The id of the newest row of the log."""
    return RequestLog.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
