"""The route pages: list, editor, versions."""

from __future__ import annotations

from typing import NamedTuple

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from console import access
from console.access import viewer
from console.htmx import redirect_to, render_page_or_part
from console.insight.targets import circuit_states
from console.list_search import filter_by_name
from console.numbers import number_in
from console.pages.requests.query import with_term
from console.pages.routes import clients, editor, labels, presentation, yaml_text
from console.pages.routes.metrics import traffic
from gateway import models
from gateway.api.runtime import runtime_of
from gateway.routing.route_spec import RouteSpec, from_json
from gateway.store import clear_cache, current_snapshot
from gateway.store.ownership import adopt_row
from gateway.store.routes import Conflict, current_state, restore_spec, save_route


@viewer
@require_safe
def routes(request: HttpRequest) -> HttpResponse:
    """The routes that match the search in the URL, with their targets and traffic."""
    text = request.GET.get("q", "").strip()[:100]
    pages = presentation.pages_of_routes(
        filter_by_name(models.Route.objects.all(), text), traffic()
    ).get_page(request.GET.get("page"))
    context = {
        "page": "routes",
        "entries": presentation.entries(
            pages, current_snapshot(), traffic(), circuit_states(runtime_of(request))
        ),
        "text": text,
        "pages": pages,
        "count": pages.paginator.count,
    }
    return render_page_or_part(
        request, "console/routes/page.html", "console/routes/_rows.html", context
    )


@require_safe
@viewer
def choices(request: HttpRequest, kind: str) -> HttpResponse:
    """Options for a field with suggestions, which match what is typed in it.

    `models` are `provider/model`, `names` what a request can name: routes and models.
    """
    text = str(next(iter(request.GET.values()), ""))[:200]
    if kind == "models":
        options = [(label, "") for label in presentation.find_models(current_snapshot(), text)]
    elif kind == "names":
        options = [(name, "") for name in presentation.find_names(current_snapshot(), text)]
    elif kind == "keys":
        keys = presentation.find_keys(current_snapshot(), text)
        options = [(key.prefix, key.name) for key in keys]
    else:
        raise Http404
    return render(request, "console/routes/_choices.html", {"options": options})


@require_http_methods(["GET", "HEAD", "POST"])
@viewer
def route(request: HttpRequest, name: str) -> HttpResponse:
    """One route in the editor."""
    view = _submit_editor if request.method == "POST" else _show_editor
    response: HttpResponse = view(request, name)
    return response


@viewer
def _show_editor(request: HttpRequest, name: str) -> HttpResponse:
    return editor.render_editor(request, editor.open_editor(_find_route(name)))


@access.editor
def _submit_editor(request: HttpRequest, name: str) -> HttpResponse:
    row = _find_route(name)
    if row.read_only:
        return _read_only(request, row)
    return _render_editor(request, editor.submit(request, row))


def _read_only(request: HttpRequest, row: models.Route) -> HttpResponse:
    """Render a route of a file or the environment: dry runs are allowed, changes are not."""
    state = editor.open_editor(row)
    if request.POST.get("do") == "dry-run":
        editor.simulate(request, state)
    else:
        state.status = 409
    return editor.render_editor(request, state)


@access.editor
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """A new route: an empty editor, or a copy of the route named by `from`."""
    if request.method == "POST":
        return _render_editor(request, editor.submit(request, None))
    original = request.GET.get("from", "")
    state = editor.copy_route(_find_route(original)) if original else editor.open_editor(None)
    return editor.render_editor(request, state)


@access.editor
@require_POST
def adopt(request: HttpRequest, name: str) -> HttpResponse:
    """Move a route from a file or the environment to the database, so that it can be edited."""
    row = _find_route(name)
    with transaction.atomic():
        adopted_route = adopt_row(row)
    if adopted_route:
        messages.success(request, _("%s was copied to the database and can be edited.") % name)
    return redirect_to(request, reverse("route", args=[name]))


def _render_editor(request: HttpRequest, state: editor.EditorState) -> HttpResponse:
    action, _colon, number = request.POST.get("do", "").partition(":")
    if action == "save":
        return editor.save(request, state, state.number)
    base = number_in(number, 9)
    if action == editor.SAVE_OVER and base is not None:
        # The user has seen the conflicting version, which becomes the base of the draft.
        return editor.save(request, state, base)
    return editor.render_editor(request, state)


@access.editor
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, name: str) -> HttpResponse:
    """Delete a route, after a page that asks for confirmation."""
    row = _find_route(name)
    if row.read_only:
        return _read_only(request, row)
    if request.method == "POST":
        row.delete()
        messages.success(request, _("%s deleted") % name)
        return redirect_to(request, reverse("routes"))
    dependents = [r.name for r in models.Route.objects.order_by("name") if name in r.fallbacks]
    spec = current_state(row).spec
    context = {
        "page": "routes",
        "name": name,
        "dependents": dependents,
        "aliases": spec.aliases,
    }
    return render(request, "console/routes/delete.html", context)


