"""Connect a client: settings of each client, and a status of its first request."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from console.access import Person, editor, is_admin, is_editor, signed_in
from console.client_environment import KEY_VARIABLE
from console.htmx import render_page_or_part
from console.numbers import number_in
from console.pages.connect.clients import panels
from console.pages.personal.limits import limits_of_user, route_names
from gateway import store
from gateway.models import ApiKey, RequestLog, Route
from gateway.roles import has_permission
from gateway.routing.snapshot import Provider

PAGE = "connect"
TEMPLATE = "console/connect/page.html"
PANELS = "console/connect/_panels.html"
DEMO = "demo"
_MAX_NAME_LENGTH = 200


@require_safe
@signed_in
def connect(request: HttpRequest) -> HttpResponse:
    """The panels of all clients, for the selected route."""
    context = {
        "page": PAGE,
        **connect_context(request),
        "status": status_context(request, RequestLog.objects.newest_pk()),
        "may_insert": is_editor(request.user),
    }
    return render_page_or_part(request, TEMPLATE, PANELS, context)


@never_cache
@require_POST
@editor
def connect_key(request: HttpRequest) -> HttpResponse:
    """Create a key for the selected route and show it in the examples, once.

    It is not stored, so no page can show it again. Scripts that accept JSON get the key alone.
    """
    requested_route = request.POST.get("route", "")[:_MAX_NAME_LENGTH]
    context = connect_context(request, requested_route)
    # Columns of the playground may be models by full name, which have no route row.
    route = requested_route if store.current_snapshot().route(requested_route) else context["route"]
    name = f"{request.user.get_username()}, {route}"[:_MAX_NAME_LENGTH]
    row, secret = store.create_key(name, routes=[route])
    if "application/json" in request.headers.get("Accept", ""):
        return JsonResponse({"key": secret, "name": row.name, "route": route})
    context |= {
        "page": PAGE,
        "made": row,
        "may_insert": True,
        "panels": panels(context["base"], context["route"], secret),
        "status": status_context(request, RequestLog.objects.newest_pk()),
    }
    return render_page_or_part(request, TEMPLATE, PANELS, context)


@require_safe
@signed_in
def connection_status(request: HttpRequest) -> HttpResponse:
    """The status alone: waiting, or the first request after `since`."""
    since = number_in(request.GET.get("since", ""))
    number = RequestLog.objects.newest_pk() if since is None else since
    context = {"status": status_context(request, number)}
    return render(request, "console/connect/_status.html", context)


def connect_context(request: HttpRequest, preferred: str = "") -> dict[str, Any]:
    """Context of the panels: base URL, routes, models, the selected one, each client's example."""
    user = request.user
    if has_permission(user, "view"):
        names = list(Route.objects.live().values_list("name", flat=True))
        models = store.current_snapshot().known_names
    else:
        names, models = route_names(limits_of_user(user)), ()
    # The demo comes last: another route is more likely to be meant.
    routes = sorted(
        (name for name in names if "*" not in name), key=lambda name: (name == DEMO, name)
    )
    requested_route = request.GET.get("route") or preferred
    default_names = [*(name for name in routes if name != DEMO), *models, *routes, "provider/model"]
    route = requested_route if requested_route in {*routes, *models} else default_names[0]
    base = f"{request.scheme}://{request.get_host()}"
    return {
        "base": base,
        "routes": routes,
        "models": models,
        "route": route,
        "key_variable": KEY_VARIABLE,
        "open": settings.OPEN,
        "provider_without_models": _provider_without_models(user, {*names, *models}),
        "panels": panels(base, route),
    }


def _provider_without_models(user: Person, names: set[str]) -> Provider | None:
    """A provider whose models an admin should add, as clients can only call the demo until then."""
    if names - {DEMO} or not is_admin(user):
        return None
    providers = store.current_snapshot().providers.values()
    return next((provider for provider in providers if provider.preset != DEMO), None)


def status_context(request: HttpRequest, since: int) -> dict[str, Any]:
    """The first client request after a row of the log, if there is one that the user may see."""
    rows = RequestLog.objects.all()
    if not has_permission(request.user, "view"):
        rows = rows.filter(key_id__in=ApiKey.objects.owned_by(request.user).values("pk"))
    return {"since": since, "call": rows.first_client_call(since)}
