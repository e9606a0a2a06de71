"""`/console/requests/<id>`: one request, its tabs, and the way back to the list."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import msgspec
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from console import curl
from console.access import may_read_bodies, viewer
from console.dialects import path_of
from console.pages.requests import find, sessions, streams, translation, words
from console.pages.requests.cache_guard import guard_of
from console.pages.requests.lines import lines, prompt_tokens
from console.pages.requests.listing import list_context, search_of, state_of
from console.pages.requests.replays import original_of, replays_of
from gateway import store
from gateway.dialects import DIALECTS
from gateway.dialects.base import Dialect
from gateway.models import Alias, RequestLog, Route
from gateway.relay.entry import Bodies
from gateway.routing.snapshot import Provider

TABS = (
    ("overview", gettext_lazy("Overview")),
    ("translation", gettext_lazy("Translation")),
    ("response", gettext_lazy("Response")),
    ("stream", gettext_lazy("Stream")),
    ("headers", gettext_lazy("Headers")),
    ("session", gettext_lazy("Session")),
)
_DEFAULT = "overview"
_MOST_SHOWN = 200_000


@viewer
@require_safe
def request_detail(request: HttpRequest, request_id: str) -> HttpResponse:
    """One request: beside the list, or alone where htmx asks for that part only."""
    row = find.row_of(request_id)
    part = _wants_part(request)
    state = state_of(request)
    context = detail_context(request, row)
    if part:
        response = render(request, "console/requests/_detail.html", context)
    else:
        context = {**list_context(request, state, selected=row.pk), **context}
        response = render(request, "console/requests.html", context)
    patch_vary_headers(response, ["HX-Request"])
    return response


def _wants_part(request: HttpRequest) -> bool:
    headers = request.headers
    return bool(headers.get("HX-Request")) and not headers.get("HX-History-Restore-Request")


def detail_context(request: HttpRequest, row: RequestLog) -> dict[str, Any]:
    """What every tab needs, and what the chosen one does."""
    state, allowed = state_of(request), may_read_bodies(request.user)
    tab = request.GET.get("tab", "")
    tab = tab if tab in dict(TABS) else _DEFAULT
    bodies, damaged = _bodies(row) if allowed else (None, "")
    newer, older = find.neighbours(search_of(state), row.pk)
    why = damaged or words.not_stored(row, allowed=allowed)
    context = {
        "page": "requests",
        "state": state,
        "address": state.address(),
        "row": row,
        "line": lines([row])[0],
        "tab": tab,
        "tabs": _tabs(row, tab, state.address(), bodies),
        "newer": newer,
        "older": older,
        "tries": words.tries(row),
        "speed": words.speed(row),
        "prompt": prompt_tokens(row),
        "asked_at": words.asked_at(row),
        "client_name": words.dialect_name(row.client_dialect),
        "upstream_name": words.dialect_name(row.upstream_dialect),
        "alias_of": _alias_of(row),
        "bodies": bodies,
        "not_stored": "" if bodies is not None else why,
        "may_read_bodies": allowed,
        "playground": _playground(row) if allowed else "",
        "curls": _curls(request, row, bodies),
        "routes": list(Route.objects.values_list("name", flat=True)) if allowed else [],
        "original": original_of(row),
        "replays": replays_of(row),
    }
    return {**context, **_FILL[tab](request, row, bodies)}


def _bodies(row: RequestLog) -> tuple[Bodies | None, str]:
    try:
        return store.load_bodies(row.pk), ""
    except ValueError as error:
        return None, str(error)


def _tabs(row: RequestLog, tab: str, address: str, bodies: Bodies | None) -> list[dict[str, Any]]:
    here = reverse("request", args=[row.pk])
    dropped = sum(1 for item in row.adaptations if item.get("action") == "dropped")
    pills = {"translation": (_("%(n)d dropped") % {"n": dropped}, "warn") if dropped else None}
    if row.session:
        count = RequestLog.objects.having("session", [row.session]).count()
        pills["session"] = (str(count), "")
    shown = [
        (name, title)
        for name, title in TABS
        if (name != "stream" or row.stream) and (name != "session" or row.session)
    ]
    return [
        {
            "name": name,
            "title": title,
            "url": f"{here}?{address}&tab={name}",
            "current": name == tab,
            "pill": pills.get(name),
        }
        for name, title in shown
    ]


def _alias_of(row: RequestLog) -> str:
    """How the name that was asked for relates to the route."""
    if not row.route:
        return _("no route of this name")
    if row.requested_model == row.route:
        return (
            _("route") if Route.objects.filter(name=row.route).exists() else _("model by its name")
        )
    if Alias.objects.filter(pattern=row.requested_model).exists():
        return _("alias of route %(route)s") % {"route": row.route}
    return _("by a pattern of route %(route)s") % {"route": row.route}


def _playground(row: RequestLog) -> str:
    try:
        return f"{reverse('playground')}?request={row.pk}"
    except NoReverseMatch:
        return ""


def _curls(request: HttpRequest, row: RequestLog, bodies: Bodies | None) -> list[dict[str, str]]:
    """The client's and the upstream's request as commands, where their bodies are stored."""
    if bodies is None:
        return []
    made = []
    if bodies.client_request and "client_request" not in bodies.truncated:
        url = f"{request.scheme}://{request.get_host()}{_client_path(row)}"
        text = bodies.client_request.decode("utf-8", "replace")
        shown = curl.command(url, bodies.client_headers, text, "DRAGOMAN_API_KEY")
        made.append({"id": "client", "title": _("As the client sent it"), "text": shown})
    if bodies.upstream_request and "upstream_request" not in bodies.truncated:
        made.append(_upstream_curl(row, bodies, bodies.upstream_request))
    return made


def _client_path(row: RequestLog) -> str:
    """Where the client called, with the model where the path holds it."""
    template = row.endpoint.rpartition(" ")[2]
    if not template.startswith("/"):
        return path_of(row.client_dialect, row.requested_model, stream=row.stream)
    path = template.replace("{id}", quote(row.requested_model, safe="/:@"))
    return f"{path}?alt=sse" if path.endswith(":streamGenerateContent") else path


def _upstream_curl(row: RequestLog, bodies: Bodies, body: bytes) -> dict[str, str]:
    provider = store.load_snapshot().providers.get(row.provider)
    base = provider.base_url if provider else "https://UPSTREAM"
    known = DIALECTS.get(row.upstream_dialect)
    path = _upstream_path(row, known, provider) if known else ""
    headers = dict(bodies.upstream_headers)
    if provider is not None and provider.auth in {"x-api-key", "api-key", "x-goog-api-key"}:
        headers[provider.auth] = curl.MASK
    text = curl.command(base + path, headers, body.decode("utf-8", "replace"), "PROVIDER_API_KEY")
    return {"id": "upstream", "title": _("As the upstream got it"), "text": text}


def _upstream_path(row: RequestLog, known: Dialect, provider: Provider | None) -> str:
    """The upstream's path, by the provider's own paths where it has some."""
    verb = translation.verb_of(row)
    paths = provider.paths if provider else {}
    streamed = "stream" if row.stream and verb == "generate" else verb
    template = paths.get(streamed) or paths.get(verb)
    if template is not None:
        return template.replace("{model}", row.model)
    if verb == "embed" and known.embed_provider is not None:
        return known.embed_provider.embed_path(row.model)
    return known.provider.path(row.model, stream=row.stream, verb=verb)


# What each tab needs beside the common part

Fill = Callable[[HttpRequest, RequestLog, Bodies | None], dict[str, Any]]


def _overview(request: HttpRequest, row: RequestLog, bodies: Bodies | None) -> dict[str, Any]:
    adapted = [item for item in row.adaptations if isinstance(item, dict)]
    return {"adapted": adapted}


def _translation(request: HttpRequest, row: RequestLog, bodies: Bodies | None) -> dict[str, Any]:
    side = "response" if request.GET.get("side") == "response" else "request"
    if bodies is None:
        return {"side": side}
    sides = translation.response_sides if side == "response" else translation.request_sides
    return {"side": side, "sides": sides(row, bodies)}


def _response(request: HttpRequest, row: RequestLog, bodies: Bodies | None) -> dict[str, Any]:
    if bodies is None:
        return {}
    client = bodies.upstream_response if bodies.same_response else bodies.client_response
    return {
        "answer": streams.answer(row, bodies),
        "raw": _pretty(client),
        "raw_size": words.size(client),
    }


def _pretty(data: bytes | None) -> str:
    if not data:
        return ""
    with contextlib.suppress(msgspec.MsgspecError, RecursionError):
        data = msgspec.json.format(data, indent=2)
    text = data[:_MOST_SHOWN].decode("utf-8", "replace")
    return text if len(data) <= _MOST_SHOWN else f"{text}…"


def _stream(request: HttpRequest, row: RequestLog, bodies: Bodies | None) -> dict[str, Any]:
    return {} if bodies is None else {"stream": streams.shown(row, bodies)}


def _headers(request: HttpRequest, row: RequestLog, bodies: Bodies | None) -> dict[str, Any]:
    if bodies is None:
        return {}
    groups = (
        (_("The client sent"), bodies.client_headers),
        (_("The upstream got"), bodies.upstream_headers),
        (_("The client got"), bodies.response_headers),
    )
    return {"header_groups": [(title, sorted(headers.items())) for title, headers in groups]}


def _session(request: HttpRequest, row: RequestLog, bodies: Bodies | None) -> dict[str, Any]:
    if not row.session:
        return {}
    found = sessions.session(row.session)
    # What it compares are bodies: for those who may read them.
    return {"session": found, "guard": guard_of(found) if may_read_bodies(request.user) else None}


_FILL: dict[str, Fill] = {
    "overview": _overview,
    "translation": _translation,
    "response": _response,
    "stream": _stream,
    "headers": _headers,
    "session": _session,
}
