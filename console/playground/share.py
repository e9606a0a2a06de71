"""The ways into the playground with something filled in: a run, a preset, a link, a log row."""

from __future__ import annotations

from typing import Any

import msgspec

from console.dialects import OFFERED, as_read
from console.models import PlaygroundPreset, PlaygroundRun
from console.playground.columns import LETTERS, MOST_COLUMNS
from console.playground.events import unpacked
from console.playground.messages import turns_out
from console.playground.reading import Json
from gateway.canon.errors import GatewayError
from gateway.canon.request import Request, Text
from gateway.models import RequestLog
from gateway.store.bodies import load_bodies

PROMPT_CHARS = 100_000


def run_document(run: PlaygroundRun) -> Json:
    """A stored run as the page opens it: its settings, and where its events are."""
    return {
        "id": str(run.uuid),
        "title": run.title,
        "created": run.created.isoformat(),
        "ended": run.ended.isoformat() if run.ended else None,
        "owner": str(run.owner),
        "settings": run.document,
        "summary": run.summary,
    }


def run_frames(run: PlaygroundRun) -> list[bytes]:
    """The events of a finished run. Raises ValueError if they are damaged."""
    return unpacked(bytes(run.events))


def preset_document(preset: PlaygroundPreset, versions: list[PlaygroundPreset]) -> Json:
    """A preset as the page opens it, and the versions of its name."""
    return {
        "id": preset.pk,
        "name": preset.name,
        "version": preset.version,
        "created": preset.created.isoformat(),
        "settings": preset.document,
        "versions": [
            {"id": v.pk, "version": v.version, "created": v.created.isoformat()} for v in versions
        ],
    }


def from_query(models: str, prompt: str) -> Json | None:
    """Settings of a link with `models` and `prompt`; None if it has neither."""
    names = [name.strip() for name in models.split(",") if name.strip()][:MOST_COLUMNS]
    if not names and not prompt:
        return None
    return {
        "columns": columns_of(names),
        "messages": [_said(prompt[:PROMPT_CHARS])] if prompt else [],
    }


def columns_of(names: list[str]) -> list[Json]:
    """A column for each model."""
    return [{"id": LETTERS[place], "model": name} for place, name in enumerate(names)]


def _said(words: str) -> Json:
    return {"role": "user", "content": [{"type": "text", "text": words}]}


def from_log(request: str) -> Json | None:
    """Settings that ask what a logged request asked; None if its body is not kept or odd.

    `request` is the id of the row, or that of the request.
    """
    by_id = RequestLog.objects.filter(request_id=request).order_by("-pk")
    row = RequestLog.objects.filter(pk=int(request)).first() if request.isdigit() else None
    row = row or by_id.first()
    return None if row is None else _from_bodies(row)


def _from_bodies(row: RequestLog) -> Json | None:
    dialect = row.client_dialect
    known = OFFERED.get(dialect)
    try:
        bodies = load_bodies(row.pk)
        if bodies is None or bodies.client_request is None or known is None:
            return None
        body: Any = msgspec.json.decode(bodies.client_request)
        body = as_read(dialect, body, row.requested_model, stream=row.stream)
        asked = known.client.parse_request(body, bodies.client_headers)
    except (GatewayError, msgspec.MsgspecError, ValueError):
        return None
    return from_request(asked, dialect)


def from_request(asked: Request, dialect: str) -> Json:
    """The page's settings for a canonical request."""
    sampling, choice = asked.sampling, asked.tool_choice
    modes = {"any": "required", "auto": "auto", "none": "none"}
    params: Json = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "seed": sampling.seed,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
        "max_tokens": asked.max_output,
        "stop": list(sampling.stop) or None,
        "reasoning_effort": asked.thinking.effort if asked.thinking else None,
        "tool_choice": modes.get(choice.mode or "") if choice else None,
    }
    tools = [
        {"name": t.name, "description": t.description or "", "schema": t.schema, "mock": None}
        for t in asked.tools
        if t.kind == "function"
    ]
    return {
        "dialect": dialect,
        "columns": columns_of([asked.model]),
        "system": "\n\n".join(_texts(asked)),
        "messages": turns_out(asked.turns),
        "params": {name: value for name, value in params.items() if value is not None},
        "tools": tools,
        "schema": asked.output.schema,
        "stream": asked.stream,
    }


def _texts(asked: Request) -> list[str]:
    return [part.text for part in asked.instructions if isinstance(part, Text)]
