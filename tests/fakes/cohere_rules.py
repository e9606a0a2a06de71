"""The requests that Cohere's chat refuses, by the SDK's types and the API reference."""

from __future__ import annotations

import inspect
import re
from typing import Any, Literal

import pydantic
from cohere.types import (
    ChatMessages,
    CitationOptions,
    Document,
    EmbedInput,
    ResponseFormatV2,
    Thinking,
    ToolV2,
)
from cohere.v2.client import V2Client

from tests.fakes.script import Refusal

Json = dict[str, Any]

REASONER, PLAIN = "command-a-reasoning-08-2025", "command-a-03-2025"
VISION = "command-a-vision-07-2025"
# It reasons and sees: https://docs.cohere.com/docs/command-a-plus
PLUS = "command-a-plus-05-2026"
MODELS = (REASONER, PLAIN, VISION, PLUS)
_FIELDS = set(inspect.signature(V2Client.chat).parameters) - {"self", "request_options"}
_TYPES: dict[str, Any] = {
    "messages": ChatMessages,
    "tools": list[ToolV2],
    "documents": list[str | Document],
    "citation_options": CitationOptions,
    "response_format": ResponseFormatV2,
    "thinking": Thinking,
    "max_tokens": int,
    "stop_sequences": list[str],
    "temperature": float,
    "seed": int,
    "frequency_penalty": float,
    "presence_penalty": float,
    "k": int,
    "p": float,
    "logprobs": bool,
    "strict_tools": bool,
    "priority": int,
    "stream": bool,
    "model": str,
}
_RANGES = {
    "temperature": (0, 100),
    "frequency_penalty": (0, 1),
    "presence_penalty": (0, 1),
    "k": (0, 500),
    "p": (0.01, 0.99),
    "priority": (0, 999),
}


EMBEDDERS = ("embed-v4.0", "embed-english-v3.0")
_EMBED_FIELDS = set(inspect.signature(V2Client.embed).parameters) - {"self", "request_options"}
_EMBED_TYPES: dict[str, Any] = {
    "model": str,
    "texts": list[str],
    "images": list[str],
    "inputs": list[EmbedInput],
    "max_tokens": int,
    "output_dimension": int,
    "embedding_types": list[Literal["float", "int8", "uint8", "binary", "ubinary", "base64"]],
    "truncate": Literal["NONE", "START", "END"],
    "priority": int,
    "input_type": Literal[
        "search_document", "search_query", "classification", "clustering", "image"
    ],
}
_PICTURE = re.compile(r"data:image/(?:jpeg|png|webp|gif);base64,[A-Za-z0-9+/]+=*")


def embed_refusal(body: Json) -> Refusal | None:
    """Return the service's refusal of an embedding request; None if it is valid."""
    return embed_type_refusal(body) or _embedded(body)


def embed_type_refusal(body: Json) -> Refusal | None:
    """Return the refusal of a field's type, whatever the model; None if all are valid."""
    return _field_refusal(body, _EMBED_FIELDS, _EMBED_TYPES)


def _embedded(body: Json) -> Refusal | None:
    names = [name for name in ("texts", "images", "inputs") if name in body]
    if "model" not in body or "input_type" not in body or len(names) != 1:
        return invalid_request("model, input_type and one of texts, images, inputs are required")
    inputs, newest = body[names[0]], body["model"] == EMBEDDERS[0]
    if not inputs:
        return invalid_request(f"invalid request: {names[0]} must not be empty")
    if len(inputs) > 96:
        return invalid_request(f"invalid request: number of {names[0]} must be at most 96")
    if (names == ["images"]) != (body["input_type"] == "image"):
        return invalid_request("invalid request: input_type image is for images, and they for it")
    if names == ["images"] and not newest and len(inputs) > 1:
        return invalid_request("invalid request: number of images must be at most 1")
    if any(not _PICTURE.fullmatch(image) for image in body.get("images", ())):
        return invalid_request("invalid request: an image must be a data URI")
    if not newest and ("output_dimension" in body or "inputs" in body):
        return invalid_request(
            "invalid request: output_dimension and inputs are for embed-v4 and newer"
        )
    if body.get("output_dimension", 256) not in {256, 512, 1024, 1536}:
        return invalid_request(
            "invalid request: output_dimension must be one of 256, 512, 1024, 1536"
        )
    return None


def invalid_request(message: str, status: int = 400) -> Refusal:
    """Return a refusal in Cohere's format."""
    return Refusal(status, "", message)


def refusal(body: Json) -> Refusal | None:
    """Return the service's refusal of this body; None if it is valid."""
    checks = (_fields, _ranges, _messages, _tools, _output)
    return next((problem for check in checks if (problem := check(body))), None)


