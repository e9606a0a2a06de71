"""Prefills the playground from a stored run, a preset, a link or a logged request."""

from __future__ import annotations

from typing import Any

import msgspec
from django.utils.translation import gettext as _

from console.dialects import OFFERED, as_read
from console.models import PlaygroundPreset, PlaygroundRun
from console.playground.events import decompress_frames
from console.playground.messages import render_turns
from console.playground.plan import COLUMN_LETTERS, MAX_COLUMNS
from console.playground.validation import Json
from gateway.canon.errors import GatewayError
from gateway.canon.request import Request, Text
from gateway.models import RequestLog
from gateway.store.bodies import load_bodies

PROMPT_CHARS = 100_000


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


def from_query(models: str, prompt: str) -> Json | None:
    """Settings from the query parameters `models` and `prompt`; None without both."""
    names = [name.strip() for name in models.split(",") if name.strip()][:MAX_COLUMNS]
    if not names and not prompt:
        return None
    return {
        "columns": columns_of(names),
        "messages": [_user_message(prompt[:PROMPT_CHARS])] if prompt else [],
    }


def columns_of(names: list[str]) -> list[Json]:
    """One column per model."""
    return [{"id": COLUMN_LETTERS[index], "model": name} for index, name in enumerate(names)]


def _user_message(text: str) -> Json:
    return {"role": "user", "content": [{"type": "text", "text": text}]}


def from_log(request_id: str) -> Json | None:
    """Settings that repeat a logged request; None if its body is missing or unreadable.

    `request_id` is the primary key of the row, or the id of the request.
    """
    by_id = RequestLog.objects.filter(request_id=request_id).order_by("-pk")
    row = RequestLog.objects.filter(pk=int(request_id)).first() if request_id.isdigit() else None
    row = row or by_id.first()
    return None if row is None else _from_bodies(row)


def _from_bodies(row: RequestLog) -> Json | None:
    dialect = row.client_dialect
    dialect_parts = OFFERED.get(dialect)
    try:
        bodies = load_bodies(row.pk)
        if bodies is None or bodies.client_request is None or dialect_parts is None:
            return None
        body: Any = msgspec.json.decode(bodies.client_request)
        body = as_read(dialect, body, row.requested_model, stream=row.stream)
        request = dialect_parts.client.parse_request(body, bodies.client_headers)
    except (GatewayError, msgspec.MsgspecError, ValueError):
        return None
    return from_request(request, dialect)


def from_request(request: Request, dialect: str) -> Json:
    """Page settings for a canonical request."""
    sampling, choice = request.sampling, request.tool_choice
    modes = {"any": "required", "auto": "auto", "none": "none"}
    params: Json = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "seed": sampling.seed,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
        "max_tokens": request.max_output,
        "stop": list(sampling.stop) or None,
        "reasoning_effort": request.thinking.effort if request.thinking else None,
        "tool_choice": modes.get(choice.mode or "") if choice else None,
    }
    tools = [
        {"name": t.name, "description": t.description or "", "schema": t.schema, "mock": None}
        for t in request.tools
        if t.kind == "function"
    ]
    return {
        "dialect": dialect,
        "columns": columns_of([request.model]),
        "system": "\n\n".join(_instruction_texts(request)),
        "messages": render_turns(request.turns),
        "params": {name: value for name, value in params.items() if value is not None},
        "tools": tools,
        "schema": request.output.schema,
        "stream": request.stream,
        "unsupported_settings": _unsupported_settings(request),
    }


def _unsupported_settings(request: Request) -> list[str]:
    """Names of the request's settings that the page does not support."""
    names = [tool.name for tool in request.tools if tool.kind != "function"]
    if request.tool_choice is not None and request.tool_choice.names:
        names.append("tool_choice")
    if request.thinking is not None and request.thinking.budget is not None:
        names.append(_("the thinking budget"))
    if any(not isinstance(part, Text) for part in request.instructions):
        names.append(_("system messages that are not text"))
    return names


def _instruction_texts(request: Request) -> list[str]:
    return [part.text for part in request.instructions if isinstance(part, Text)]
