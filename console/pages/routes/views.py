"""The pages about routes."""

from __future__ import annotations

from typing import NamedTuple

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from console.access import admin, viewer
from console.pages.routes import editor, present, words, yamltext
from console.pages.routes.figures import traffic
from gateway import models
from gateway.routing.document import Document, from_json
from gateway.store import load_snapshot, purge_answers
from gateway.store.routes import Conflict, current, restored, save_route


@viewer
@require_safe
def routes(request: HttpRequest) -> HttpResponse:
    """All routes with what they do and how much they carry."""
    rows = models.Route.objects.order_by("name")
    listed = present.entries(rows, load_snapshot(), traffic())
    return render(request, "console/routes.html", {"page": "routes", "entries": listed})


@require_http_methods(["GET", "HEAD", "POST"])
def route(request: HttpRequest, name: str) -> HttpResponse:
    """One route in the editor."""
    view = _sent if request.method == "POST" else _opened
    answer: HttpResponse = view(request, name)
    return answer


@viewer
def _opened(request: HttpRequest, name: str) -> HttpResponse:
    return editor.shown(request, editor.opened(_row(name)))


@admin
def _sent(request: HttpRequest, name: str) -> HttpResponse:
    return _answered(request, editor.sent(request, _row(name)))


@admin
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """The editor with nothing in it."""
    if request.method == "POST":
        return _answered(request, editor.sent(request, None))
    return editor.shown(request, editor.opened(None))


def _answered(request: HttpRequest, bench: editor.Bench) -> HttpResponse:
    do, _colon, number = request.POST.get("do", "").partition(":")
    if do == "save":
        return editor.save(request, bench, bench.number)
    if do == editor.OVER and number.isdigit():
        # The other side has been seen: from here on the draft is one of that version.
        return editor.save(request, bench, int(number))
    return editor.shown(request, bench)


@admin
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, name: str) -> HttpResponse:
    """Ask once more, then delete."""
    row = _row(name)
    if request.method == "POST":
        row.delete()
        messages.success(request, _("%s deleted") % name)
        return editor.go(request, reverse("routes"))
    leaning = [r.name for r in models.Route.objects.order_by("name") if name in r.fallbacks]
    document = current(row).document
    found = {"page": "routes", "name": name, "leaning": leaning, "aliases": document.aliases}
    return render(request, "console/route_delete.html", found)


@admin
@require_http_methods(["GET", "HEAD", "POST"])
def kept(request: HttpRequest, name: str) -> HttpResponse:
    """How many answers the route has kept; a POST throws them away."""
    row = _row(name)
    if request.method == "POST":
        purge_answers(name)
        messages.success(request, _("The kept answers of %s were thrown away") % name)
        return editor.go(request, reverse("route", args=[name]))
    answers, size = models.CachedAnswer.objects.by_route().get(row.pk, (0, 0))
    found = {"page": "routes", "name": name, "answers": answers, "bytes": size}
    return render(request, "console/route_cache.html", found)


class Version(NamedTuple):
    """A version in the list; `changes` are those that made it."""

    number: int
    row: models.RouteVersion | None
    changes: list[str]
    latest: bool


@viewer
@require_safe
def versions(request: HttpRequest, name: str) -> HttpResponse:
    """What the route was, save by save, and what changed from one to the next."""
    row = _row(name)
    now = current(row)
    kept = list(models.RouteVersion.objects.of(row)[:200])
    found = [_version(kept, place, now.number) for place in range(len(kept))]
    if not kept or kept[0].number != now.number:
        before = from_json(kept[0].document) if kept else None
        done = words.changes(before, now.document) if before else []
        found.insert(0, Version(now.number, None, done, latest=True))
    shown = request.GET.get("show", "")
    document = restored(row, int(shown)) if shown.isdigit() and len(shown) < 9 else None
    lines = yamltext.difference(document, now.document) if document else []
    values = {"page": "routes", "name": name, "versions": found, "lines": lines, "shown": shown}
    return render(request, "console/route_versions.html", {**values, "now": now.number})


def _version(kept: list[models.RouteVersion], place: int, newest: int) -> Version:
    version = kept[place]
    before = kept[place + 1] if place + 1 < len(kept) else None
    done = words.changes(_read(before), _read(version)) if before is not None else []
    return Version(version.number, version, done, latest=version.number == newest)


def _read(version: models.RouteVersion) -> Document:
    return from_json(version.document)


@admin
@require_POST
def restore(request: HttpRequest, name: str) -> HttpResponse:
    """Make an earlier version the present one, as a new version."""
    row = _row(name)
    number, had = request.POST.get("number", ""), request.POST.get("version", "")
    if not (number.isdigit() and had.isdigit()):
        raise Http404
    document = restored(row, int(number))
    if document is None:
        raise Http404
    who, note = request.user.get_username(), _("back to version %s") % number
    try:
        saved = save_route(document, route=row, number=int(had), who=who, note=note)
    except Conflict:
        messages.error(request, _("The route was changed meanwhile; look at it again."))
        return editor.go(request, reverse("route-versions", args=[name]))
    except ValueError as error:
        messages.error(request, _("Version %(n)s can not come back: %(why)s") % {
            "n": number, "why": error
        })  # fmt: skip
        return editor.go(request, reverse("route-versions", args=[name]))
    messages.success(request, _("%(name)s is version %(n)s again") % {"name": name, "n": number})
    return editor.go(request, reverse("route", args=[saved.route.name]))


@viewer
@require_safe
def as_yaml(request: HttpRequest, name: str) -> HttpResponse:
    """The route as YAML, to read."""
    said = yamltext.text(current(_row(name)).document)
    return render(
        request, "console/route_yaml.html", {"page": "routes", "name": name, "text": said}
    )


def _row(name: str) -> models.Route:
    return get_object_or_404(models.Route, name=name)
