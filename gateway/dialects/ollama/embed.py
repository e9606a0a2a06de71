"""Embeddings: /api/embed, and the older /api/embeddings with one `prompt`; both ways."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.adaptation import Adaptation, dropped_field
from gateway.canon.embeddings import (
    EmbedRequest,
    EmbedResponse,
    check_no_images,
    text_inputs,
)
from gateway.canon.errors import GatewayError, bad_upstream, invalid
from gateway.canon.response import Usage
from gateway.canon.traits import Traits
from gateway.dialects.base import RenderedRequest, ResponseContext
from gateway.dialects.ollama.context import EMBED_PATH, EMBEDDINGS_PATH, NAME, Json
from gateway.dialects.ollama.errors import is_error, parse_error_payload
from gateway.dialects.ollama.response import parse_usage
from gateway.dialects.shared.fields import boolean, integer, required_text, strings, text

_PARSED_FIELDS = frozenset({"model", "input", "prompt", "dimensions", "truncate"})


def parse_embed_request(body: Json) -> EmbedRequest:
    """The canonical request. Raises GatewayError naming the field at fault."""
    inputs = strings(body, "input")
    if not inputs and (prompt := text(body, "prompt")) is not None:
        inputs = (prompt,)
    if not inputs:
        raise invalid("input is required and must be a string or a list of strings", "input")
    extra = {k: v for k, v in body.items() if k not in _PARSED_FIELDS and v is not None}
    return EmbedRequest(
        model=required_text(body, "model"),
        inputs=inputs,
        dimensions=integer(body, "dimensions", minimum=1, maximum=1_000_000),
        truncate=boolean(body, "truncate"),
        extra={NAME: extra} if extra else {},
    )


def render_embed_response(
    response: EmbedResponse, request: EmbedRequest, context: ResponseContext
) -> Json:
    """The response's JSON, in the shape of the path that was called."""
    if context.endpoint == EMBEDDINGS_PATH:
        return {"embedding": response.vectors[0]}
    body: Json = {"model": context.model, "embeddings": list(response.vectors)}
    if response.usage is not None and response.usage.prompt_tokens is not None:
        body["prompt_eval_count"] = response.usage.prompt_tokens
    for name, value in (response.usage.native if response.usage else {}).items():
        if name.endswith("_duration"):
            body[name] = value
    return body


def embed_path(model: str) -> str:
    """The path of the call."""
    return EMBED_PATH


def render_embed_request(request: EmbedRequest, traits: Traits) -> RenderedRequest:
    """The JSON to send, and its adaptations. Raises GatewayError for tokens and images."""
    check_no_images(request, "Ollama")
    texts = text_inputs(request, "Ollama")
    body: Json = {"model": traits.model or request.model, "input": texts}
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    if request.truncate is not None:
        body["truncate"] = request.truncate
    report: list[Adaptation] = [
        dropped_field(request.client_path(name), "no equivalent")
        for name in ("user_id", "task")
        if getattr(request, name) is not None
    ]
    for dialect, fields in request.extra.items():
        for key, value in fields.items():
            if dialect == NAME:
                body.setdefault(key, value)
            else:
                report.append(dropped_field(key, "no equivalent"))
    return RenderedRequest(body=body, report=tuple(report))


def parse_embed_response(body: Any) -> EmbedResponse:
    """The vectors. Raises GatewayError for a body that is no response."""
    if is_error(body):
        raise GatewayError(parse_error_payload(body))
    if isinstance(body, dict) and "embedding" in body:
        body = {**body, "embeddings": [body["embedding"]]}
    try:
        result = msgspec.convert(body, _EmbedResult)
    except (msgspec.ValidationError, RecursionError):
        raise bad_upstream("the upstream's response contains no embeddings") from None
    answer_usage = parse_usage(body)
    usage = (
        Usage(input=answer_usage.input, output=0, native=answer_usage.native)
        if answer_usage
        else None
    )
    return EmbedResponse(model=result.model, vectors=tuple(result.embeddings), usage=usage)


def peek_embed_usage(data: bytes) -> EmbedResponse | None:
    """Model and counts of a passthrough response; None if it must be parsed in full."""
    try:
        result = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    prompt_tokens = result.prompt_eval_count
    usage = Usage(input=prompt_tokens, output=0) if prompt_tokens is not None else None
    return EmbedResponse(model=result.model, usage=usage)


class _EmbedResult(msgspec.Struct):
    embeddings: list[list[float]]
    model: str = ""


class _UsagePeek(msgspec.Struct):
    embeddings: msgspec.Raw
    model: str = ""
    prompt_eval_count: int | None = None


_decoder = msgspec.json.Decoder(_UsagePeek)
