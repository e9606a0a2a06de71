"""Playground presets and runs over the API: a user's own, and for admins all runs."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema

from console.models import PlaygroundPreset, PlaygroundRun
from gateway.api.auth import Reader
from gateway.api.failures import failure
from gateway.api.idempotency import run_once
from gateway.api.pages import MAX_ID, page_of_rows
from gateway.api.resources import reply, run_guarded
from gateway.store.documents import Refused

router = Router(tags=["playground"])


class PresetIn(Schema):
    """Playground settings under a name; each save creates a version."""

    name: str
    document: dict[str, Any]


class PresetOut(Schema):
    """A version of a preset."""

    id: int
    name: str
    version: int
    owner: str
    created_at: dt.datetime


class PresetDocument(PresetOut):
    """A version of a preset with its settings."""

    document: dict[str, Any]


class PresetPage(Schema):
    """Newest versions, newest first, and the cursor of the next page; null at the end."""

    items: list[PresetOut]
    next: int | None


class RunOut(Schema):
    """A playground run without its messages; `summary` has the metrics of the columns."""

    uuid: uuid.UUID
    title: str
    owner: str
    created_at: dt.datetime
    ended_at: dt.datetime | None
    cost_usd: Decimal | None
    summary: dict[str, Any]


class RunDocument(RunOut):
    """A run with its request."""

    document: dict[str, Any]


class RunPage(Schema):
    """Runs, newest first, and the cursor of the next page; null at the end."""

    items: list[RunOut]
    next: int | None


@router.get("/playground/presets", auth=Reader(), response=PresetPage)
def list_presets(request: HttpRequest, cursor: int | None = None, limit: int = 50) -> Any:
    """A page of the newest versions of your presets; of all users' with the master key."""
    presets = _visible_presets(request).newest().select_related("owner").order_by("-pk")
    if cursor is not None:
        presets = presets.filter(pk__lt=min(max(cursor, 0), MAX_ID))
    return _paginate(presets, limit, _preset_out)


@router.post("/playground/presets", auth=Reader(), response={201: PresetDocument})
def create_preset(request: HttpRequest, payload: PresetIn) -> HttpResponse:
    """Save the next version of one of your presets."""
    return run_once(request, lambda: run_guarded(lambda: _save_preset(request, payload)))


@router.get("/playground/presets/{int:number}", auth=Reader(), response=PresetDocument)
def get_preset(request: HttpRequest, number: int) -> Any:
    """One version of a preset."""
    row = _visible_presets(request).with_id(min(number, MAX_ID)).select_related("owner").first()
    return _no_preset(number) if row is None else {**_preset_out(row), "document": row.document}


@router.delete("/playground/presets/{int:number}", auth=Reader(), response={204: None})
def delete_preset(request: HttpRequest, number: int) -> HttpResponse:
    """Remove a preset with all versions of its name."""
    row = _visible_presets(request).with_id(min(number, MAX_ID)).first()
    if row is None:
        return _no_preset(number)
    PlaygroundPreset.objects.filter(owner_id=row.owner_id).by_name(row.name).delete()
    return HttpResponse(status=204)


@router.get("/playground/runs", auth=Reader(), response=RunPage)
def list_runs(request: HttpRequest, cursor: int | None = None, limit: int = 50) -> Any:
    """A page of your runs; admins and the master key see those of all users."""
    before = None if cursor is None else min(max(cursor, 0), MAX_ID)
    return _paginate(
        _visible_runs(request).before(before).listed().select_related("owner"), limit, _run_out
    )


@router.get("/playground/runs/{uuid:run}", auth=Reader(), response=RunDocument)
def get_run(request: HttpRequest, run: uuid.UUID) -> Any:
    """One run, with its request."""
    row = _visible_runs(request).filter(uuid=run).select_related("owner").first()
    if row is None:
        return failure(404, f"there is no run {run}")
    return {**_run_out(row), "document": row.document}


def _save_preset(request: HttpRequest, preset_in: PresetIn) -> HttpResponse:
    user = _requesting_user(request)
    if user is None:
        raise Refused("", "a preset belongs to a user: sign in to the console to save one")
    name = preset_in.name.strip()
    if not 0 < len(name) <= 100:
        raise Refused("name", "must have 1 to 100 characters")
    row = PlaygroundPreset.objects.save_version(user, name, preset_in.document)
    return reply(201, {**_preset_out(row), "document": row.document})


def _requesting_user(request: HttpRequest) -> Any:
    """The authenticated user; None for the master key."""
    auth = request.auth  # type: ignore[attr-defined]
    return None if isinstance(auth, str) else auth


def _visible_presets(request: HttpRequest) -> Any:
    user = _requesting_user(request)
    presets = PlaygroundPreset.objects
    return presets.all() if user is None else presets.owned_by(user)


def _visible_runs(request: HttpRequest) -> Any:
    user = _requesting_user(request)
    runs = PlaygroundRun.objects
    return runs.all() if user is None else runs.visible_to(user)


def _paginate(queryset: Any, limit: int, render: Any) -> dict[str, Any]:
    rows, next_cursor = page_of_rows(lambda count: queryset[:count], limit)
    return {"items": [render(row) for row in rows], "next": next_cursor}


def _no_preset(number: int) -> HttpResponse:
    return failure(404, f"there is no preset {number}")


def _preset_out(row: PlaygroundPreset) -> dict[str, Any]:
    return {
        "id": row.pk,
        "name": row.name,
        "version": row.version,
        "owner": row.owner.get_username(),
        "created_at": row.created_at,
    }


def _run_out(row: PlaygroundRun) -> dict[str, Any]:
    return {
        "uuid": row.uuid,
        "title": row.title,
        "owner": row.owner.get_username(),
        "created_at": row.created_at,
        "ended_at": row.ended_at,
        "cost_usd": row.cost_usd,
        "summary": row.summary,
    }
