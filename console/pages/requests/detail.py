"""`/console/requests/<id>`: one request with its tabs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import msgspec
from django.http import HttpRequest, HttpResponse
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from console.access import may_read_bodies, viewer
from console.client_environment import KEY_VARIABLE
from console.dialects import path_of
from console.htmx import is_partial, render_page_or_part
from console.pages.requests import (
    curl,
    labels,
    log_search,
    session_conversation,
    sessions,
    streams,
    translation,
)
from console.pages.requests.cache_breaks import cache_break_report
from console.pages.requests.canonical import has_conversation
from console.pages.requests.conversation import conversation_context
from console.pages.requests.listing import list_context, search_of, state_with
from console.pages.requests.log_lines import lines
from console.pages.requests.next_steps import next_step
from console.pages.requests.replays import original_of, replays_of
from console.pages.requests.scores import ScoreForm, scores_context
from console.pages.traces.links import ALL
from console.pages.traces.matching import traces_of_requests
from console.pages.traces.waterfall import session_waterfall
from console.tracing.notes import adaptation_advice, adaptation_sentence
from gateway import store
from gateway.canon import model_names
from gateway.dialects import DIALECTS
from gateway.dialects.base import Dialect
from gateway.models import Alias, RequestLog, Route
from gateway.relay.exchange.log_record import Bodies
from gateway.routing.snapshot import Provider

TABS = (
    ("conversation", gettext_lazy("Conversation")),
    ("overview", gettext_lazy("Overview")),
    ("translation", gettext_lazy("Translation")),
    ("response", gettext_lazy("Response")),
    ("stream", gettext_lazy("Stream")),
    ("headers", gettext_lazy("Headers")),
    ("session", gettext_lazy("Session")),
    ("scores", gettext_lazy("Scores")),
)
_MAX_DISPLAYED_BYTES = 200_000


@viewer
@require_safe
def request_detail(request: HttpRequest, request_id: str) -> HttpResponse:
    """One request, next to the list; with htmx only the request."""
    return detail_page(request, log_search.find_request(request_id))


def detail_page(
    request: HttpRequest, row: RequestLog, score_form: ScoreForm | None = None
) -> HttpResponse:
    """The page of a request, or its part; `score_form` is a submitted one with its errors."""
    context = detail_context(request, row, score_form)
    if not is_partial(request):
        state = state_with(request, row)
        context = {**list_context(request, state, selected_pk=row.pk), **context}
    page, part = "console/requests/page.html", "console/requests/_detail.html"
    return render_page_or_part(request, page, part, context, status=422 if score_form else 200)


def detail_context(
    request: HttpRequest, row: RequestLog, score_form: ScoreForm | None = None
) -> dict[str, Any]:
    """Template context shared by all tabs, and that of the selected tab."""
    state, allowed = state_with(request, row), may_read_bodies(request.user)
    bodies, damage = _load_bodies(row) if allowed else (None, "")
    tab = "scores" if score_form else request.GET.get("tab", "")
    # A link to the next request keeps the tab, which that request may not have.
    tab = tab if tab in dict(_tabs_of(row)) else _default_tab(row, bodies)
    newer, older = log_search.adjacent_rows(search_of(state, request.user), row.pk)
    scored = scores_context(request, row, form=score_form)
    reason = damage or labels.missing_bodies_reason(row, allowed=allowed)
    context = {
        "page": "requests",
        "state": state,
        "address": state.address(),
        "row": row,
        "line": lines([row])[0],
        "tab": tab,
        "tabs": _tab_links(row, tab, state.address(), bodies, len(scored["scores"])),
        "newer": newer,
        "older": older,
        "next_step": next_step(row, request.user),
        "attempts": labels.attempt_bars(row),
        "speed": labels.output_speed(row),
        "endpoint_label": labels.called_endpoint(row),
        "client_name": labels.dialect_name(row.client_dialect),
        "upstream_name": labels.dialect_name(row.upstream_dialect),
        "alias_of": _alias_of(row),
        "bodies": bodies,
        "not_stored": "" if bodies is not None else reason,
        "may_read_bodies": allowed,
        "playground": _playground_url(row) if allowed else "",
        "curls": _curl_commands(request, row, bodies),
        "traces": sorted(traces_of_requests([row])),
        "original": original_of(row),
        "replays": replays_of(row),
        **scored,
    }
    return {**context, **_TAB_CONTEXTS[tab](request, row, bodies)}


def _default_tab(row: RequestLog, bodies: Bodies | None) -> str:
    """The conversation, if there is one and this user may read it."""
    return "conversation" if bodies is not None and has_conversation(row) else "overview"


def _load_bodies(row: RequestLog) -> tuple[Bodies | None, str]:
    try:
        return store.load_bodies(row.pk), ""
    except ValueError as error:
        return None, str(error)


def _tabs_of(row: RequestLog) -> list[tuple[str, Any]]:
    """Names and titles of the tabs of a request."""
    return [
        (name, title)
        for name, title in TABS
        if (name != "stream" or row.stream)
        and (name != "session" or row.session)
        and (name != "conversation" or has_conversation(row))
    ]


def _tab_links(
    row: RequestLog, tab: str, address: str, bodies: Bodies | None, scores: int
) -> list[dict[str, Any]]:
    page_url = reverse("request", args=[row.pk])
    dropped_count = sum(1 for item in row.adaptations if item.get("action") == "dropped")
    badges = {
        "translation": (_("%(n)d dropped") % {"n": dropped_count}, "warn")
        if dropped_count
        else None
    }
    if scores:
        badges["scores"] = (str(scores), "")
    if row.session:
        count = RequestLog.objects.column_in("session", [row.session]).count()
        badges["session"] = (str(count), "")
    return [
        {
            "name": name,
            "title": title,
            "url": f"{page_url}?{address}&tab={name}",
            "current": name == tab,
            "pill": badges.get(name),
        }
        for name, title in _tabs_of(row)
    ]


def _alias_of(row: RequestLog) -> str:
    """How the requested model name relates to the route."""
    if not row.route:
        return _("no matching route")
    if row.requested_model == row.route:
        return (
            _("route") if Route.objects.filter(name=row.route).exists() else _("model by full name")
        )
    if Alias.objects.filter(pattern=row.requested_model).exists():
        return _("alias of route %(route)s") % {"route": row.route}
    return _("pattern of route %(route)s") % {"route": row.route}


def _playground_url(row: RequestLog) -> str:
    try:
        return f"{reverse('playground')}?request={row.pk}"
    except NoReverseMatch:
        return ""


def _curl_commands(
    request: HttpRequest, row: RequestLog, bodies: Bodies | None
) -> list[dict[str, str]]:
    """The client's and the upstream's request as curl commands, if their bodies are stored."""
    if bodies is None:
        return []
    commands = []
    if bodies.client_request and "client_request" not in bodies.truncated:
        url = f"{request.scheme}://{request.get_host()}{_client_path(row)}"
        text = bodies.client_request.decode("utf-8", "replace")
        command = curl.command(url, bodies.client_headers, text, KEY_VARIABLE)
        commands.append({"id": "client", "title": _("Client request"), "text": command})
    if bodies.upstream_request and "upstream_request" not in bodies.truncated:
        commands.append(_upstream_curl(row, bodies, bodies.upstream_request))
    return commands


def _client_path(row: RequestLog) -> str:
    """The path of the client's request, including the model if it is in the path."""
    template = row.endpoint.rpartition(" ")[2]
    if not template.startswith("/"):
        return path_of(row.client_dialect, row.requested_model, stream=row.stream)
    path = template.replace("{id}", quote(row.requested_model, safe="/:@"))
    return f"{path}?alt=sse" if path.endswith(":streamGenerateContent") else path


