"""A client's embeddings: /v2/embed with texts, images, or inputs of one part each."""

from __future__ import annotations

from typing import Any

from gateway.canon.embeddings import EmbedRequest, EmbedResponse, Input, pack_vector
from gateway.canon.errors import invalid, unsupported
from gateway.dialects.base import ResponseContext
from gateway.dialects.cohere.context import NAME, Json
from gateway.dialects.shared.fields import (
    enum_value,
    integer,
    objects,
    required_mapping,
    required_text,
    strings,
)

_PARSED_FIELDS = frozenset(
    {
        *("model", "texts", "images", "inputs", "input_type", "embedding_types"),
        *("output_dimension", "truncate"),
    }
)
_ENCODINGS: dict[tuple[str, ...], Any] = {
    (): None,
    ("float",): "float",
    ("base64",): "base64",
}
_TRUNCATIONS = {"END": True, "NONE": False}
FIELD_PATHS = {
    "dimensions": "output_dimension",
    "task": "input_type",
    "truncate": "truncate",
    "encoding": "embedding_types",
}


def parse_embed_request(body: Json) -> EmbedRequest:
    """The canonical request. Raises GatewayError naming the field at fault."""
    extra = {k: v for k, v in body.items() if k not in _PARSED_FIELDS and v is not None}
    truncate = enum_value(body, "truncate", ("NONE", "START", "END"))
    if truncate == "START":
        extra["truncate"] = truncate
    types = strings(body, "embedding_types")
    if types not in _ENCODINGS:
        raise unsupported(
            "embedding_types", "only one of float and base64 is supported by other providers"
        )
    field = _find_input_field(body)
    return EmbedRequest(
        model=required_text(body, "model"),
        inputs=_parse_inputs(body, field),
        dimensions=integer(body, "output_dimension", minimum=1, maximum=1_000_000),
        encoding=_ENCODINGS[types],
        truncate=_TRUNCATIONS.get(truncate or ""),
        task=required_text(body, "input_type"),
        extra={NAME: extra} if extra else {},
        client_paths={**FIELD_PATHS, "input": field},
    )


def _find_input_field(body: Json) -> str:
    """The field with the inputs, of which only one may be set."""
    fields = [name for name in ("texts", "images", "inputs") if body.get(name)]
    if len(fields) != 1:
        raise invalid("exactly one of texts, images and inputs is required", "texts")
    return fields[0]


def _parse_inputs(body: Json, field: str) -> tuple[Input, ...]:
    """The texts and images (data URLs)."""
    if field == "inputs":
        return tuple(
            _parse_input(item, f"inputs[{index}]")
            for index, item in enumerate(objects(body, "inputs"))
        )
    return strings(body, field)


def _parse_input(item: Json, path: str) -> str:
    content = objects(item, "content", path)
    if len(content) != 1:
        raise unsupported(f"{path}.content", "only one part is supported by other providers")
    part, part_path = content[0], f"{path}.content[0]"
    if part.get("type") == "image_url":
        image = required_mapping(part, "image_url", part_path)
        return required_text(image, "url", f"{part_path}.image_url")
    return required_text(part, "text", part_path)


def render_embed_response(
    response: EmbedResponse, request: EmbedRequest, context: ResponseContext
) -> Json:
    """The response's JSON, with the requested type of embeddings."""
    vectors: Json = {"float": list(response.vectors)}
    if request.encoding == "base64":
        vectors = {"base64": [pack_vector(vector) for vector in response.vectors]}
    meta: Json = {"api_version": {"version": "2"}}
    if response.usage is not None and response.usage.prompt_tokens is not None:
        meta["billed_units"] = {"input_tokens": response.usage.prompt_tokens}
    return {
        "response_type": "embeddings_by_type",
        "id": context.id,
        "embeddings": vectors,
        "texts": [text for text in request.inputs if isinstance(text, str)],
        "meta": meta,
    }
