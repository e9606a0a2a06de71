"""The requests that OpenAI's Chat Completions refuses, with the error messages."""

from __future__ import annotations

import re
from typing import Any

from openai.types.chat.completion_create_params import CompletionCreateParamsBase

from tests.fakes.script import Refusal
from tests.fakes.shape import Problem, problems

_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")
_FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
_REASONING = re.compile(r"^(o\d|gpt-[5-9])")
# Families that take function tools on Chat only with effort `none`.
_RESPONSES_ONLY = re.compile(r"^gpt-(5\.[4-9]|[6-9])")
# Fields of responses that SDKs send back in the history, and that the service lets pass.
_ECHOED = {"annotations", "index", "parsed", "parsed_arguments", "provider_specific_fields"}
_RANGES = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "frequency_penalty": (-2, 2),
    "presence_penalty": (-2, 2),
    "top_logprobs": (0, 20),
    "n": (1, 128),
}


def invalid_request(message: str, param: str | None = None, code: str | None = None) -> Refusal:
    """Return a 400 in OpenAI's format."""
    return Refusal(400, "invalid_request_error", message, code, param)


def refusal(body: dict[str, Any]) -> Refusal | None:
    """Return the service's refusal of this body; None if it is valid."""
    checks = (_shape, _ranges, _model, _tools, _options, _output, _messages)
    return next((problem for check in checks if (problem := check(body))), None)


# Preset -> what a provider of OpenAI's format refuses: fields of its own choice, and
# fields by model (console.groq.com/docs/openai, docs.x.ai/docs/guides/reasoning).
_UNKNOWN_FIELDS = {
    "openai": ("top_k", "min_p", "repetition_penalty"),
    "azure_openai": ("top_k", "min_p", "repetition_penalty"),
    "azure-openai-v1": ("top_k", "min_p", "repetition_penalty"),
    "groq": (
        *("top_k", "min_p", "repetition_penalty", "logit_bias", "logprobs", "top_logprobs"),
        *("prompt_cache_key", "safety_identifier", "verbosity", "prediction", "modalities"),
    ),
    "cerebras": ("top_k", "min_p", "repetition_penalty"),
}
# Presets that reject the reasoning fields of others in messages.
_STRICT_MESSAGES = ("groq", "cerebras")
_BY_MODEL = {
    "xai": (
        (r"grok-4(?!\.[3-9])", ("presence_penalty", "frequency_penalty", "stop")),
        (r"grok-(?:4(?!\.[3-9])|3(?!-mini)|2)", ("reasoning_effort",)),
    ),
    "groq": ((r"(?:meta-llama/)?llama", ("reasoning_effort",)),),
    "cerebras": ((r"llama", ("reasoning_effort",)),),
}


def compatible_refusal(preset: str, body: dict[str, Any]) -> Refusal | None:
    """Return an OpenAI-compatible provider's refusal of the parameters of this body."""
    model = body["model"]
    for name in _UNKNOWN_FIELDS.get(preset, ()):
        if name in body:
            return invalid_request(f"property '{name}' is unsupported", name)
    for number, message in enumerate(body["messages"] if preset in _STRICT_MESSAGES else ()):
        for name in ("reasoning_content", "reasoning_details"):
            if name in message:
                return invalid_request(f"'messages.{number}' : property '{name}' is unsupported")
    for pattern, names in _BY_MODEL.get(preset, ()):
        for name in names:
            if re.match(pattern, model) and body.get(name) is not None:
                return invalid_request(f"Model {model} does not support parameter {name}.", name)
    return refusal(body) if preset in {"openai", "azure_openai", "azure-openai-v1"} else None


