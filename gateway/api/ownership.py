"""Ownership: makes rows of a file or the environment editable in the console and the API."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from ninja import Router

from gateway.api.idempotency import run_once
from gateway.api.request_schema import RequestSchema
from gateway.api.resources import (
    change_auth,
    not_found_response,
    reply,
    row_item,
    row_response,
    run_guarded,
)
from gateway.store.documents import KINDS, Kind
from gateway.store.ownership import adopt_row

router = Router(tags=["ownership"])


def _add_adopt_operation(kind: Kind) -> None:
    @router.post(
        f"/{kind.name}/{{path:name}}/adopt",
        auth=change_auth(kind),
        operation_id=f"adopt_{kind.label.replace('API ', '')}",
        openapi_extra=row_response(kind),
    )
    def adopt(request: HttpRequest, name: str) -> HttpResponse:
        """Transfer a row managed by a file or the environment to the database."""
        return run_once(request, lambda: run_guarded(lambda: _adopt_row(kind, name)))


def _adopt_row(kind: Kind, name: str) -> HttpResponse:
    row = kind.find(name)
    if row is None:
        return not_found_response(kind, name)
    adopt_row(row)
    return reply(200, row_item(kind, row))


class SwitchIn(RequestSchema):
    """Whether the row is enabled."""

    enabled: bool


def _add_switch_operation(kind: Kind) -> None:
    @router.post(
        f"/{kind.name}/{{path:name}}/switch",
        auth=change_auth(kind),
        operation_id=f"switch_{kind.label}",
        openapi_extra=row_response(kind),
    )
    def switch(request: HttpRequest, name: str, payload: SwitchIn) -> HttpResponse:
        """Enable or disable a row, even one that is managed by a file or the environment."""
        return run_guarded(lambda: _set_enabled(kind, name, enabled=payload.enabled))


def _set_enabled(kind: Kind, name: str, *, enabled: bool) -> HttpResponse:
    row = kind.find(name)
    if row is None:
        return not_found_response(kind, name)
    row.enabled = enabled
    row.save()
    return reply(200, row_item(kind, row))


for _kind in KINDS.values():
    _add_adopt_operation(_kind)
for _name in ("providers", "models"):
    _add_switch_operation(KINDS[_name])