def _fields(body: Json) -> Refusal | None:
    # The reference calls `stream` required and gives its default; clients leave it out.
    if "model" not in body or "messages" not in body:
        return invalid_request("model and messages are required")
    return _field_refusal(body, _FIELDS | {"stream"}, _TYPES)


def _field_refusal(body: Json, fields: set[str], types: Json) -> Refusal | None:
    """Return the refusal of a single field."""
    unknown = body.keys() - fields
    if unknown:
        return invalid_request(
            f"unknown field: parameter {sorted(unknown)[0]!r} is not a valid field", 422
        )
    for name, kind in types.items():
        if name not in body:
            continue
        try:
            parsed_value = pydantic.TypeAdapter(kind).validate_python(body[name], strict=False)
        except pydantic.ValidationError as error:
            return invalid_request(f"invalid request: {name}: {error}", 422)
        if extra := _extra(parsed_value, name):
            return invalid_request(f"unknown field: {extra}", 422)
    return None


def _extra(value: Any, position: str) -> str:
    """Return the path of a field that the SDK's types do not define."""
    if isinstance(value, pydantic.BaseModel):
        # `role` and `type` choose the class, and some classes do not name them again.
        extras = [name for name in value.model_extra or {} if name not in {"role", "type"}]
        if extras:
            return f"{position}.{extras[0]}"
        fields = ((name, getattr(value, name)) for name in type(value).model_fields)
        return next(
            (unknown_field for n, v in fields if (unknown_field := _extra(v, f"{position}.{n}"))),
            "",
        )
    if isinstance(value, list):
        unknown_field = (_extra(item, f"{position}[{i}]") for i, item in enumerate(value))
        return next((path for path in unknown_field if path), "")
    return ""


def _ranges(body: Json) -> Refusal | None:
    for name, (least, maximum) in _RANGES.items():
        if name in body and not least <= body[name] <= maximum:
            return invalid_request(
                f"invalid request: {name} must be between {least} and {maximum} inclusive."
            )
    if len(body.get("stop_sequences", [])) > 5:
        return invalid_request("invalid request: stop_sequences can have at most 5 items")
    budget = body.get("thinking", {}).get("token_budget")
    if budget is not None and budget < 1:
        return invalid_request("invalid request: token_budget must be positive")
    if body.get("thinking") and body["model"] not in {REASONER, PLUS}:
        return invalid_request("thinking is not supported by this model")
    return None


def _messages(body: Json) -> Refusal | None:
    messages = body["messages"]
    if body["model"] not in {VISION, PLUS} and any(map(_has_content, messages)):
        return invalid_request("invalid request: image content is not supported for this model")
    if not messages:
        return invalid_request("invalid request: message must be at least 1 token long")
    if messages[-1]["role"] not in {"user", "tool"}:
        return invalid_request("invalid request: the last message must be from the user or a tool")
    owed: list[str] = []
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            if message["tool_call_id"] not in owed:
                return invalid_request(
                    "invalid request: tool_call_id of a tool message is not owed"
                )
            owed.remove(message["tool_call_id"])
            if not message["content"]:
                return invalid_request("invalid request: a tool message must have content")
            continue
        if owed:
            return invalid_request(
                f"invalid request: messages[{index}]: results of {owed} are missing"
            )
        if message["role"] == "assistant":
            owed = [call["id"] for call in message.get("tool_calls") or ()]
            if "tool_plan" in message and not owed:
                return invalid_request("invalid request: tool_plan without tool_calls")
            if not owed and not message.get("content"):
                return invalid_request("invalid request: an assistant message must have content")
        elif not message["content"]:
            return invalid_request(f"invalid request: messages[{index}] must have content")
    return invalid_request("invalid request: results are missing") if owed else None


def _has_content(message: Json) -> bool:
    content = message.get("content")
    return isinstance(content, list) and any(item["type"] == "image_url" for item in content)


def _tools(body: Json) -> Refusal | None:
    tools = body.get("tools")
    if tools is not None and not tools:
        return invalid_request("invalid request: tools must not be empty")
    if "tool_choice" in body and not tools:
        return invalid_request("invalid request: tool_choice needs tools")
    if body.get("tool_choice", "NONE") not in {"REQUIRED", "NONE"}:
        return invalid_request("invalid request: tool_choice must be REQUIRED or NONE")
    names = [tool["function"]["name"] for tool in tools or ()]
    if len(names) != len(set(names)):
        return invalid_request("invalid request: tool names must be unique")
    return None


def _output(body: Json) -> Refusal | None:
    if "response_format" in body and (body.get("tools") or body.get("documents")):
        return invalid_request(
            "invalid request: response_format is not supported with tools or documents"
        )
    return None
