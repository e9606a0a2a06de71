"""Prefills the playground from a stored run, a preset, a link or a logged request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import yaml
from django.utils.translation import gettext as _

from console.dialects import CONSOLE_DIALECTS, with_path_fields
from console.models import PlaygroundPreset, PlaygroundRun
from console.numbers import number_in
from console.playground.client_request import build_request, displayed_settings
from console.playground.events import decompress_frames
from console.playground.logged_settings import (
    LoggedBody,
    encode_settings,
    logged_setting_names,
    settings_from_request,
)
from console.playground.messages import render_turns
from console.playground.plan import COLUMN_LETTERS, MAX_COLUMNS
from console.playground.plan_parser import parse
from console.playground.validation import Invalid, Json
from gateway.canon.errors import GatewayError
from gateway.canon.request import Request
from gateway.models import Prompt, RequestLog
from gateway.store.bodies import load_bodies
from gateway.store.prompts import active_version, version_value

PROMPT_CHARS = 100_000


MAX_SYSTEM_PROMPTS = 200


def run_document(run: PlaygroundRun) -> Json:
    """A stored run for the page: metadata, settings and summary."""
    return {
        "id": str(run.uuid),
        "title": run.title,
        "created_at": run.created_at.isoformat(),
        "ended_at": run.ended_at.isoformat() if run.ended_at else None,
        "owner": str(run.owner),
        "settings": run.document,
        "summary": run.summary,
    }


def run_frames(run: PlaygroundRun) -> list[bytes]:
    """Events of a finished run. Raises ValueError if they are damaged."""
    return decompress_frames(bytes(run.events))


def preset_document(preset: PlaygroundPreset, versions: list[PlaygroundPreset]) -> Json:
    """A preset for the page, with all versions of its name."""
    return {
        "id": preset.pk,
        "name": preset.name,
        "version": preset.version,
        "created_at": preset.created_at.isoformat(),
        "settings": preset.document,
        "versions": [
            {"id": v.pk, "version": v.version, "created_at": v.created_at.isoformat()}
            for v in versions
        ],
    }


def preset_text(preset: PlaygroundPreset) -> str:
    """The settings of a preset as lines to compare; images are left out."""
    settings = {
        name: value
        for name, value in preset.document.items()
        if value not in (None, "", [], {}) and name != "images"
    }
    text: str = yaml.safe_dump(settings, sort_keys=True, allow_unicode=True, width=100)
    return text


def system_prompts() -> list[Json]:
    """Names and texts of the system prompts of stored prompts, in their active versions."""
    prompts = []
    for row in Prompt.objects.order_by("name")[:MAX_SYSTEM_PROMPTS]:
        version = active_version(row)
        if version is None:
            continue
        texts = [each.content for each in version_value(version).messages if each.role == "system"]
        if texts:
            prompts.append({"name": row.name, "text": "\n\n".join(texts)})
    return prompts


def from_query(models: str, prompt: str) -> Json | None:
    """Settings from the query parameters `models` and `prompt`; None without both."""
    names = [name.strip() for name in models.split(",") if name.strip()][:MAX_COLUMNS]
    if not names and not prompt:
        return None
    part = {"type": "text", "text": prompt[:PROMPT_CHARS]}
    return {
        "columns": columns_of(names),
        "messages": [{"role": "user", "content": [part]}] if prompt else [],
    }


def from_stored_prompt(pk: int, values: Mapping[str, str]) -> Json | None:
    """Settings of a stored prompt; a variable without a value stays a placeholder."""
    row = Prompt.objects.filter(pk=min(pk, 2**31 - 1)).first()
    stored_version = active_version(row) if row is not None else None
    if stored_version is None:
        return None
    version = version_value(stored_version)
    names = version.variables()
    rendered_version = version.render(
        {name: values.get(name) or f"{{{{{name}}}}}" for name in names}
    )
    return {
        "columns": columns_of([version.model] if version.model else []),
        "system": "\n\n".join(m.content for m in rendered_version if m.role == "system"),
        "messages": [
            {"role": m.role, "content": [{"type": "text", "text": m.content}]}
            for m in rendered_version
            if m.role != "system"
        ],
        "params": msgspec.to_builtins(version.parameters),
    }


def columns_of(names: list[str]) -> list[Json]:
    """One column per model."""
    return [{"id": COLUMN_LETTERS[index], "model": name} for index, name in enumerate(names)]


def logged_request(request_id: str) -> RequestLog | None:
    """The row of a logged request, by its primary key or by the id of the request."""
    if not request_id or "\0" in request_id:
        return None
    by_id = RequestLog.objects.filter(request_id=request_id).order_by("-pk")
    pk = number_in(request_id) or 0
    return RequestLog.objects.filter(pk=pk).first() or by_id.first()


def from_log(row: RequestLog) -> Json | None:
    """Settings that repeat a logged request; None if its body is missing or unreadable."""
    parsed_row = _parse_row(row)
    if parsed_row is None:
        return None
    body, request = parsed_row
    settings = from_request(request, row.client_dialect) | {"logged_request": row.pk}
    if body.get("previous_response_id"):
        settings["unsupported_settings"] = [_("the messages before this response")]
    return settings


def logged_body(row: RequestLog) -> LoggedBody | None:
    """The body of a logged request, to be sent again while the page is unedited; None without."""
    parsed_row = _parse_row(row)
    if parsed_row is None:
        return None
    body, request = parsed_row
    try:
        plan = parse(from_request(request, row.client_dialect))
    except Invalid:
        return None
    unedited_request = build_request(plan.columns[0], stream=request.stream)
    return LoggedBody(dialect=row.client_dialect, body=body, unedited_request=unedited_request)


def _parse_row(row: RequestLog) -> tuple[Json, Request] | None:
    """The client's body of a row, and the canonical request; None if it is incomplete."""
    dialect = CONSOLE_DIALECTS.get(row.client_dialect)
    try:
        bodies = load_bodies(row.pk)
        if bodies is None or bodies.client_request is None or dialect is None:
            return None
        body: Any = msgspec.json.decode(bodies.client_request)
        full_body = with_path_fields(
            row.client_dialect, body, row.requested_model, stream=row.stream
        )
        if dialect.parse_continuation is not None:
            full_body = {
                name: value for name, value in full_body.items() if name != "previous_response_id"
            }
        return body, dialect.client.parse_request(full_body, bodies.client_headers)
    except (GatewayError, msgspec.MsgspecError, ValueError):
        return None


def from_request(request: Request, dialect: str) -> Json:
    """Page settings for a canonical request."""
    logged_settings = settings_from_request(request)
    settings = displayed_settings(logged_settings)
    params = msgspec.to_builtins(settings.params) | {"stop": list(settings.params.stop)}
    return {
        "dialect": dialect,
        "columns": columns_of([request.model]),
        "system": settings.system,
        "messages": render_turns(request.turns),
        "params": {name: value for name, value in params.items() if value not in (None, [])},
        "tools": [
            {"name": t.name, "description": t.description, "schema": t.schema, "mock": None}
            for t in settings.tools
        ],
        "schema": settings.schema,
        "stream": request.stream,
        "logged_settings": encode_settings(logged_settings),
        "logged_setting_names": logged_setting_names(logged_settings),
    }
