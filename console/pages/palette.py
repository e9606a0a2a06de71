"""`/console/find`: pages, routes, models, keys, requests and actions by name.

The palette (Ctrl+K) shows the part with the results; without JavaScript it is a page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlencode

import msgspec
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from console.access import viewer
from console.htmx import render_page_or_part
from console.models import Evaluation
from console.nav import NAV
from gateway.models import ApiKey, Model, Provider, RequestLog, Route, Team
from gateway.roles import Permission, has_permission

MAX_QUERY = 200
# Results of each group; the whole list is on the group's own page.
MAX_RESULTS = 6

Text = str | Promise


class Result(msgspec.Struct, frozen=True):
    """One result: where it leads, and what is shown of it."""

    label: Text
    url: str
    icon: str
    detail: Text = ""


class Group(msgspec.Struct, frozen=True):
    """Results under a heading."""

    title: Text
    results: list[Result]


class Action(msgspec.Struct, frozen=True):
    """Something to do, with the name of its URL and the permission that it needs."""

    label: Promise
    url_name: str
    icon: str
    permission: Permission = "view"


ACTIONS = (
    Action(_("Add a provider"), "provider-presets", "plug", "administer"),
    Action(_("Add a model"), "model-add", "boxes", "edit"),
    Action(_("Create a route"), "route-new", "waypoints", "edit"),
    Action(_("Create an API key"), "key-add", "key-round", "edit"),
    Action(_("Create a team"), "team-add", "coins", "edit"),
    Action(_("Create an evaluation"), "evaluation-new", "check-check"),
    Action(_("Add a user"), "user-add", "users", "administer"),
    Action(_("Import a LiteLLM file"), "import", "file-up", "administer"),
    Action(_("Connect a client"), "connect", "book-open"),
    Action(_("Change your password"), "password", "lock"),
)


@require_safe
@viewer
def palette(request: HttpRequest) -> HttpResponse:
    """Results for `q`: as a part for the palette, as a page without JavaScript."""
    query = " ".join(request.GET.get("q", "")[:MAX_QUERY].replace("\0", "").split())
    context = {"page": "", "query": query, "groups": list(find(query, request.user))}
    return render_page_or_part(
        request, "console/palette/page.html", "console/palette/_results.html", context
    )


def find(query: str, user: Any) -> Iterator[Group]:
    """Groups with results; pages and actions alone for an empty query."""
    groups = [
        Group(_("Requests"), list(_request_results(query))),
        Group(_("Pages"), _best_matches(query, _page_results(user), limit=50)),
        Group(_("Actions"), _best_matches(query, _action_results(user), limit=50)),
    ]
    if query:
        groups += [
            Group(_("Routes"), _best_matches(query, _route_results())),
            Group(_("Models"), _best_matches(query, _model_results())),
            Group(_("Providers"), _best_matches(query, _provider_results())),
            Group(_("API keys"), _best_matches(query, _key_results())),
            Group(
                _("Teams"),
                _best_matches(query, _team_results() if has_permission(user, "edit") else ()),
            ),
            Group(_("Evaluations"), _best_matches(query, _evaluation_results(user))),
            Group(_("Search"), [_search_log(query)]),
        ]
    return (group for group in groups if group.results)


def _best_matches(
    query: str, results: Iterable[Result], *, limit: int = MAX_RESULTS
) -> list[Result]:
    """Results whose label or detail has all words, those that begin with the query first."""
    words = query.lower().split()

    def rank(result: Result) -> int:
        label = str(result.label).lower()
        return 0 if label.startswith(query.lower()) else 1 if words[0] in label else 2

    matches = [
        result
        for result in results
        if all(word in f"{result.label} {result.detail}".lower() for word in words)
    ]
    return sorted(matches, key=rank)[:limit] if words else matches[:limit]


def _page_results(user: Any) -> Iterator[Result]:
    for group in NAV:
        for entry in group.entries:
            if has_permission(user, entry.permission):
                yield Result(entry.title, reverse(entry.page), entry.icon, group.title)


def _action_results(user: Any) -> Iterator[Result]:
    for action in ACTIONS:
        if has_permission(user, action.permission):
            yield Result(action.label, reverse(action.url_name), action.icon)


def _request_results(query: str) -> Iterator[Result]:
    """The request with this id, if the query is one."""
    is_id = query.isdecimal() or (" " not in query and len(query) >= 8)
    row = RequestLog.objects.by_id(query) if is_id else None
    if row is not None:
        detail = f"{row.requested_model} · {row.status} · {row.started_at:%Y-%m-%d %H:%M}"
        yield Result(row.request_id, reverse("request", args=[row.pk]), "scroll-text", detail)


def _route_results() -> Iterator[Result]:
    for name in Route.objects.values_list("name", flat=True):
        yield Result(name, reverse("route", args=[name]), "waypoints")


def _model_results() -> Iterator[Result]:
    rows = Model.objects.values_list("pk", "provider__name", "name")
    for pk, provider, name in rows:
        yield Result(name, reverse("model-edit", args=[pk]), "boxes", f"{provider}/{name}")


def _provider_results() -> Iterator[Result]:
    for pk, name in Provider.objects.values_list("pk", "name"):
        yield Result(name, reverse("provider-edit", args=[pk]), "plug")


def _key_results() -> Iterator[Result]:
    for pk, name, prefix in ApiKey.objects.live().values_list("pk", "name", "prefix"):
        yield Result(name, reverse("key-edit", args=[pk]), "key-round", f"{prefix}…")


def _team_results() -> Iterator[Result]:
    for pk, name in Team.objects.values_list("pk", "name"):
        yield Result(name, reverse("team-edit", args=[pk]), "coins")


def _evaluation_results(user: Any) -> Iterator[Result]:
    for pk, name in Evaluation.objects.visible_to(user).values_list("pk", "name"):
        yield Result(name, reverse("evaluation", args=[pk]), "check-check")


def _search_log(query: str) -> Result:
    url = f"{reverse('requests')}?{urlencode({'q': query, 'range': '7d'})}"
    return Result(_("Search requests for “%(query)s”") % {"query": query}, url, "search")
