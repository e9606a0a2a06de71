"""The requests that OpenAI's Responses refuses, with the error messages."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

from openai.types.responses.input_token_count_params import InputTokenCountParams
from openai.types.responses.response_create_params import ResponseCreateParamsBase

from tests.fakes.openai_rules import (
    array_without_items,
    invalid_request,
    output_schema_problem,
    strict_schema_problem,
)
from tests.fakes.script import Refusal
from tests.fakes.shape import Problem, problems

_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")
_REASONING = re.compile(r"^(o\d|gpt-[5-9]|codex)")
_LEAST_OUTPUT = 16
# How the fake's own reasoning state begins; anything else is not its own.
STATE = "gAAAA-"
_CALLS = {
    "function_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
}
# Fields of items that the service lets pass though its types do not name them.
_ECHOED = {"status", "logprobs", "parsed", "parsed_arguments"}


def state_of(thought: str) -> str:
    """Return the encrypted state of a reasoning text of this server."""
    return f"{STATE}{thought.encode().hex()}.{hashlib.sha256(thought.encode()).hexdigest()[:8]}"


def is_own(state: str) -> bool:
    """Return whether this server created a state, and it is unchanged."""
    try:
        text = bytes.fromhex(state.removeprefix(STATE).partition(".")[0]).decode()
    except ValueError:
        return False
    return state == state_of(text)


def refusal(body: dict[str, Any]) -> Refusal | None:
    """Return the service's refusal of this body; None if it is valid."""
    checks = (_missing_parameter, _shape, _ranges, _model, _tools, _output, _calls, _reasoning)
    return next((problem for check in checks if (problem := check(body))), None)


def count_refusal(body: dict[str, Any]) -> Refusal | None:
    """Return the refusal of a token count."""
    return _first_refusal(problems(body, InputTokenCountParams)) or _calls(body)


