"""The vectors, both ways: as lists of numbers, or packed into base64."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.embeddings import EmbedRequest, EmbedResponse, packed, unpacked
from gateway.canon.errors import GatewayError, bad_upstream
from gateway.canon.response import Usage
from gateway.dialects.base import Exchange
from gateway.dialects.openai_embeddings.names import Json
from gateway.dialects.openai_errors import error_in, is_error


class _Row(msgspec.Struct):
    embedding: list[float] | str
    index: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    total_tokens: int | None = None


class _Answer(msgspec.Struct):
    data: list[_Row]
    model: str = ""
    usage: _Usage | None = None


class _Glance(msgspec.Struct):
    data: msgspec.Raw
    model: str
    usage: _Usage | None = None


_decoder = msgspec.json.Decoder(_Glance)


def parse_embed(body: Any) -> EmbedResponse:
    """The vectors in the order of the inputs. Raises GatewayError for no answer."""
    if isinstance(body, dict) and "data" not in body and is_error(body):
        raise GatewayError(error_in(body))
    try:
        answer = msgspec.convert(body, _Answer)
    except (msgspec.ValidationError, RecursionError):
        raise bad_upstream("the upstream's answer holds no embeddings") from None
    told = enumerate(answer.data)
    rows = [(place if row.index is None else row.index, row) for place, row in told]
    rows.sort(key=lambda item: item[0])
    return EmbedResponse(
        model=answer.model,
        vectors=tuple(_vector(row.embedding) for _, row in rows),
        usage=_usage(answer.usage),
    )


def _vector(value: list[float] | str) -> list[float]:
    vector = unpacked(value) if isinstance(value, str) else value
    if vector is None:
        raise bad_upstream("the upstream's answer holds a vector that is not base64 of floats")
    return vector


def _usage(told: _Usage | None) -> Usage | None:
    if told is None:
        return None
    tokens = told.prompt_tokens if told.prompt_tokens is not None else told.total_tokens
    return None if tokens is None else Usage(input=max(0, tokens), output=0)


def glance_embed(data: bytes) -> EmbedResponse | None:
    """Model and counts of an answer that passes through; None to have it parsed in full."""
    try:
        answer = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return EmbedResponse(model=answer.model, usage=_usage(answer.usage))


def render_embed(response: EmbedResponse, request: EmbedRequest, exchange: Exchange) -> Json:
    """The answer's JSON, in the encoding that was asked for."""
    shown = packed if request.encoding == "base64" else list
    body: Json = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": place, "embedding": shown(vector)}
            for place, vector in enumerate(response.vectors)
        ],
        "model": exchange.model,
    }
    if response.usage is not None and (tokens := response.usage.prompt) is not None:
        body["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
    return body
