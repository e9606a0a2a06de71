"""Rerank: sorts documents by their relevance to a query.

The call has three formats; client and provider may use different ones:

    cohere   `top_n`, `results`, `meta.billed_units`    (Cohere v2; v1 adds `return_documents`)
    jina     `top_n`, `results`, `usage.total_tokens`   (Jina, and most servers)
    voyage   `top_k`, `data`, `usage.total_tokens`

All other fields are passed on unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import msgspec

from gateway.canon.adaptation import Adaptation, dropped_field
from gateway.canon.errors import KINDS, Error, bad_upstream, invalid
from gateway.canon.json_values import decode_or_none
from gateway.dialects.base import Client, Dialect, ErrorReply, Provider, Verb
from gateway.dialects.shared import openai_errors
from gateway.dialects.shared.errors import retry_after_header

NAME = "rerank"
Json = dict[str, Any]
Fields = dict[str, msgspec.Raw]


class FieldNames(msgspec.Struct, frozen=True, kw_only=True):
    """The field names of one format; `returns_documents` is whether it can return documents."""

    limit_field: str = "top_n"
    results_field: str = "results"
    returns_documents: bool = True


FORMATS: dict[str, FieldNames] = {
    "cohere": FieldNames(returns_documents=False),
    "jina": FieldNames(),
    "voyage": FieldNames(limit_field="top_k", results_field="data"),
}
_LIMIT_FIELDS = ("top_n", "top_k")
_RESULTS_FIELDS = ("results", "data")


def format_of(fields: Mapping[str, Any], version: str) -> str:
    """The format of a client's request, by its path version and its limit field."""
    if version == "v2":
        return "cohere"
    return "voyage" if "top_k" in fields and "top_n" not in fields else "jina"


def render_request_fields(fields: Fields, target_format: str) -> tuple[Fields, list[Adaptation]]:
    """The body in a provider's format, and a report of the fields it does not support."""
    target_names = FORMATS[target_format]
    report: list[Adaptation] = []
    out: Fields = {}
    for name, value in fields.items():
        if name == "return_documents" and not target_names.returns_documents:
            if bytes(value) == b"true":
                report.append(dropped_field(name, "the provider does not return documents"))
            continue
        out[target_names.limit_field if name in _LIMIT_FIELDS else name] = value
    return out, report


def render_response(body: Json, client_format: str) -> Json:
    """The response in the client's format."""
    client_names = FORMATS[client_format]
    results = next(
        (body[name] for name in _RESULTS_FIELDS if isinstance(body.get(name), list)), None
    )
    if results is None:
        return body
    return {
        client_names.results_field if name in _RESULTS_FIELDS else name: value
        for name, value in body.items()
    }


def _render_error(error: Error, request_id: str) -> ErrorReply:
    """The error in the form of Cohere, whose SDK calls this endpoint."""
    body = {"id": request_id, "message": error.message}
    headers = retry_after_header(error)
    return ErrorReply(status=KINDS[error.kind].status, body=body, headers=headers)


def _parse_error(status: int, headers: Mapping[str, str], body: bytes) -> Error:
    """The canonical error of any of the formats."""
    payload = decode_or_none(body)
    if isinstance(payload, dict) and isinstance(detail := payload.get("detail"), str):
        body = msgspec.json.encode({"message": detail})
    return openai_errors.parse_error(status, headers, body)


def _endpoint_path(model: str, *, stream: bool, verb: Verb) -> str:
    return "/rerank"


def _refuse_translation(*_: object) -> NoReturn:
    raise bad_upstream("rerank requests are passed through, not translated")


def _refuse_client(*_: object) -> NoReturn:
    raise invalid(f"`{NAME}` is available only for providers; clients must use another dialect")


DIALECT = Dialect(
    name=NAME,
    keepalive=b"",
    client=Client(
        parse_request=_refuse_client,
        render_response=_refuse_client,
        stream_renderer=_refuse_client,
        render_error=_render_error,
        render_count=_refuse_client,
    ),
    provider=Provider(
        path=_endpoint_path,
        render_request=_refuse_translation,
        parse_response=_refuse_translation,
        stream_parser=_refuse_translation,
        parse_error=_parse_error,
        parse_count=_refuse_translation,
    ),
    serves_clients=False,
)