def deepseek_refusal(body: dict[str, Any]) -> Refusal | None:
    """Return DeepSeek's refusal of this body; it ignores unknown fields."""
    known_fields = {"stream", *CompletionCreateParamsBase.__annotations__}
    plain = {k: v for k, v in body.items() if k in known_fields}
    plain.pop("reasoning_effort", None)
    if isinstance(plain.get("stop"), list) and len(plain["stop"]) <= 16:
        plain.pop("stop")  # four times as many as OpenAI takes
    for message in plain.get("messages") or ():
        if isinstance(message.get("content"), list):
            return invalid_request(
                "Failed to deserialize: invalid type: sequence, expected a string"
            )
    stripped = [_without_thoughts(m) for m in plain.get("messages") or ()]
    refusal_ = refusal({**plain, "messages": stripped})
    if refusal_ is not None:
        return refusal_
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        return invalid_request("This response_format type is unavailable now")
    effort = body.get("reasoning_effort")
    if effort not in {None, "low", "medium", "high", "max", "xhigh", "minimal"}:
        return invalid_request(f"reasoning_effort: unknown variant `{effort}`")
    return _thoughts(body)


def _without_thoughts(message: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in message.items() if k not in {"reasoning_content", "prefix"}}


def _thoughts(body: dict[str, Any]) -> Refusal | None:
    thinks = (body.get("thinking") or {}).get("type", "enabled") == "enabled"
    if not thinks or body["model"] == "deepseek-chat":
        return None
    for message in body["messages"]:
        has_calls = message["role"] == "assistant" and message.get("tool_calls")
        if has_calls and not message.get("reasoning_content"):
            return invalid_request(
                "The reasoning_content in the thinking mode must be passed back to the API"
            )
    return None


def _shape(body: dict[str, Any]) -> Refusal | None:
    allowed = {"stream": bool}
    remaining_fields = {k: v for k, v in body.items() if k not in allowed}
    if not isinstance(body.get("stream"), bool | None):
        return invalid_request(
            "Invalid type for 'stream': expected a boolean.", "stream", "invalid_type"
        )
    found_problems = [
        problem
        for problem in problems(remaining_fields, CompletionCreateParamsBase)
        if not (problem.kind == "extra" and _is_accepted(problem.path, body))
    ]
    return _to_refusal(found_problems[0]) if found_problems else None


def _is_accepted(path: tuple[str | int, ...], body: dict[str, Any]) -> bool:
    """Whether the service accepts this field that its types do not have.

    OpenAI's own examples sent a tool's `name` with its result (openai-cookbook, "How to call
    functions with chat models").
    """
    if path[-1] == "name" and len(path) == 3 and path[0] == "messages":
        return bool(body["messages"][path[1]].get("role") == "tool")
    return path[-1] in _ECHOED


def _to_refusal(problem: Problem) -> Refusal:
    path = problem.bracketed()
    if problem.kind == "extra" and len(problem.path) == 1:
        return invalid_request(f"Unrecognized request argument supplied: {path}")
    if problem.kind == "extra":
        return invalid_request(f"Unknown parameter: '{path}'.", path, "unknown_parameter")
    if problem.kind == "missing":
        return invalid_request(
            f"Missing required parameter: '{path}'.", path, "missing_required_parameter"
        )
    if problem.kind == "value":
        return invalid_request(
            f"Invalid value for '{path}': {problem.detail}.", path, "invalid_value"
        )
    return invalid_request(f"Invalid type for '{path}': {problem.detail}.", path, "invalid_type")


def _ranges(body: dict[str, Any]) -> Refusal | None:
    for name, (low, high) in _RANGES.items():
        value = body.get(name)
        if value is not None and not low <= value <= high:
            message = f"Invalid '{name}': must be between {low} and {high}."
            return invalid_request(message, name, "integer_above_max_value")
    for name in ("max_tokens", "max_completion_tokens"):
        if body.get(name) is not None and body[name] < 1:
            return invalid_request(f"Invalid '{name}': too small.", name, "integer_below_min_value")
    if "max_tokens" in body and "max_completion_tokens" in body:
        return invalid_request(
            "Setting 'max_tokens' and 'max_completion_tokens' at once is not supported."
        )
    stop = body.get("stop")
    if isinstance(stop, list) and len(stop) > 4:
        message = f"Invalid 'stop': array too long. Expected at most 4, got {len(stop)}."
        return invalid_request(message, "stop", "array_above_max_length")
    return None


