"""Embeddings responses, parsed and rendered: vectors as numbers or base64."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.embeddings import EmbedRequest, EmbedResponse, pack_vector, unpack_vector
from gateway.canon.errors import GatewayError, bad_upstream
from gateway.canon.json_values import decode_or_none
from gateway.canon.response import Usage
from gateway.dialects.base import WHOLE_CALL_FRAMINGS, ResponseContext
from gateway.dialects.openai_embeddings.request import Json
from gateway.dialects.shared.openai_errors import is_error, parse_error_payload
from gateway.dialects.shared.reported_cost import parse_reported_cost


class _EmbeddingRow(msgspec.Struct):
    embedding: list[float] | str
    index: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    total_tokens: int | None = None
    cost: Any = None
    cost_details: Any = None
    is_byok: Any = None


class _EmbeddingList(msgspec.Struct):
    data: list[_EmbeddingRow]
    model: str = ""
    usage: _Usage | None = None


class _EmbeddingListHead(msgspec.Struct):
    data: msgspec.Raw
    model: str
    usage: _Usage | None = None


_decoder = msgspec.json.Decoder(_EmbeddingListHead)
# Longer than a list without rows, whatever its layout.
_MAX_EMPTY_BYTES = 64


def parse_embed(body: Any) -> EmbedResponse:
    """The vectors in the order of the inputs. Raises GatewayError if there are none."""
    if isinstance(body, dict) and "data" not in body and is_error(body):
        raise GatewayError(parse_error_payload(body))
    try:
        embedding_list = msgspec.convert(body, _EmbeddingList)
    except (msgspec.ValidationError, RecursionError):
        raise bad_upstream("the upstream's response contains no embeddings") from None
    if not embedding_list.data:
        raise bad_upstream("the upstream's response contains no embeddings")
    numbered_rows = enumerate(embedding_list.data)
    rows = [(index if row.index is None else row.index, row) for index, row in numbered_rows]
    rows.sort(key=lambda item: item[0])
    return EmbedResponse(
        model=embedding_list.model,
        vectors=tuple(_parse_vector(row.embedding) for _, row in rows),
        usage=_parse_usage(embedding_list.usage),
    )


def _parse_vector(value: list[float] | str) -> list[float]:
    vector = unpack_vector(value) if isinstance(value, str) else value
    if vector is None:
        raise bad_upstream(
            "the upstream's response contains a vector that is not base64-encoded floats"
        )
    return vector


def _parse_usage(usage: _Usage | None) -> Usage | None:
    if usage is None:
        return None
    tokens = usage.prompt_tokens if usage.prompt_tokens is not None else usage.total_tokens
    if tokens is None:
        return None
    cost = None if usage.cost is None else parse_reported_cost(msgspec.structs.asdict(usage))
    return Usage(input=max(0, tokens), output=0, provider_cost=cost)


def peek_embed_usage(data: bytes) -> EmbedResponse | None:
    """Model and usage of a passthrough response; None if it must be parsed in full."""
    try:
        head = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    is_empty = len(memoryview(head.data)) < _MAX_EMPTY_BYTES and not decode_or_none(head.data)
    return None if is_empty else EmbedResponse(model=head.model, usage=_parse_usage(head.usage))


def render_embed(response: EmbedResponse, request: EmbedRequest, context: ResponseContext) -> Json:
    """The response's JSON, in the requested encoding."""
    encode_vector = pack_vector if request.encoding == "base64" else list
    body: Json = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": encode_vector(vector)}
            for index, vector in enumerate(response.vectors)
        ],
        "model": context.model,
    }
    if context.framing in WHOLE_CALL_FRAMINGS:
        # Mistral's, whose SDKs require it.
        body["id"] = f"embd-{context.id}"
    if response.usage is not None and (tokens := response.usage.prompt_tokens) is not None:
        body["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
    return body
