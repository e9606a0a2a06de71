"""Embeddings: /v2/embed, the half that calls it.

An input is a text, or a picture as a data URL, as LiteLLM's clients write it. What the
vectors are for has to be said there (`input_type`); a client that does not say it is taken
to fill its index, which is what the service's own examples do.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from gateway.canon.adaptation import Adaptation, approximated, defaulted, dropped
from gateway.canon.embeddings import EmbedRequest, EmbedResponse
from gateway.canon.errors import Error, GatewayError, bad_upstream
from gateway.canon.media import from_data_url
from gateway.canon.response import Usage
from gateway.canon.traits import Traits
from gateway.dialects.base import Rendered
from gateway.dialects.cohere.names import Json

PATH = "/v2/embed"
DEFAULT_TASK = "search_document"
PICTURES = "image"
_TASKS = frozenset({"search_document", "search_query", "classification", "clustering", PICTURES})
# The service's own fields that go on to it, whatever dialect the client wrote them in.
_OWN = frozenset({"truncate", "max_tokens", "priority"})
# The only form a canonical answer has; clients that want base64 get it from these.
_FORMS = ["float"]
_CUT = {True: "END", False: "NONE"}


class EmbedProvider:
    """Has Cohere make vectors."""

    def embed_path(self, model: str) -> str:
        """The path of the call."""
        return PATH

    def render_embed(self, request: EmbedRequest, traits: Traits) -> Rendered:
        """The JSON to send and what it could not carry. Raises GatewayError for tokens."""
        report: list[Adaptation] = []
        body: Json = {"model": traits.model or request.model, "embedding_types": _FORMS}
        words = _words(request)
        shown = [_is_picture(text) for text in words]
        if not any(shown):
            body["texts"] = words
        elif all(shown):
            body["images"] = words
        else:
            body["inputs"] = [{"content": [_content(text)]} for text in words]
        if request.dimensions is not None:
            body["output_dimension"] = request.dimensions
        if request.truncate is not None:
            body["truncate"] = _CUT[request.truncate]
        if request.user_id is not None:
            report.append(dropped(request.path("user_id"), "no equivalent"))
        told = _extra(request, body, report)
        body["input_type"] = _task(request, told, report, pictures=all(shown))
        return Rendered(body=body, report=tuple(report))

    def parse_embed(self, body: Any) -> EmbedResponse:
        """The vectors. Raises GatewayError for a shape that is no answer."""
        try:
            found = msgspec.convert(body, _Answer)
        except (msgspec.ValidationError, RecursionError):
            raise bad_upstream("the upstream's answer holds no embeddings") from None
        return EmbedResponse(vectors=tuple(found.embeddings.numbers), usage=_usage(found.meta))

    def glance_embed(self, data: bytes) -> EmbedResponse | None:
        """Have every answer parsed: these never pass through."""
        return None


def _words(request: EmbedRequest) -> list[str]:
    path = request.path("input")
    out: list[str] = []
    for place, item in enumerate(request.inputs):
        if not isinstance(item, str):
            why = f"{path}[{place}]: Cohere embeds texts, not tokens; send the text"
            raise GatewayError(Error(kind="unsupported_param", message=why, param=path))
        out.append(item)
    return out


def _is_picture(text: str) -> bool:
    held = from_data_url(text)
    return held is not None and (held[0] or "").startswith("image/")


def _content(text: str) -> Json:
    if _is_picture(text):
        return {"type": "image_url", "image_url": {"url": text}}
    return {"type": "text", "text": text}


def _extra(request: EmbedRequest, body: Json, report: list[Adaptation]) -> Any:
    """Put in the fields that are Cohere's own, report others; the `input_type` told, if any."""
    told = None
    for fields in request.extra.values():
        for name, value in fields.items():
            if name == "input_type":
                told = value
            elif name in _OWN:
                body[name] = value
            elif name != "embedding_types" or value != _FORMS:
                report.append(dropped(name, _WHY.get(name, "no equivalent")))
    return told


_WHY = {"embedding_types": "vectors are floats in this dialect; ask for base64 by its own field"}


def _task(request: EmbedRequest, told: Any, report: list[Adaptation], *, pictures: bool) -> str:
    """What the vectors are for. Raises GatewayError for a word that Cohere does not know."""
    task = request.task if told is None else told
    if pictures:
        if task not in (None, PICTURES):
            why = "pictures are embedded as pictures, whatever they are for"
            report.append(approximated("input_type", why, before=task, after=PICTURES))
        return PICTURES
    if task is None:
        why = "Cohere must be told what vectors are for; give `input_type` to search with them"
        report.append(defaulted("input_type", why, after=DEFAULT_TASK))
        return DEFAULT_TASK
    if not isinstance(task, str) or task not in _TASKS:
        known = ", ".join(sorted(_TASKS))
        why = f"input_type must be one of {known}"
        raise GatewayError(Error(kind="unsupported_param", message=why, param="input_type"))
    return task


class _Billed(msgspec.Struct):
    """Counts are typed as floats there."""

    input_tokens: float | None = None
    image_tokens: float | None = None


class _Meta(msgspec.Struct):
    billed_units: _Billed | None = None
    tokens: _Billed | None = None


class _Vectors(msgspec.Struct, rename={"numbers": "float"}):
    numbers: list[list[float]]


class _Answer(msgspec.Struct):
    embeddings: _Vectors
    meta: _Meta | None = None


def _usage(meta: _Meta | None) -> Usage | None:
    """The tokens that are billed, those of pictures too; None where none are counted."""
    if meta is None:
        return None
    for counts in (meta.billed_units, meta.tokens):
        if counts is None:
            continue
        known = [n for n in (counts.input_tokens, counts.image_tokens) if n is not None]
        if known and all(math.isfinite(n) and 0 <= n < 2**53 for n in known):
            return Usage(input=int(sum(known)), output=0)
    return None
