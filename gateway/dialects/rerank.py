"""Rerank: a query and documents in, their order by relevance out.

Three shapes of one call, of which a client speaks one and a provider another:

    cohere   `top_n`, `results`, `meta.billed_units`    (Cohere v2; v1 adds `return_documents`)
    jina     `top_n`, `results`, `usage.total_tokens`   (Jina, and most servers)
    voyage   `top_k`, `data`, `usage.total_tokens`

What a shape has beside these goes on untouched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.canon.adaptation import Adaptation, dropped
from gateway.canon.errors import KINDS, Error, GatewayError, bad_upstream
from gateway.canon.request import Request
from gateway.canon.response import Response
from gateway.canon.traits import Traits
from gateway.dialects import openai_errors
from gateway.dialects.base import Dialect, ErrorReply, Rendered, StreamParser, Verb
from gateway.dialects.unserved import Unserved

NAME = "rerank"
Json = dict[str, Any]
Fields = dict[str, msgspec.Raw]


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """How one shape names things; `documents` is whether it can give them back."""

    top: str = "top_n"
    results: str = "results"
    documents: bool = True


SHAPES: dict[str, Shape] = {
    "cohere": Shape(documents=False),
    "jina": Shape(),
    "voyage": Shape(top="top_k", results="data"),
}
_TOPS = ("top_n", "top_k")
_LISTS = ("results", "data")


def shape_of(fields: Mapping[str, Any], version: str) -> str:
    """The shape that a client speaks, by its path and the one field that tells."""
    if version == "v2":
        return "cohere"
    return "voyage" if "top_k" in fields and "top_n" not in fields else "jina"


def request_out(fields: Fields, shape: str) -> tuple[Fields, list[Adaptation]]:
    """The body in a provider's shape, and what of it that has no place there."""
    to = SHAPES[shape]
    report: list[Adaptation] = []
    out: Fields = {}
    for name, value in fields.items():
        if name == "return_documents" and not to.documents:
            if bytes(value) == b"true":
                report.append(dropped(name, "the provider gives no documents back"))
            continue
        out[to.top if name in _TOPS else name] = value
    return out, report


def response_out(body: Json, shape: str) -> Json:
    """The answer in the client's shape."""
    to = SHAPES[shape]
    found = next((body[name] for name in _LISTS if isinstance(body.get(name), list)), None)
    if found is None:
        return body
    return {to.results if name in _LISTS else name: value for name, value in body.items()}


class _Client(Unserved):
    """Tells errors as Cohere does, whose SDK calls it."""

    def render_error(self, error: Error, request_id: str) -> ErrorReply:
        headers = {}
        if error.retry_after_s is not None:
            headers["retry-after"] = str(error.retry_after_s)
        body = {"id": request_id, "message": error.message}
        return ErrorReply(status=KINDS[error.kind].status, body=body, headers=headers)


class _Provider:
    """Reads refusals in whichever of the shapes they come; the rest is passed on unread."""

    def path(self, model: str, *, stream: bool, verb: Verb) -> str:
        return "/rerank"

    def render_request(self, request: Request, traits: Traits) -> Rendered:
        raise _unread()

    def parse_response(self, body: Any, traits: Traits, rendered: Rendered | None) -> Response:
        raise _unread()

    def stream_parser(self, traits: Traits, rendered: Rendered | None) -> StreamParser:
        raise _unread()

    def parse_count(self, body: Any) -> int:
        raise _unread()

    def parse_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Error:
        try:
            told = msgspec.json.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            told = None
        if isinstance(told, dict) and isinstance(detail := told.get("detail"), str):
            body = msgspec.json.encode({"message": detail})
        return openai_errors.parse_error(status, headers, body)


def _unread() -> GatewayError:
    return bad_upstream("a rerank is passed on, not translated")


DIALECT = Dialect(
    name=NAME, keepalive=b"", client=_Client(NAME), provider=_Provider(), served=False
)
