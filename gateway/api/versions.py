"""Versions of routes: the history of saves, differences, and restoring one."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema

from gateway.api.auth import Editor, Reader
from gateway.api.failures import failure
from gateway.api.idempotency import run_once
from gateway.api.pages import MAX_PAGE
from gateway.api.request_schema import RequestSchema
from gateway.api.resources import (
    body_of,
    not_found_response,
    reply,
    row_item,
    row_response,
    run_guarded,
)
from gateway.audit import actor
from gateway.models import Route, RouteVersion
from gateway.routing.route_spec import as_json
from gateway.store.documents import KINDS, OwnedElsewhere, Refused
from gateway.store.routes import Conflict, current_state, restore_spec, save_route

router = Router(tags=["route versions"], auth=Editor())
_ROUTES = KINDS["routes"]


class VersionOut(Schema):
    """A saved version of a route; `saved_by` is empty if it was not saved by a user."""

    number: int
    saved_at: dt.datetime
    saved_by: str
    note: str


class VersionPage(Schema):
    """Versions, newest first; `current` is the number of the route's current version.

    If the route was changed since other than by a save, `current` is one more than
    the newest version, which is written with the next save.
    """

    current: int
    items: list[VersionOut]
    next: int | None


class VersionDetail(VersionOut):
    """A version with the route at that time."""

    route: dict[str, Any]


class DifferenceOut(Schema):
    """A field of the document, such as `steps[0].strategy`, before and after.

    `before` or `after` is null if the field does not exist there.
    """

    path: str
    before: Any
    after: Any


class DifferencesOut(Schema):
    """Differences between two versions of a route."""

    before: int
    after: int
    changes: list[DifferenceOut]


class RestoreIn(RequestSchema):
    """`version`, if set, must be the current version; otherwise the status is 409."""

    version: int | None = None


@router.get("/routes/{path:name}/versions", auth=Reader(), response=VersionPage)
def list_route_versions(
    request: HttpRequest, name: str, cursor: int | None = None, limit: int = 50
) -> Any:
    """Saved versions of a route; `cursor` is the `next` of the previous page."""
    row = _ROUTES.find(name)
    if row is None:
        return not_found_response(_ROUTES, name)
    size = min(max(limit, 1), MAX_PAGE)
    versions = RouteVersion.objects.of_route(row)
    if cursor is not None:
        versions = versions.filter(number__lt=_clamp_number(cursor))
    rows = list(versions[: size + 1])
    after = rows[size - 1].number if len(rows) > size else None
    return {"current": current_state(row).number, "items": rows[:size], "next": after}


@router.get("/routes/{path:name}/versions/{int:number}", auth=Reader(), response=VersionDetail)
def get_route_version(request: HttpRequest, name: str, number: int) -> Any:
    """One version, with the route at that time."""
    row = _ROUTES.find(name)
    version = (
        RouteVersion.objects.version_with_number(row, _clamp_number(number))
        if row is not None
        else None
    )
    if version is None:
        return _no_version(name, number)
    fields = {field: getattr(version, field) for field in VersionOut.model_fields}
    return {**fields, "route": version.spec}


@router.get(
    "/routes/{path:name}/versions/{int:number}/diff", auth=Reader(), response=DifferencesOut
)
def diff_route_versions(request: HttpRequest, name: str, number: int, to: int | None = None) -> Any:
    """Differences between this version and another (`to`, default: the current route)."""
    row = _ROUTES.find(name)
    if row is None:
        return not_found_response(_ROUTES, name)
    now = current_state(row)
    sides = []
    for version_number in (number, now.number if to is None else to):
        spec = (
            now.spec
            if version_number == now.number
            else restore_spec(row, _clamp_number(version_number))
        )
        if spec is None:
            return _no_version(name, version_number)
        sides.append((version_number, as_json(spec)))
    (before, old), (after, new) = sides
    changes = [
        {"path": path, "before": old_value, "after": new_value}
        for path, old_value, new_value in differences(old, new)
    ]
    return {"before": before, "after": after, "changes": changes}


@router.post(
    "/routes/{path:name}/versions/{int:number}/restore",
    operation_id="restore_route_version",
    openapi_extra=row_response(_ROUTES)
    | {
        "requestBody": {
            "required": False,
            "content": {"application/json": {"schema": RestoreIn.model_json_schema()}},
        }
    },
)
def restore_route_version(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Restore an earlier version, as a new version."""
    return run_once(request, lambda: run_guarded(lambda: _restore_version(request, name, number)))


def _restore_version(request: HttpRequest, name: str, number: int) -> HttpResponse:
    row: Route | None = _ROUTES.find(name)
    if row is None:
        return not_found_response(_ROUTES, name)
    if row.read_only:
        raise OwnedElsewhere(
            "", f"{row} is managed by {row.managed_by}; change it there, or adopt it"
        )
    expected_version = body_of(request).get("version") if request.body else None
    if expected_version is not None and (
        isinstance(expected_version, bool) or not isinstance(expected_version, int)
    ):
        raise Refused("version", "must be a whole number")
    try:
        spec = restore_spec(row, _clamp_number(number))
        if spec is None:
            return _no_version(name, number)
        current_number = current_state(row).number
        version = save_route(
            spec,
            route=row,
            number=current_number if expected_version is None else expected_version,
            author=actor()[0],
            note=f"restored version {number}",
        )
    except Conflict as conflict:
        return failure(409, f"it is now at version {conflict.current.number}", "version")
    except ValueError as error:
        raise Refused("", f"version {number} cannot be restored: {error}") from None
    return reply(200, row_item(_ROUTES, Route.objects.get(pk=version.route_id)))


def _no_version(name: str, number: int) -> HttpResponse:
    return failure(404, f"there is no version {number} of a route `{name[:200]}`")


def _clamp_number(number: int) -> int:
    """The number, clamped to the range of the column."""
    return min(max(number, 0), 2**31 - 1)


def differences(old: Any, new: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    """The paths where two JSON values differ, compared recursively.

    Lists of different length differ as a whole, as their items cannot be matched reliably.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        changes = []
        for name in sorted(old.keys() | new.keys()):
            field_path = f"{path}.{name}" if path else name
            changes += differences(old.get(name), new.get(name), field_path)
        return changes
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            change
            for index, pair in enumerate(zip(old, new, strict=True))
            for change in differences(*pair, f"{path}[{index}]")
        ]
    return [] if old == new else [(path, old, new)]
