"""A request for vectors, both ways."""

from __future__ import annotations

from typing import Any

from gateway.canon.adaptation import Adaptation, dropped
from gateway.canon.embeddings import EmbedRequest, Input
from gateway.canon.errors import invalid
from gateway.canon.traits import Traits
from gateway.dialects.base import Rendered
from gateway.dialects.fields import needed_text, one_of, text, whole, wrong
from gateway.dialects.openai_embeddings.names import NAME, Json

_READ = frozenset({"model", "input", "dimensions", "encoding_format", "user"})


def parse_embed(body: Json) -> EmbedRequest:
    """The canonical request. Raises GatewayError naming the field at fault."""
    extra = {k: v for k, v in body.items() if k not in _READ and v is not None}
    return EmbedRequest(
        model=needed_text(body, "model"),
        inputs=_inputs(body.get("input")),
        dimensions=whole(body, "dimensions", least=1, most=1_000_000),
        encoding=one_of(body, "encoding_format", ("float", "base64")),  # type: ignore[arg-type]
        user_id=text(body, "user"),
        extra={NAME: extra} if extra else {},
        at={"user_id": "user", "encoding": "encoding_format"},
    )


def _inputs(value: Any) -> tuple[Input, ...]:
    """The inputs: a text, texts, the tokens of one text, or of several."""
    if type(value) is str:
        return (value,)
    if type(value) is not list:
        if value is None:
            raise invalid("input is required: give a text or a list of texts", "input")
        raise wrong("input", "a string or a list", value)
    if not value:
        raise invalid("input must hold at least one text", "input")
    if type(value[0]) is int:
        return (_tokens(value, "input"),)
    return tuple(_input(item, f"input[{place}]") for place, item in enumerate(value))


def _input(item: Any, at: str) -> Input:
    if type(item) is str:
        return item
    if type(item) is list:
        return _tokens(item, at)
    raise wrong(at, "a string or a list of tokens", item)


def _tokens(value: list[Any], at: str) -> tuple[int, ...]:
    for place, token in enumerate(value):
        if type(token) is not int:
            raise wrong(f"{at}[{place}]", "a token's number", token)
    return tuple(value)


def render_embed(request: EmbedRequest, traits: Traits) -> Rendered:
    """The JSON to send and what it could not carry. Vectors come as plain numbers."""
    body: Json = {"model": traits.model or request.model, "input": list(request.inputs)}
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    report: list[Adaptation] = []
    if request.user_id is not None and traits.user_field != "none":
        body["user"] = request.user_id
    elif request.user_id is not None:
        report.append(dropped(request.path("user_id"), "no equivalent"))
    report += [
        dropped(request.path(name), "no equivalent")
        for name in ("truncate", "task")
        if getattr(request, name) is not None
    ]
    for dialect, fields in request.extra.items():
        for key, value in fields.items():
            if dialect == NAME:
                body.setdefault(key, value)
            else:
                report.append(dropped(key, "no equivalent"))
    return Rendered(body=body, report=tuple(report))
