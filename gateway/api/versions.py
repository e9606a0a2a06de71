"""Versions of routes: what each save made of a route, what differs, and the way back."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema

from gateway.api.auth import Reader
from gateway.api.failures import failure
from gateway.api.idempotency import once
from gateway.api.pages import MAX_PAGE
from gateway.api.resources import body_of, gives_one, guarded, missing, reply, told
from gateway.audit import actor
from gateway.models import Route, RouteVersion
from gateway.routing.document import as_json
from gateway.store.documents import KINDS, Owned, Refused, owned
from gateway.store.routes import Conflict, current, restored, save_route

router = Router(tags=["route versions"])
_ROUTES = KINDS["routes"]


class VersionOut(Schema):
    """One save of a route; `saved_by` is empty for what came about elsewhere."""

    number: int
    saved_at: dt.datetime
    saved_by: str
    note: str


class VersionPage(Schema):
    """Versions, newest first; `current` is the number that the route has now.

    Where something else than a save changed the route since, `current` is one more than
    the newest: that version is written with the next save.
    """

    current: int
    items: list[VersionOut]
    next: int | None


class VersionDocument(VersionOut):
    """A version with the route as it was then."""

    document: dict[str, Any]


class DifferenceOut(Schema):
    """A place in the document, such as `steps[0].strategy`, before and after.

    Before or after is null too where there is nothing at the place.
    """

    path: str
    before: Any
    after: Any


class DifferencesOut(Schema):
    """What makes one version of a route out of another."""

    before: int
    after: int
    changes: list[DifferenceOut]


class RestoreIn(Schema):
    """`version`, if given, is the one that is current as far as you know: else it is 409."""

    version: int | None = None


@router.get("/routes/{path:name}/versions", auth=Reader(), response=VersionPage)
def list_route_versions(
    request: HttpRequest, name: str, cursor: int | None = None, limit: int = 50
) -> Any:
    """What the route was, save by save; `cursor` is the `next` of the page before."""
    row = _ROUTES.find(name)
    if row is None:
        return missing(_ROUTES, name)
    size = min(max(limit, 1), MAX_PAGE)
    found = RouteVersion.objects.of(row)
    if cursor is not None:
        found = found.filter(number__lt=_within(cursor))
    kept = list(found[: size + 1])
    after = kept[size - 1].number if len(kept) > size else None
    return {"current": current(row).number, "items": kept[:size], "next": after}


@router.get("/routes/{path:name}/versions/{int:number}", auth=Reader(), response=VersionDocument)
def get_route_version(request: HttpRequest, name: str, number: int) -> Any:
    """One version, with the route as it was."""
    row = _ROUTES.find(name)
    found = RouteVersion.objects.numbered(row, _within(number)) if row is not None else None
    return _no_version(name, number) if found is None else found


@router.get(
    "/routes/{path:name}/versions/{int:number}/diff", auth=Reader(), response=DifferencesOut
)
def diff_route_versions(request: HttpRequest, name: str, number: int, to: int | None = None) -> Any:
    """What differs from this version to another (`to`), or to what the route says now."""
    row = _ROUTES.find(name)
    if row is None:
        return missing(_ROUTES, name)
    now = current(row)
    sides = []
    for wanted in (number, now.number if to is None else to):
        document = now.document if wanted == now.number else restored(row, _within(wanted))
        if document is None:
            return _no_version(name, wanted)
        sides.append((wanted, as_json(document)))
    (before, old), (after, new) = sides
    changes = [
        {"path": path, "before": was, "after": becomes}
        for path, was, becomes in differences(old, new)
    ]
    return {"before": before, "after": after, "changes": changes}


@router.post(
    "/routes/{path:name}/versions/{int:number}/restore",
    operation_id="restore_route_version",
    openapi_extra=gives_one(_ROUTES)
    | {
        "requestBody": {
            "required": False,
            "content": {"application/json": {"schema": RestoreIn.model_json_schema()}},
        }
    },
)
def restore_route_version(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Make an earlier version the present one, as a new version."""
    return once(request, lambda: guarded(lambda: _restored(request, name, number)))


def _restored(request: HttpRequest, name: str, number: int) -> HttpResponse:
    row: Route | None = _ROUTES.find(name)
    if row is None:
        return missing(_ROUTES, name)
    if place := owned(row):
        raise Owned("", f"{row} is owned by {place}: change it there, or adopt it")
    had = body_of(request).get("version") if request.body else None
    if had is not None and (isinstance(had, bool) or not isinstance(had, int)):
        raise Refused("version", "must be a whole number")
    try:
        document = restored(row, _within(number))
        if document is None:
            return _no_version(name, number)
        now = current(row).number
        saved = save_route(
            document,
            route=row,
            number=now if had is None else had,
            who=actor()[0],
            note=f"back to version {number}",
        )
    except Conflict as other:
        return failure(409, f"it is at version {other.current.number} by now", "version")
    except ValueError as error:
        raise Refused("", f"version {number} can not come back: {error}") from None
    return reply(200, told(_ROUTES, Route.objects.get(pk=saved.route_id)))


def _no_version(name: str, number: int) -> HttpResponse:
    return failure(404, f"there is no version {number} of a route `{name[:200]}`")


def _within(number: int) -> int:
    """A number that the column can be asked for."""
    return min(max(number, 0), 2**31 - 1)


def differences(old: Any, new: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    """The places where two JSON values differ, as deep as both have the same kind of value.

    Lists of different length differ as a whole: which of their items went is a guess.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for name in sorted(old.keys() | new.keys()):
            inner = f"{path}.{name}" if path else name
            found += differences(old.get(name), new.get(name), inner)
        return found
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            change
            for place, pair in enumerate(zip(old, new, strict=True))
            for change in differences(*pair, f"{path}[{place}]")
        ]
    return [] if old == new else [(path, old, new)]