def _upstream_curl(row: RequestLog, bodies: Bodies, body: bytes) -> dict[str, str]:
    provider = store.current_snapshot().providers.get(row.provider)
    base = provider.base_url if provider else "https://UPSTREAM"
    dialect = DIALECTS.get(row.upstream_dialect)
    path = _upstream_path(row, dialect, provider) if dialect else ""
    headers = dict(bodies.upstream_headers)
    if provider is not None and provider.auth in {"x-api-key", "api-key", "x-goog-api-key"}:
        headers[provider.auth] = curl.MASK
    text = curl.command(base + path, headers, body.decode("utf-8", "replace"), "PROVIDER_API_KEY")
    return {"id": "upstream", "title": _("Upstream request"), "text": text}


def _upstream_path(row: RequestLog, dialect: Dialect, provider: Provider | None) -> str:
    """The upstream's path; the provider's own paths take precedence."""
    verb = translation.verb_of(row)
    paths = provider.paths if provider else {}
    streamed = "stream" if row.stream and verb == "generate" else verb
    template = paths.get(streamed) or paths.get(verb)
    if template is not None:
        return model_names.expand_path_template(template, row.model)
    if verb == "embed" and dialect.embed_provider is not None:
        return dialect.embed_provider.embed_path(row.model)
    return dialect.provider.path(row.model, stream=row.stream, verb=verb)