def _unsupported(name: str, instead: str = "") -> Refusal:
    message = f"Unsupported parameter: '{name}' is not supported with this model.{instead}"
    return invalid_request(message, name, "unsupported_parameter")


def _model(body: dict[str, Any]) -> Refusal | None:
    model, effort = body["model"], body.get("reasoning_effort")
    if not _REASONING.match(model):
        if effort is not None:
            return invalid_request("Unrecognized request argument supplied: reasoning_effort")
        return None
    if "max_tokens" in body:
        return _unsupported("max_tokens", " Use 'max_completion_tokens' instead.")
    if effort == "minimal" and not model.startswith("gpt-5-") and model != "gpt-5":
        return invalid_request(
            f"Unsupported value: 'reasoning_effort' does not support 'minimal' with {model}.",
            "reasoning_effort",
            "unsupported_value",
        )
    free = effort == "none" and model.startswith("gpt-5.")
    if free:
        return None
    if effort == "none":
        message = "Unsupported value: 'reasoning_effort' does not support 'none'."
        return invalid_request(message, "reasoning_effort", "unsupported_value")
    for name in ("temperature", "top_p"):
        if body.get(name) not in {None, 1}:
            message = f"Unsupported value: '{name}' does not support {body[name]} with this model."
            return invalid_request(message, name, "unsupported_value")
    unsupported_fields = ("stop", "logprobs", "frequency_penalty", "presence_penalty", "logit_bias")
    return next((_unsupported(name) for name in unsupported_fields if body.get(name)), None)


def _tools(body: dict[str, Any]) -> Refusal | None:
    tools = body.get("tools")
    if tools is None:
        for name in ("tool_choice", "parallel_tool_calls"):
            if body.get(name) is not None:
                return invalid_request(
                    f"'{name}' is only allowed when 'tools' are specified.", name
                )
        return None
    if not tools:
        return invalid_request("[] is too short - 'tools'", "tools", "empty_array")
    for number, tool in enumerate(tools):
        name = (tool.get("function") or tool.get("custom"))["name"]
        if not _NAME.match(name):
            path = f"tools[{number}].function.name"
            message = f"Invalid '{path}': string does not match pattern '^[a-zA-Z0-9_-]+$'."
            return invalid_request(message, path, "invalid_value")
        schema = (tool.get("function") or {}).get("parameters")
        if schema is not None and (refusal_ := _parameters(schema, name)):
            return refusal_
    choice = body.get("tool_choice")
    expected = choice.get("function", {}).get("name") if isinstance(choice, dict) else None
    names = [(tool.get("function") or tool.get("custom"))["name"] for tool in tools]
    if expected is not None and expected not in names:
        return invalid_request(
            f"Tool choice '{expected}' not found in 'tools' parameter.", "tool_choice"
        )
    if _RESPONSES_ONLY.match(body["model"]) and body.get("reasoning_effort") != "none":
        return invalid_request(
            f"Function tools with reasoning_effort are not supported for {body['model']} in "
            "/v1/chat/completions. To use function tools, use /v1/responses or set "
            "reasoning_effort to 'none'.",
            "reasoning_effort",
        )
    return None


def _parameters(schema: dict[str, Any], name: str) -> Refusal | None:
    for key in ("oneOf", "anyOf", "allOf", "enum", "not"):
        if key in schema:
            return invalid_request(
                f"Invalid schema for function '{name}': schema must have type 'object' and not "
                "have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level.",
                "tools[0].function.parameters",
                "invalid_function_parameters",
            )
    if schema and schema.get("type") != "object":
        return invalid_request(
            f"Invalid schema for function '{name}': schema must be a JSON Schema of "
            f"'type: \"object\"', got 'type: \"{schema.get('type')}\"'.",
            "tools[0].function.parameters",
            "invalid_function_parameters",
        )
    if (reason := array_without_items(schema)) is not None:
        message = f"Invalid schema for function '{name}': {reason}"
        return invalid_request(
            message, "tools[0].function.parameters", "invalid_function_parameters"
        )
    return None


