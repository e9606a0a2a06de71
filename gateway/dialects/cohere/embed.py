"""Embeddings: renders requests to /v2/embed and parses their responses.

An input is a text, or an image as a data URL, as LiteLLM's clients write it. The API requires
the purpose of the vectors (`input_type`). For clients that do not set one, it is
`search_document`, as in Cohere's own examples.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from gateway.canon.adaptation import Adaptation, approximated_field, defaulted_field, dropped_field
from gateway.canon.embeddings import EmbedRequest, EmbedResponse, is_image, text_inputs
from gateway.canon.errors import Error, GatewayError, bad_upstream
from gateway.canon.response import Usage
from gateway.canon.traits import Traits
from gateway.dialects.base import RenderedRequest
from gateway.dialects.cohere.context import Json

PATH = "/v2/embed"
DEFAULT_TASK = "search_document"
IMAGE_TASK = "image"
_TASKS = frozenset({"search_document", "search_query", "classification", "clustering", IMAGE_TASK})
# Cohere's own fields, which are sent to it from clients of any dialect.
_NATIVE_FIELDS = frozenset({"truncate", "max_tokens", "priority"})
# Canonical vectors are floats; base64 for clients is made from these.
_EMBEDDING_TYPES = ["float"]
_TRUNCATE_MODES = {True: "END", False: "NONE"}


def embed_path(model: str) -> str:
    """The path of the call."""
    return PATH


def render_embed_request(request: EmbedRequest, traits: Traits) -> RenderedRequest:
    """The JSON to send, and its adaptations. Raises GatewayError for tokens."""
    report: list[Adaptation] = []
    body: Json = {"model": traits.model or request.model, "embedding_types": _EMBEDDING_TYPES}
    texts = text_inputs(request, "Cohere")
    are_images = [is_image(text) for text in texts]
    if not any(are_images):
        body["texts"] = texts
    elif all(are_images):
        body["images"] = texts
    else:
        body["inputs"] = [{"content": [_render_content(text)]} for text in texts]
    if request.dimensions is not None:
        body["output_dimension"] = request.dimensions
    if request.truncate is not None:
        body["truncate"] = _TRUNCATE_MODES[request.truncate]
    if request.user_id is not None:
        report.append(dropped_field(request.client_path("user_id"), "no equivalent"))
    input_type = _render_extra_fields(request, body, report)
    body["input_type"] = _select_task(request, input_type, report, all_images=all(are_images))
    return RenderedRequest(body=body, report=tuple(report))


def parse_embed_response(body: Any) -> EmbedResponse:
    """The vectors. Raises GatewayError for a body that is no response."""
    try:
        result = msgspec.convert(body, _EmbedResult)
    except (msgspec.ValidationError, RecursionError):
        raise bad_upstream("the upstream's response contains no embeddings") from None
    return EmbedResponse(vectors=tuple(result.embeddings.numbers), usage=_parse_usage(result.meta))


def peek_embed_usage(data: bytes) -> EmbedResponse | None:
    """The usage of a passthrough response; None if it must be parsed in full.

    Its vectors are of the types that the client asked for, often without floats.
    """
    try:
        result = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return EmbedResponse(usage=_parse_usage(result.meta)) if result.embeddings else None


def _render_content(text: str) -> Json:
    if is_image(text):
        return {"type": "image_url", "image_url": {"url": text}}
    return {"type": "text", "text": text}


def _render_extra_fields(request: EmbedRequest, body: Json, report: list[Adaptation]) -> Any:
    """Render Cohere's own fields, report others; return the client's `input_type`, if any."""
    input_type = None
    for fields in request.extra.values():
        for name, value in fields.items():
            if name == "input_type":
                input_type = value
            elif name in _NATIVE_FIELDS:
                body[name] = value
            elif name != "embedding_types" or value != _EMBEDDING_TYPES:
                report.append(dropped_field(name, _DROP_REASONS.get(name, "no equivalent")))
    return input_type


_DROP_REASONS = {
    "embedding_types": (
        "embeddings are floats in this dialect; request base64 with the dialect's own field"
    )
}


def _select_task(
    request: EmbedRequest, input_type: Any, report: list[Adaptation], *, all_images: bool
) -> str:
    """The purpose of the vectors. Raises GatewayError for one that Cohere does not support."""
    task = request.task if input_type is None else input_type
    if all_images:
        if task not in (None, IMAGE_TASK):
            reason = "images are embedded as images, regardless of the purpose"
            report.append(approximated_field("input_type", reason, before=task, after=IMAGE_TASK))
        return IMAGE_TASK
    if task is None:
        reason = (
            "Cohere requires the purpose of the embeddings; set `input_type` if they are "
            "search queries"
        )
        report.append(defaulted_field("input_type", reason, after=DEFAULT_TASK))
        return DEFAULT_TASK
    if not isinstance(task, str) or task not in _TASKS:
        task_names = ", ".join(sorted(_TASKS))
        reason = f"input_type must be one of {task_names}"
        raise GatewayError(Error(kind="unsupported_param", message=reason, param="input_type"))
    return task


class _TokenCounts(msgspec.Struct):
    """Token counts, which Cohere's API types as floats."""

    input_tokens: float | None = None
    image_tokens: float | None = None


class _Meta(msgspec.Struct):
    billed_units: _TokenCounts | None = None
    tokens: _TokenCounts | None = None


class _Vectors(msgspec.Struct, rename={"numbers": "float"}):
    numbers: list[list[float]]


class _EmbedResult(msgspec.Struct):
    embeddings: _Vectors
    meta: _Meta | None = None


class _UsagePeek(msgspec.Struct):
    embeddings: dict[str, msgspec.Raw]
    meta: _Meta | None = None


_decoder = msgspec.json.Decoder(_UsagePeek)


def _parse_usage(meta: _Meta | None) -> Usage | None:
    """The billed tokens, images included; None if none are reported."""
    if meta is None:
        return None
    for counts in (meta.billed_units, meta.tokens):
        if counts is None:
            continue
        token_counts = [n for n in (counts.input_tokens, counts.image_tokens) if n is not None]
        if token_counts and all(math.isfinite(n) and 0 <= n < 2**53 for n in token_counts):
            return Usage(input=int(sum(token_counts)), output=0)
    return None