def items_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the input as items."""
    input_items = body.get("input")
    if isinstance(input_items, str):
        return [{"type": "message", "role": "user", "content": input_items}]
    return [{"type": "message", **item} if "role" in item else item for item in input_items or []]


def _missing_parameter(body: dict[str, Any]) -> Refusal | None:
    if not isinstance(body.get("model"), str):
        return invalid_request(
            "Missing required parameter: 'model'.", "model", "missing_required_parameter"
        )
    previous = body.get("previous_response_id")
    if previous is not None:
        message = f"Previous response with id '{previous}' not found."
        return invalid_request(message, "previous_response_id", "previous_response_not_found")
    if not body.get("input"):
        message = "One of 'input' or 'previous_response_id' or 'prompt' must be provided."
        return invalid_request(message, None, "missing_required_parameter")
    return None


def _shape(body: dict[str, Any]) -> Refusal | None:
    remaining_fields = {k: v for k, v in body.items() if k != "stream"}
    if not isinstance(body.get("stream"), bool | None):
        return invalid_request(
            "Invalid type for 'stream': expected a boolean.", "stream", "invalid_type"
        )
    return _first_refusal(
        problems(_with_required_fields(remaining_fields), ResponseCreateParamsBase)
    )


def _with_required_fields(body: dict[str, Any]) -> dict[str, Any]:
    """Return the body as its types require it; the service is less strict than the types.

    It allows missing fields of tools, of images (`detail`, as in OpenAI's own examples) and of
    answers that a client wrote itself (openai/openai-java#585, vercel/ai#20828), and accepts what OpenAI's own Codex sends:
    `client_metadata`, an id on each message, and `content: null` in a reasoning item.
    """
    input_items, tools = body.get("input"), body.get("tools")
    body = {name: value for name, value in body.items() if name != "client_metadata"}
    if isinstance(input_items, list):
        body["input"] = [_answered_item(item) for item in input_items]
    if isinstance(tools, list):
        expected = {"strict": None, "parameters": None}
        body["tools"] = [_nested_fields(expected, tool, "function") for tool in tools]
    return body


def _answered_item(item: Any) -> Any:
    content = item.get("content", ()) if isinstance(item, dict) else ()
    if content is None and item.get("type") == "reasoning":
        return {name: value for name, value in item.items() if name != "content"}
    if not isinstance(content, list):
        return item
    if item.get("role") != "assistant":
        content = [_nested_fields({"detail": "auto"}, part, "input_image") for part in content]
        item = {**item, "content": content} if "content" in item else item
        return {k: v for k, v in item.items() if k != "id"} if "role" in item else item
    parts = [_nested_fields({"annotations": []}, part, "output_text") for part in content]
    return {"type": "message", "id": "msg_1", "status": "completed", **item, "content": parts}


def _nested_fields(fields: dict[str, Any], node: Any, kind: str) -> Any:
    fits = isinstance(node, dict) and node.get("type") == kind
    return {**fields, **node} if fits else node


def _first_refusal(actual_problems: list[Problem]) -> Refusal | None:
    nones = (p for p in actual_problems if not (p.kind == "extra" and p.path[-1] in _ECHOED))
    problem = next(nones, None)
    if problem is None:
        return None
    path = problem.bracketed()
    if problem.kind == "extra":
        return invalid_request(f"Unknown parameter: '{path}'.", path, "unknown_parameter")
    if problem.kind == "missing":
        return invalid_request(
            f"Missing required parameter: '{path}'.", path, "missing_required_parameter"
        )
    word = "value" if problem.kind == "value" else "type"
    return invalid_request(
        f"Invalid {word} for '{path}': {problem.detail}.", path, f"invalid_{word}"
    )


def _ranges(body: dict[str, Any]) -> Refusal | None:
    for name, low, high in (("temperature", 0, 2), ("top_p", 0, 1), ("top_logprobs", 0, 20)):
        value = body.get(name)
        if value is not None and not low <= value <= high:
            return invalid_request(f"Invalid '{name}': must be between {low} and {high}.", name)
    limit = body.get("max_output_tokens")
    if limit is not None and limit < _LEAST_OUTPUT:
        message = (
            "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= "
            f"{_LEAST_OUTPUT}, but got {limit} instead."
        )
        return invalid_request(message, "max_output_tokens", "integer_below_min_value")
    metadata = body.get("metadata") or {}
    if len(metadata) > 16 or any(len(k) > 64 or len(v) > 512 for k, v in metadata.items()):
        return invalid_request("Invalid 'metadata': too many or too long.", "metadata")
    for name, max_chars in (("safety_identifier", 128), ("user", 128), ("prompt_cache_key", 64)):
        if len(body.get(name) or "") > max_chars:
            message = f"Invalid '{name}': string too long. Expected at most {max_chars} characters."
            return invalid_request(message, name, "string_above_max_length")
    return None


def _model(body: dict[str, Any]) -> Refusal | None:
    model, reasoning = body["model"], body.get("reasoning") or {}
    effort = reasoning.get("effort")
    if not _REASONING.match(model):
        if reasoning:
            message = "Unsupported parameter: 'reasoning.effort' is not supported with this model."
            return invalid_request(message, "reasoning.effort", "unsupported_parameter")
        return None
    if effort == "minimal" and not model.startswith("gpt-5-") and model != "gpt-5":
        message = f"Unsupported value: 'minimal' is not supported with {model}."
        return invalid_request(message, "reasoning.effort", "unsupported_value")
    if effort == "none":
        return None
    for name in ("temperature", "top_p"):
        if body.get(name) not in {None, 1}:
            message = f"Unsupported parameter: '{name}' is not supported with this model."
            return invalid_request(message, name, "unsupported_parameter")
    return None


def _functions(tools: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for tool in tools:
        if tool["type"] == "namespace":
            yield from _functions(tool["tools"])
        elif tool["type"] in {"function", "custom"}:
            yield tool


def _tools(body: dict[str, Any]) -> Refusal | None:
    tools = list(_functions(body.get("tools") or []))
    for number, tool in enumerate(tools):
        path = f"tools[{number}].name"
        if not _NAME.match(tool["name"]):
            message = f"Invalid '{path}': string does not match pattern '^[a-zA-Z0-9_-]+$'."
            return invalid_request(message, path, "invalid_value")
        schema = tool.get("parameters")
        if schema and schema.get("type") != "object":
            message = f"Invalid schema for function '{tool['name']}': not of type object."
            return invalid_request(
                message, f"tools[{number}].parameters", "invalid_function_parameters"
            )
        reason = strict_schema_problem(schema or {}) if tool.get("strict") else None
        if reason := reason or array_without_items(schema):
            message = f"Invalid schema for function '{tool['name']}': {reason}"
            return invalid_request(
                message, f"tools[{number}].parameters", "invalid_function_parameters"
            )
    return _choice(body, {tool["name"] for tool in tools})


def _choice(body: dict[str, Any], names: set[str]) -> Refusal | None:
    choice = body.get("tool_choice")
    if choice is None:
        return None
    if choice == "required" and not body.get("tools"):
        return invalid_request(
            "Tool choice 'required' must be specified with 'tools' parameter.", "tool_choice"
        )
    if not isinstance(choice, dict):
        return None
    tools = choice["tools"] if choice["type"] == "allowed_tools" else [choice]
    for item in tools:
        if item["type"] in {"function", "custom"} and item["name"] not in names:
            message = f"Tool choice '{item['name']}' not found in 'tools' parameter."
            return invalid_request(message, "tool_choice")
    return None


def _output(body: dict[str, Any]) -> Refusal | None:
    form = (body.get("text") or {}).get("format") or {}
    instructions = str(body.get("input")) + str(body.get("instructions"))
    if form.get("type") == "json_object" and "json" not in instructions.lower():
        message = (
            "Response input messages must contain the word 'json' in some form to use "
            "'text.format' of type 'json_object'."
        )
        return invalid_request(message, "input")
    if form.get("type") != "json_schema":
        return None
    if not _NAME.match(form["name"]):
        return invalid_request("Invalid 'text.format.name'.", "text.format.name", "invalid_value")
    reason = output_schema_problem(form["schema"], strict=bool(form.get("strict")))
    if reason is None:
        return None
    message = f"Invalid schema for response_format '{form['name']}': {reason}"
    return invalid_request(message, "text.format.schema", "invalid_json_schema")


def _calls(body: dict[str, Any]) -> Refusal | None:
    """Return the refusal of results without a call before them, and of unanswered calls."""
    open_calls: dict[str, str] = {}
    for item in items_of(body):
        kind = item.get("type")
        if kind in _CALLS:
            open_calls[item["call_id"]] = _CALLS[kind]
        elif kind in _CALLS.values():
            expected = open_calls.pop(item["call_id"], None)
            if expected != kind:
                message = (
                    f"No tool call found for function call output with call_id {item['call_id']}."
                )
                return invalid_request(message, "input")
    for call_id in open_calls:
        return invalid_request(f"No tool output found for function call {call_id}.", "input")
    return None


def _reasoning(body: dict[str, Any]) -> Refusal | None:
    """Return the refusal of reasoning without its state or without its following item."""
    items = items_of(body)
    thought = False
    for index, item in enumerate(items):
        kind, own_id = item.get("type"), str(item.get("id"))
        if kind == "function_call" and own_id.startswith("fc_thought_") and not thought:
            message = (
                f"Item '{own_id}' of type 'function_call' was provided without its required "
                "'reasoning' item: 'rs_up_0'."
            )
            return invalid_request(message, "input")
        thought = kind == "reasoning" or (thought and kind in _CALLS)
        if kind != "reasoning":
            continue
        state = item.get("encrypted_content")
        if not state and body.get("store") is False:
            message = (
                f"Item with id '{item['id']}' not found. Items are not persisted when `store` is "
                "set to false. Try again with `store` set to true, or remove this item from your "
                "input."
            )
            return invalid_request(message, "input")
        if state and not is_own(state):
            message = "The encrypted content could not be verified."
            return invalid_request(message, None, "invalid_encrypted_content")
        after = items[index + 1] if index + 1 < len(items) else {}
        if after.get("role") != "assistant" and after.get("type") not in {
            *_CALLS,
            "reasoning",
            "web_search_call",
        }:
            message = (
                f"Item '{item['id']}' of type 'reasoning' was provided without its required "
                "following item."
            )
            return invalid_request(message, "input")
    return None
