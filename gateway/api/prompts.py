"""Versions of stored prompts: the history of saves, and activating one."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema

from gateway.api.auth import Editor, Reader
from gateway.api.failures import failure
from gateway.api.idempotency import run_once
from gateway.api.pages import MAX_PAGE
from gateway.api.resources import not_found_response, reply, row_item, row_response, run_guarded
from gateway.models import Prompt, PromptVersion
from gateway.store.documents import KINDS, OwnedElsewhere
from gateway.store.prompts import activate_version

router = Router(tags=["prompt versions"], auth=Editor())
_PROMPTS = KINDS["prompts"]
_MAX_NUMBER = 2**31 - 1


class PromptVersionOut(Schema):
    """A saved version of a prompt; `saved_by` is empty if it was not saved by a user."""

    number: int
    saved_at: dt.datetime
    saved_by: str
    messages: list[dict[str, Any]]
    parameters: dict[str, Any]
    model: str


class PromptVersionPage(Schema):
    """Versions, newest first; `active` is the number of the active one."""

    active: int
    items: list[PromptVersionOut]
    next: int | None


@router.get("/prompts/{path:name}/versions", auth=Reader(), response=PromptVersionPage)
def list_prompt_versions(
    request: HttpRequest, name: str, cursor: int | None = None, limit: int = 50
) -> Any:
    """Saved versions of a prompt; `cursor` is the `next` of the previous page."""
    row: Prompt | None = _PROMPTS.find(name)
    if row is None:
        return not_found_response(_PROMPTS, name)
    size = min(max(limit, 1), MAX_PAGE)
    versions = PromptVersion.objects.of_prompt(row)
    if cursor is not None:
        versions = versions.filter(number__lt=min(max(cursor, 0), _MAX_NUMBER))
    rows = list(versions[: size + 1])
    after = rows[size - 1].number if len(rows) > size else None
    return {"active": row.active_version, "items": rows[:size], "next": after}


@router.post(
    "/prompts/{path:name}/versions/{int:number}/activate",
    operation_id="activate_prompt_version",
    openapi_extra=row_response(_PROMPTS),
)
def activate_prompt_version(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Make a version the active one."""
    return run_once(request, lambda: run_guarded(lambda: _activate_version(name, number)))


def _activate_version(name: str, number: int) -> HttpResponse:
    row: Prompt | None = _PROMPTS.find(name)
    if row is None:
        return not_found_response(_PROMPTS, name)
    if row.read_only:
        raise OwnedElsewhere(
            "", f"{row} is managed by {row.managed_by}; change it there, or adopt it"
        )
    if not activate_version(row, min(number, _MAX_NUMBER)):
        return failure(404, f"there is no version {number} of a prompt `{name[:200]}`")
    return reply(200, row_item(_PROMPTS, row))