def _options(body: dict[str, Any]) -> Refusal | None:
    if body.get("stream_options") is not None and not body.get("stream"):
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        return invalid_request(message, "stream_options")
    if body.get("top_logprobs") is not None and not body.get("logprobs"):
        return invalid_request(
            "'top_logprobs' is only allowed when 'logprobs' is enabled.", "top_logprobs"
        )
    metadata = body.get("metadata") or {}
    if len(metadata) > 16 or any(len(k) > 64 or len(v) > 512 for k, v in metadata.items()):
        return invalid_request("Invalid 'metadata': too many or too long.", "metadata")
    if metadata and body.get("store") is not True:
        message = "The 'metadata' parameter is only allowed when 'store' is enabled."
        return invalid_request(message, "metadata")
    for name, max_chars in (("safety_identifier", 64), ("user", 64), ("prompt_cache_key", 64)):
        if len(body.get(name) or "") > max_chars:
            message = f"Invalid '{name}': string too long. Expected at most {max_chars} characters."
            return invalid_request(message, name, "string_above_max_length")
    return None


def _output(body: dict[str, Any]) -> Refusal | None:
    form = body.get("response_format") or {}
    kind = form.get("type")
    if kind == "json_object" and "json" not in str(body["messages"]).lower():
        return invalid_request(
            "'messages' must contain the word 'json' in some form, to use 'response_format' "
            "of type 'json_object'.",
            "messages",
        )
    if kind != "json_schema":
        return None
    named = form["json_schema"]
    if not _NAME.match(named["name"]):
        return invalid_request("Invalid 'response_format.json_schema.name'.", "response_format")
    reason = output_schema_problem(named.get("schema") or {}, strict=bool(named.get("strict")))
    if reason is None:
        return None
    return invalid_request(
        f"Invalid schema for response_format '{named['name']}': {reason}", "response_format"
    )


def output_schema_problem(schema: dict[str, Any], *, strict: bool) -> str | None:
    """Return the refusal of an output's schema; None if it is valid."""
    kind = schema.get("type")
    if kind != "object":
        kind_name = f'"{kind}"' if kind else '"None"'
        return f"schema must be a JSON Schema of 'type: \"object\"', got 'type: {kind_name}'."
    return strict_schema_problem(schema) if strict else None


def strict_schema_problem(schema: Any, path: str = "()") -> str | None:
    """Return strict mode's refusal of a schema; None if it is valid."""
    if isinstance(schema, list):
        schema_problems = (strict_schema_problem(item, path) for item in schema)
        return next((reason for reason in schema_problems if reason), None)
    if not isinstance(schema, dict):
        return None
    properties = schema.get("properties")
    if schema.get("type") == "object" or isinstance(properties, dict):
        if schema.get("additionalProperties") is not False:
            return (
                f"In context={path}, 'additionalProperties' is required to be supplied and false."
            )
        missing = set(properties or {}) - set(schema.get("required") or ())
        if missing:
            return f"In context={path}, 'required' must include every key. Missing {missing}."
    for keyword in ("allOf", "not", "if", "then", "else", "oneOf"):
        if keyword in schema:
            return f"In context={path}, '{keyword}' is not permitted."
    if (format_ := schema.get("format")) is not None and format_ not in _FORMATS:
        return f"In context={path}, '{format_}' is not a valid format."
    if "$ref" in schema and (siblings := set(schema) - {"$ref", "$defs"}):
        return f"In context={path}, $ref cannot have keywords {siblings}."
    if not schema.keys() & {"type", "$ref", "anyOf", "enum", "const"}:
        return f"In context={path}, schema must have a 'type' key."
    parts = [*(properties or {}).values(), *(schema.get("$defs") or {}).values()]
    parts += [schema[name] for name in ("items", "anyOf") if name in schema]
    return strict_schema_problem(parts, f"{path}.properties")


