"""Requests of cases in OpenAI's Chat format, and their responses."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec

from console.evaluate.definition import Case, Definition, case_messages
from console.evaluate.responses import Call, ModelResponse

Json = dict[str, Any]

DIALECT = "openai_chat"
PATH = "/v1/chat/completions"


def chat_body(definition: Definition, case: Case, model: str) -> Json:
    """The request of a case to a model. Raises MissingVariable."""
    body: Json = {
        "model": model,
        "messages": case_messages(definition, case),
        **definition.params,
    }
    if definition.tools:
        body["tools"] = [*definition.tools]
    if definition.response_schema is not None:
        body["response_format"] = schema_format("response", definition.response_schema)
    return body


def schema_format(name: str, schema: Json) -> Json:
    """`response_format` for a JSON Schema; not strict, since that forbids most schemas."""
    return {
        "type": "json_schema",
        "json_schema": {"name": name, "schema": schema, "strict": False},
    }


def read_response(content: bytes) -> ModelResponse:
    """The response in the body of a Chat response; times and cost are added by the caller."""
    try:
        body = msgspec.json.decode(content, type=dict[str, Any])
        message = body["choices"][0]["message"]
        text = message.get("content") or message.get("refusal") or ""
        calls = tuple(_read_call(call) for call in message.get("tool_calls") or ())
    except (msgspec.MsgspecError, LookupError, TypeError, AttributeError):
        return ModelResponse(error="the response is not a chat completion")
    usage = body.get("usage") or {}
    return ModelResponse(
        text=text if isinstance(text, str) else "",
        calls=calls,
        input_tokens=usage.get("prompt_tokens"),
        output_tokens=usage.get("completion_tokens"),
    )


def _read_call(call: Json) -> Call:
    function = call["function"]
    arguments: Any = function.get("arguments") or "{}"
    with contextlib.suppress(msgspec.MsgspecError, UnicodeError, RecursionError):
        arguments = msgspec.json.decode(arguments)
    return Call(name=function["name"], arguments=arguments)


def read_error(content: bytes, status: int) -> str:
    """The message of an error response, with its HTTP status."""
    try:
        error = msgspec.json.decode(content, type=dict[str, Any])["error"]
        message = error["message"] if isinstance(error, dict) else str(error)
    except (msgspec.MsgspecError, LookupError, TypeError):
        message = "no error message"
    return f"HTTP {status}: {message}"