@access.editor
@require_http_methods(["GET", "HEAD", "POST"])
def cached_responses(request: HttpRequest, name: str) -> HttpResponse:
    """Size of the route's response cache; a POST clears it."""
    row = _find_route(name)
    if request.method == "POST":
        clear_cache(name)
        messages.success(request, _("The response cache of %s was cleared") % name)
        return redirect_to(request, reverse("route", args=[name]))
    count, size = models.CachedResponse.objects.by_route().get(row.pk, (0, 0))
    context = {"page": "routes", "name": name, "count": count, "bytes": size}
    return render(request, "console/routes/cache.html", context)


class Version(NamedTuple):
    """A version in the list; `changes` lists the differences from the one before."""

    number: int
    row: models.RouteVersion | None
    changes: list[str]
    latest: bool


@viewer
@require_safe
def versions(request: HttpRequest, name: str) -> HttpResponse:
    """The versions of a route and their changes."""
    row = _find_route(name)
    current_version = current_state(row)
    stored_versions = list(models.RouteVersion.objects.of_route(row)[:200])
    version_entries = [
        _version_entry(stored_versions, index, current_version.number)
        for index in range(len(stored_versions))
    ]
    if not stored_versions or stored_versions[0].number != current_version.number:
        newest_spec = from_json(stored_versions[0].spec) if stored_versions else None
        changes = labels.changes(newest_spec, current_version.spec) if newest_spec else []
        version_entries.insert(0, Version(current_version.number, None, changes, latest=True))
    shown_version = number_in(request.GET.get("show", ""), 9)
    spec = restore_spec(row, shown_version) if shown_version is not None else None
    lines = yaml_text.difference(spec, current_version.spec) if spec else []
    context: dict[str, object] = {
        "page": "routes",
        "name": name,
        "versions": version_entries,
        "lines": lines,
        "selected": shown_version,
    }
    context |= {"now": current_version.number, "read_only": row.read_only}
    return render(request, "console/routes/versions.html", context)


def _version_entry(stored_versions: list[models.RouteVersion], index: int, newest: int) -> Version:
    version = stored_versions[index]
    previous_version = stored_versions[index + 1] if index + 1 < len(stored_versions) else None
    changes = (
        labels.changes(_spec_of(previous_version), _spec_of(version))
        if previous_version is not None
        else []
    )
    return Version(version.number, version, changes, latest=version.number == newest)


def _spec_of(version: models.RouteVersion) -> RouteSpec:
    return from_json(version.spec)


@access.editor
@require_POST
def restore(request: HttpRequest, name: str) -> HttpResponse:
    """Restore an earlier version as a new version."""
    row = _find_route(name)
    if row.read_only:
        return _read_only(request, row)
    number = number_in(request.POST.get("number", ""), 9)
    expected = number_in(request.POST.get("version", ""), 9)
    if number is None or expected is None:
        raise Http404
    spec = restore_spec(row, number)
    if spec is None:
        raise Http404
    author, note = request.user.get_username(), _("restored version %s") % number
    try:
        saved = save_route(spec, route=row, number=expected, author=author, note=note)
    except Conflict:
        messages.error(
            request, _("The route has been changed in the meantime. Review it and try again.")
        )
        return redirect_to(request, reverse("route-versions", args=[name]))
    except ValueError as error:
        messages.error(request, _("Version %(n)s cannot be restored: %(reason)s") % {
            "n": number, "reason": error
        })  # fmt: skip
        return redirect_to(request, reverse("route-versions", args=[name]))
    messages.success(request, _("%(name)s restored to version %(n)s") % {"name": name, "n": number})
    return redirect_to(request, reverse("route", args=[saved.route.name]))


@viewer
@require_safe
def as_yaml(request: HttpRequest, name: str) -> HttpResponse:
    """The route as YAML, read-only."""
    yaml_document = yaml_text.text(current_state(_find_route(name)).spec)
    return render(
        request, "console/routes/yaml.html", {"page": "routes", "name": name, "text": yaml_document}
    )


@viewer
@require_safe
def route_clients(request: HttpRequest, name: str) -> HttpResponse:
    """The names under which clients request the route, with these clients and their keys."""
    row = _find_route(name)
    uses, counted_requests = clients.name_uses(name, current_state(row).spec.aliases)
    context = {"page": "routes", "name": name, "uses": uses, "counted": counted_requests}
    context |= {"days": clients.WINDOW_DAYS, "most": clients.MAX_REQUESTS}
    context["query"] = with_term("", "route", name)
    return render(request, "console/routes/clients.html", context)


def _find_route(name: str) -> models.Route:
    return get_object_or_404(models.Route, name=name)