# Additional context of each tab

TabContext = Callable[[HttpRequest, RequestLog, Bodies | None], dict[str, Any]]


def _conversation_context(
    request: HttpRequest, row: RequestLog, bodies: Bodies | None
) -> dict[str, Any]:
    return conversation_context(row, bodies)


def _overview_context(
    request: HttpRequest, row: RequestLog, bodies: Bodies | None
) -> dict[str, Any]:
    names = translation.api_names(row)
    adaptation_rows = [
        {
            **item,
            "sentence": adaptation_sentence(item, names),
            "advice": adaptation_advice(item, names),
        }
        for item in row.adaptations
        if isinstance(item, dict)
    ]
    summary = labels.response_cache_summary(row) if row.cache else ""
    guardrails = labels.guardrail_lines(row)
    return {"adapted": adaptation_rows, "cache_summary": summary, "guardrails": guardrails}


def _translation_context(
    request: HttpRequest, row: RequestLog, bodies: Bodies | None
) -> dict[str, Any]:
    side = "response" if request.GET.get("side") == "response" else "request"
    if bodies is None:
        return {"side": side}
    sides = translation.response_sides if side == "response" else translation.request_sides
    losses_only = request.GET.get("losses") == "1"
    return {"side": side, "sides": sides(row, bodies, losses_only=losses_only)}


def _response_context(
    request: HttpRequest, row: RequestLog, bodies: Bodies | None
) -> dict[str, Any]:
    if bodies is None:
        return {}
    client = bodies.upstream_response if bodies.same_response else bodies.client_response
    return {
        "response_parts": streams.response_parts(row, bodies),
        "raw": _pretty_json(client),
        "raw_size": labels.size_label(client),
    }


def _pretty_json(data: bytes | None) -> str:
    if not data:
        return ""
    with contextlib.suppress(msgspec.MsgspecError, RecursionError):
        data = msgspec.json.format(data, indent=2)
    text = data[:_MAX_DISPLAYED_BYTES].decode("utf-8", "replace")
    return text if len(data) <= _MAX_DISPLAYED_BYTES else f"{text}…"


def _stream_context(request: HttpRequest, row: RequestLog, bodies: Bodies | None) -> dict[str, Any]:
    return {} if bodies is None else {"stream": streams.stream_view(row, bodies)}


def _headers_context(
    request: HttpRequest, row: RequestLog, bodies: Bodies | None
) -> dict[str, Any]:
    if bodies is None:
        return {}
    groups = (
        (_("Client request"), bodies.client_headers),
        (_("Upstream request"), bodies.upstream_headers),
        (_("Client response"), bodies.response_headers),
    )
    return {"header_groups": [(title, sorted(headers.items())) for title, headers in groups]}


def _session_context(
    request: HttpRequest, row: RequestLog, bodies: Bodies | None
) -> dict[str, Any]:
    if not row.session:
        return {}
    session = sessions.session(row.session)
    rows = [step.row for step in session.steps]
    context = {
        "session": session,
        "waterfall": session_waterfall(row.session, rows, traces_of_requests(rows)),
        "selected_pk": row.pk,
        "links": ALL,
    }
    if not may_read_bodies(request.user):
        return context
    # Analysis and conversation reveal bodies, so they need the permission to read them.
    cache_breaks = cache_break_report(session)
    return {
        **context,
        "cache_breaks": cache_breaks,
        "session_conversation": session_conversation.session_conversation(session, cache_breaks),
    }


_TAB_CONTEXTS: dict[str, TabContext] = {
    "conversation": _conversation_context,
    "overview": _overview_context,
    "translation": _translation_context,
    "response": _response_context,
    "stream": _stream_context,
    "headers": _headers_context,
    "session": _session_context,
    "scores": lambda request, row, bodies: {},
}
