"""The requests that an Ollama refuses, with the error messages."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from ollama._types import ChatRequest, EmbedRequest, GenerateRequest
from pydantic import ValidationError

from tests.fakes.script import Refusal

_SHAPES: dict[str, type[Any]] = {
    "/api/chat": ChatRequest,
    "/api/generate": GenerateRequest,
    "/api/embed": EmbedRequest,
}
# Fields of the service that the SDK's types do not have (yet).
_MORE = {"shift", "truncate", "min_p"}
_ROLES = {"system", "user", "assistant", "tool"}


def invalid_request(message: str, status: int = 400) -> Refusal:
    """Return a refusal in Ollama's format."""
    return Refusal(status, "", message)


def refusal(path: str, body: dict[str, Any], thinks: tuple[str, ...] = ()) -> Refusal | None:
    """Return the server's refusal of this body; None if it is valid.

    `thinks` are the name prefixes of models that accept `think`; empty means all.
    """
    shape = _SHAPES[path]
    try:
        shape.model_validate(body, strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        return invalid_request(f"json: cannot unmarshal {first['loc']}: {first['msg']}")
    unknown = set(body) - set(shape.model_fields) - _MORE
    if unknown:
        return invalid_request(f"unknown field {sorted(unknown)}")
    # `Options.FromMap` of Ollama's server skips null.
    options = _options({k: v for k, v in (body.get("options") or {}).items() if v is not None})
    if options is not None:
        return options
    if body.get("think") and thinks and not body["model"].startswith(thinks):
        return invalid_request(f'"{body["model"]}" does not support thinking')
    for message in body.get("messages") or ():
        if (rendered_message := _message(message)) is not None:
            return rendered_message
    return None


def _options(options: dict[str, Any]) -> Refusal | None:
    for name in ("num_predict", "num_ctx", "seed", "top_k"):
        if type(options.get(name, 0)) is not int:
            return invalid_request(f'option "{name}" must be of type integer')
    for name in ("temperature", "top_p", "repeat_penalty"):
        if type(options.get(name, 0)) not in {int, float}:
            return invalid_request(f'option "{name}" must be of type float32')
    if not isinstance(options.get("stop", []), list):
        return invalid_request('option "stop" must be of type array')
    return None


def _message(message: dict[str, Any]) -> Refusal | None:
    if message.get("role") not in _ROLES:
        return invalid_request("invalid role")
    if not isinstance(message.get("content", ""), str):
        return invalid_request(
            "json: cannot unmarshal array into Go struct field Message.content of type string"
        )
    known_fields = {"role", "content", "thinking", "images", "tool_calls", "tool_name"}
    if unknown := set(message) - known_fields:
        return invalid_request(f"unknown field {sorted(unknown)}")
    for call in message.get("tool_calls") or ():
        if not isinstance(call["function"]["arguments"], dict):
            return invalid_request("json: cannot unmarshal string into Go struct field .arguments")
    for image in message.get("images") or ():
        try:
            base64.b64decode(image, validate=True)
        except (binascii.Error, ValueError):
            return invalid_request("illegal base64 data at input byte 0")
    return None
