"""Requests: a client's body to the canonical request, and back for a provider."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.adaptation import Adaptation, approximated_field, dropped_field
from gateway.canon.embeddings import EmbedRequest, Input, check_no_images
from gateway.canon.errors import invalid
from gateway.canon.naming import LONG_USER_REASON, USER_LIMIT, shorten_user_id
from gateway.canon.traits import Traits
from gateway.dialects.base import RenderedRequest
from gateway.dialects.shared.fields import (
    enum_value,
    integer,
    passthrough_checker,
    required_text,
    text,
    wrong_type,
)

NAME = "openai_embeddings"
PATH = "/embeddings"
Json = dict[str, Any]


_PARSED_FIELDS = frozenset({"model", "input", "dimensions", "encoding_format", "user"})


def parse_embed(body: Json) -> EmbedRequest:
    """The canonical request. Raises GatewayError naming the field at fault."""
    extra = {k: v for k, v in body.items() if k not in _PARSED_FIELDS and v is not None}
    return EmbedRequest(
        model=required_text(body, "model"),
        inputs=_parse_inputs(body.get("input")),
        dimensions=integer(body, "dimensions", minimum=1, maximum=1_000_000),
        encoding=enum_value(body, "encoding_format", ("float", "base64")),  # type: ignore[arg-type]
        user_id=text(body, "user"),
        extra={NAME: extra} if extra else {},
        client_paths={"user_id": "user", "encoding": "encoding_format"},
    )


def _parse_inputs(value: Any) -> tuple[Input, ...]:
    """The inputs: one or more texts, or the token ids of one or more texts."""
    if type(value) is str:
        return (value,)
    if type(value) is not list:
        if value is None:
            raise invalid("input is required and must be a string or a list of strings", "input")
        raise wrong_type("input", "a string or a list", value)
    if not value:
        raise invalid("input must contain at least one string", "input")
    if type(value[0]) is int:
        return (_parse_token_ids(value, "input"),)
    return tuple(_parse_input(item, f"input[{index}]") for index, item in enumerate(value))


def _parse_input(item: Any, path: str) -> Input:
    if type(item) is str:
        return item
    if type(item) is list:
        return _parse_token_ids(item, path)
    raise wrong_type(path, "a string or a list of tokens", item)


def _parse_token_ids(value: list[Any], path: str) -> tuple[int, ...]:
    for index, token in enumerate(value):
        if type(token) is not int:
            raise wrong_type(f"{path}[{index}]", "a token's number", token)
    return tuple(value)


def render_embed(request: EmbedRequest, traits: Traits) -> RenderedRequest:
    """The JSON to send and what it could not express. Vectors are requested as numbers."""
    if request.client_path("input") != "input":
        # OpenAI's clients may send such texts to servers that read them.
        check_no_images(request, "the provider")
    body: Json = {"model": traits.model or request.model, "input": list(request.inputs)}
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    report: list[Adaptation] = []
    if request.user_id is not None and traits.user_field != "none":
        body["user"] = request.user_id
        if len(request.user_id) > USER_LIMIT:
            body["user"] = shorten_user_id(request.user_id, USER_LIMIT)
            report.append(approximated_field(request.client_path("user_id"), LONG_USER_REASON))
    elif request.user_id is not None:
        report.append(dropped_field(request.client_path("user_id"), "no equivalent"))
    report += [
        dropped_field(request.client_path(name), "no equivalent")
        for name in ("truncate", "task")
        if getattr(request, name) is not None
    ]
    for dialect, fields in request.extra.items():
        for key, value in fields.items():
            if dialect == NAME:
                body.setdefault(key, value)
            else:
                report.append(dropped_field(key, "no equivalent"))
    return RenderedRequest(body=body, report=tuple(report))


# --- the schema of a request that passes through --------------------------------------------------


class PassthroughSchema(msgspec.Struct):
    """The fields whose types are fixed."""

    input: str | list[Any]
    dimensions: int | None = None
    encoding_format: str | None = None
    user: str | None = None


check_passthrough = passthrough_checker(PassthroughSchema)
