"""Ownership: what a file or the environment owns becomes what the console and the API change."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema

from gateway.api.idempotency import once
from gateway.api.resources import gives_one, guarded, missing, reply, told
from gateway.models import Provider, RegistryRow, Source
from gateway.store.documents import KINDS, Kind

router = Router(tags=["ownership"])


def own(row: Any) -> bool:
    """Make a row the database's, with what stands below it; False if it was already.

    A start with the same file leaves it alone from then on.
    """
    if not row.fixed:
        return False
    if isinstance(row, Provider):
        row.models.from_source(row.source).update(source=Source.DATABASE, source_ref="")
    for below in ("steps", "targets", "aliases"):
        for part in getattr(row, below).all() if hasattr(row, below) else ():
            _free(part)
    _free(row)
    return True


def _free(row: RegistryRow) -> None:
    """One row by its own save, so that the audit log tells of it."""
    if row.fixed:
        row.source, row.source_ref = Source.DATABASE, ""
        row.save()


def _add(kind: Kind) -> None:
    @router.post(
        f"/{kind.name}/{{path:name}}/adopt",
        operation_id=f"adopt_{kind.one.replace('API ', '')}",
        openapi_extra=gives_one(kind),
    )
    def adopt(request: HttpRequest, name: str) -> HttpResponse:
        """Make it one that may be changed here, if a file or the environment owns it."""
        return once(request, lambda: guarded(lambda: _adopted(kind, name)))


def _adopted(kind: Kind, name: str) -> HttpResponse:
    row = kind.find(name)
    if row is None:
        return missing(kind, name)
    own(row)
    return reply(200, told(kind, row))


class SwitchIn(Schema):
    """Whether it is to be used."""

    enabled: bool


def _add_switch(kind: Kind) -> None:
    @router.post(
        f"/{kind.name}/{{path:name}}/switch",
        operation_id=f"switch_{kind.one}",
        openapi_extra=gives_one(kind),
    )
    def switch(request: HttpRequest, name: str, payload: SwitchIn) -> HttpResponse:
        """Switch it on or off, whoever owns it: that is a stop, and no change of what it is."""
        return guarded(lambda: _switched(kind, name, on=payload.enabled))


def _switched(kind: Kind, name: str, *, on: bool) -> HttpResponse:
    row = kind.find(name)
    if row is None:
        return missing(kind, name)
    row.enabled = on
    row.save()
    return reply(200, told(kind, row))


for _kind in KINDS.values():
    _add(_kind)
for _name in ("providers", "models"):
    _add_switch(KINDS[_name])
