"""Embeddings: /api/embed, and the older /api/embeddings with one `prompt`; both ways."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.adaptation import Adaptation, dropped
from gateway.canon.embeddings import EmbedRequest, EmbedResponse
from gateway.canon.errors import Error, GatewayError, bad_upstream, invalid
from gateway.canon.response import Usage
from gateway.canon.traits import Traits
from gateway.dialects.base import Exchange, Rendered
from gateway.dialects.fields import flag, needed_text, strings, text, whole
from gateway.dialects.ollama.errors import error_in, is_error
from gateway.dialects.ollama.names import EMBED, EMBEDDINGS, NAME, Json
from gateway.dialects.ollama.usage import usage_in

_READ = frozenset({"model", "input", "prompt", "dimensions", "truncate"})


class EmbedClient:
    """Serves Ollama clients that want vectors."""

    def parse_embed(self, body: Json) -> EmbedRequest:
        """The canonical request. Raises GatewayError naming the field at fault."""
        inputs = strings(body, "input")
        if not inputs and (prompt := text(body, "prompt")) is not None:
            inputs = (prompt,)
        if not inputs:
            raise invalid("input is required: give a text or a list of texts", "input")
        extra = {k: v for k, v in body.items() if k not in _READ and v is not None}
        return EmbedRequest(
            model=needed_text(body, "model"),
            inputs=inputs,
            dimensions=whole(body, "dimensions", least=1, most=1_000_000),
            truncate=flag(body, "truncate"),
            extra={NAME: extra} if extra else {},
        )

    def render_embed(
        self, response: EmbedResponse, request: EmbedRequest, exchange: Exchange
    ) -> Json:
        """The answer's JSON, in the shape of the path that was called."""
        if exchange.endpoint == EMBEDDINGS:
            return {"embedding": response.vectors[0]}
        body: Json = {"model": exchange.model, "embeddings": list(response.vectors)}
        if response.usage is not None and response.usage.prompt is not None:
            body["prompt_eval_count"] = response.usage.prompt
        for name, value in (response.usage.native if response.usage else {}).items():
            if name.endswith("_duration"):
                body[name] = value
        return body


class EmbedProvider:
    """Has an Ollama make vectors."""

    def embed_path(self, model: str) -> str:
        """The path of the call."""
        return EMBED

    def render_embed(self, request: EmbedRequest, traits: Traits) -> Rendered:
        """The JSON to send and what it could not carry. Raises GatewayError for tokens."""
        path = request.path("input")
        for place, item in enumerate(request.inputs):
            if not isinstance(item, str):
                why = f"{path}[{place}]: Ollama embeds texts, not tokens; send the text"
                raise GatewayError(Error(kind="unsupported_param", message=why, param=path))
        body: Json = {"model": traits.model or request.model, "input": list(request.inputs)}
        if request.dimensions is not None:
            body["dimensions"] = request.dimensions
        if request.truncate is not None:
            body["truncate"] = request.truncate
        report: list[Adaptation] = [
            dropped(request.path(name), "no equivalent")
            for name in ("user_id", "task")
            if getattr(request, name) is not None
        ]
        for dialect, fields in request.extra.items():
            for key, value in fields.items():
                if dialect == NAME:
                    body.setdefault(key, value)
                else:
                    report.append(dropped(key, "no equivalent"))
        return Rendered(body=body, report=tuple(report))

    def parse_embed(self, body: Any) -> EmbedResponse:
        """The vectors. Raises GatewayError for a shape that is no answer."""
        if is_error(body):
            raise GatewayError(error_in(body))
        if isinstance(body, dict) and "embedding" in body:
            body = {**body, "embeddings": [body["embedding"]]}
        try:
            found = msgspec.convert(body, _Answer)
        except (msgspec.ValidationError, RecursionError):
            raise bad_upstream("the upstream's answer holds no embeddings") from None
        told = usage_in(body)
        usage = Usage(input=told.input, output=0, native=told.native) if told else None
        return EmbedResponse(model=found.model, vectors=tuple(found.embeddings), usage=usage)

    def glance_embed(self, data: bytes) -> EmbedResponse | None:
        """Model and counts of an answer that passes through; None to have it parsed in full."""
        try:
            found = _decoder.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        counted = found.prompt_eval_count
        usage = Usage(input=counted, output=0) if counted is not None else None
        return EmbedResponse(model=found.model, usage=usage)


class _Answer(msgspec.Struct):
    embeddings: list[list[float]]
    model: str = ""


class _Glance(msgspec.Struct):
    embeddings: msgspec.Raw
    model: str = ""
    prompt_eval_count: int | None = None


_decoder = msgspec.json.Decoder(_Glance)