def array_without_items(schema: Any, path: str = "()") -> str | None:
    """Return the refusal of a schema with an array whose items are not described, strict or not."""
    if isinstance(schema, list):
        return next(
            (reason for part in schema if (reason := array_without_items(part, path))), None
        )
    if not isinstance(schema, dict):
        return None
    kind = schema.get("type")
    if "items" not in schema and (kind == "array" or (isinstance(kind, list) and "array" in kind)):
        return f"In context={path}, array schema missing items."
    properties = schema.get("properties")
    parts = list(properties.values()) if isinstance(properties, dict) else []
    parts += [schema[name] for name in ("items", "anyOf", "oneOf") if name in schema]
    return array_without_items(parts, f"{path}.properties")


def _messages(body: dict[str, Any]) -> Refusal | None:
    messages = body["messages"]
    if not messages:
        return invalid_request("[] is too short - 'messages'", "messages", "empty_array")
    waiting: list[str] = []
    for number, message in enumerate(messages):
        path = f"messages[{number}]"
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                return invalid_request(
                    "Invalid parameter: messages with role 'tool' must be a response to a "
                    "preceeding message with 'tool_calls'.",
                    f"{path}.role",
                )
            waiting.remove(message["tool_call_id"])
            continue
        if waiting:
            return _unanswered_calls(waiting, path)
        if refusal_ := _message_refusal(message, path):
            return refusal_
        waiting = [call["id"] for call in message.get("tool_calls") or ()]
    return _unanswered_calls(waiting, f"messages[{len(messages)}]") if waiting else None


def _unanswered_calls(waiting: list[str], path: str) -> Refusal:
    return invalid_request(
        "An assistant message with 'tool_calls' must be followed by tool messages responding "
        "to each 'tool_call_id'. The following tool_call_ids did not have response messages: "
        f"{', '.join(waiting)}",
        f"{path}.role",
    )


def _message_refusal(message: dict[str, Any], path: str) -> Refusal | None:
    content = message.get("content")
    if message["role"] != "assistant":
        if content == []:
            return invalid_request(f"[] is too short - '{path}.content'", f"{path}.content")
        return _images(content, path) if isinstance(content, list) else None
    for index, call in enumerate(message.get("tool_calls") or ()):
        if len(call["id"]) > 40:
            call_path = f"{path}.tool_calls[{index}].id"
            message_ = (
                f"Invalid '{call_path}': string too long. Expected a string with maximum length 40, "
                f"but got a string with length {len(call['id'])} instead."
            )
            return invalid_request(message_, call_path, "string_above_max_length")
    if message.get("tool_calls") == []:
        message_ = f"Invalid '{path}.tool_calls': empty array. Expected at least one."
        return invalid_request(message_, f"{path}.tool_calls", "empty_array")
    tool_calls = content is not None or message.get("tool_calls") or message.get("refusal")
    if not tool_calls and not message.get("function_call") and not message.get("audio"):
        message_ = "Invalid value for 'content': expected a string, got null."
        return invalid_request(message_, f"{path}.content")
    return None


def _images(parts: list[dict[str, Any]], path: str) -> Refusal | None:
    for number, part in enumerate(parts):
        url = (part.get("image_url") or {}).get("url", "data:image/png;base64,")
        if not url.startswith(("https://", "http://", "data:image/")):
            message = f"Invalid image URL in '{path}.content[{number}]'."
            return invalid_request(
                message, f"{path}.content[{number}].image_url.url", "invalid_image_url"
            )
    return None
