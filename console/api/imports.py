"""A LiteLLM file over the API: a preview, then the import."""

from __future__ import annotations

from typing import Any

import msgspec
from django.http import HttpRequest, HttpResponse
from django.views.decorators.debug import sensitive_variables
from ninja import Router, Schema

from gateway.api.idempotency import run_once
from gateway.api.resources import reply, run_guarded
from gateway.compat.litellm import config as litellm_config
from gateway.compat.litellm.config.rows import Config
from gateway.compat.litellm.config.upload import import_config, preview, read_upload
from gateway.store.documents import Refused

router = Router(tags=["import"])


class ImportIn(Schema):
    """The text of a LiteLLM `config.yaml`, without `include`."""

    text: str


class ImportLine(Schema):
    """The outcome of one entry of the file, and its position there.

    `outcome` is `imported`, `changed` (imported with a difference) or `skipped`.
    """

    outcome: str
    entry: str
    location: str
    reason: str


class PreviewOut(Schema):
    """Everything an import would do. Nothing has been written."""

    items: list[ImportLine]


class ImportOut(Schema):
    """What was imported, and notes on differences from the file."""

    providers: list[str]
    models: int
    routes: list[str]
    aliases: list[str]
    notes: list[str]


@router.post("/imports/litellm/preview", response=PreviewOut)
def preview_import(request: HttpRequest, payload: ImportIn) -> HttpResponse:
    """Preview an import: it runs in a transaction that is rolled back."""

    def operation() -> HttpResponse:
        lines = preview(_parse_file(payload.text), payload.text)
        items: list[Any] = [msgspec.structs.asdict(line) for line in lines]
        return reply(200, {"items": items})

    return run_guarded(operation)


@router.post("/imports/litellm", response={201: ImportOut})
def import_litellm_file(request: HttpRequest, payload: ImportIn) -> HttpResponse:
    """Import providers, models, routes and aliases into the database."""
    return run_once(request, lambda: run_guarded(lambda: _import_text(payload.text)))


@sensitive_variables()
def _import_text(text: str) -> HttpResponse:
    config = _parse_file(text)
    remarks = import_config(config)
    created_rows = {
        "providers": list(config.providers),
        "models": len(config.models),
        "routes": list(config.routes),
        "aliases": list(config.aliases),
        "notes": [str(remark) for remark in [*config.remarks, *remarks]],
    }
    return reply(201, created_rows)


def _parse_file(text: str) -> Config:
    """The file as rows. Raises Refused naming line and field."""
    try:
        return read_upload(text)
    except litellm_config.ConfigError as mistake:
        raise Refused("text", str(mistake)) from None
