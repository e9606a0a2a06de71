"""The requests that Google's generateContent refuses, with the error messages."""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
import re
from collections.abc import Iterator
from typing import Any

from google.genai import types
from pydantic import TypeAdapter, ValidationError

from tests.fakes.script import Refusal

MODELS = {
    "gemini-3.8-flash": frozenset({"LOW", "MEDIUM", "HIGH", "MINIMAL"}),
    "gemini-3.1-pro": frozenset({"LOW", "MEDIUM", "HIGH"}),
    "gemini-2.5-flash": frozenset[str](),
    "gemini-2.5-pro": frozenset[str](),
}
SENTINEL = base64.b64encode(b"skip_thought_signature_validator").decode()
_BUDGETS = {"gemini-2.5-flash": (0, 24_576), "gemini-2.5-pro": (128, 32_768)}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}")
_FIELDS: dict[str, TypeAdapter[Any]] = {
    "contents": TypeAdapter(list[types.Content]),
    "systemInstruction": TypeAdapter(types.Content),
    "tools": TypeAdapter(list[types.Tool]),
    "toolConfig": TypeAdapter(types.ToolConfig),
    "generationConfig": TypeAdapter(types.GenerationConfig),
    # Inside `generationConfig`, whose type in the SDK does not have it.
    "imageConfig": TypeAdapter(types.ImageConfig),
    "safetySettings": TypeAdapter(list[types.SafetySetting]),
    "cachedContent": TypeAdapter(str),
    "serviceTier": TypeAdapter(types.ServiceTier),
    "store": TypeAdapter(bool),
}
_UNDERSCORE = re.compile(r"_([a-z0-9])")
# The names inside these fields are the client's.
_CLIENT_NAMES = {
    *("args", "response", "parameters", "parametersJsonSchema"),
    *("responseSchema", "responseJsonSchema"),
}
_SCHEMA = frozenset(
    {
        # Google's own examples send what Zod writes, which begins with it.
        "$schema",
        "$id",
        "$defs",
        "$ref",
        "$anchor",
        "type",
        "format",
        "title",
        "description",
        "enum",
        "items",
        "prefixItems",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "anyOf",
        "oneOf",
        "properties",
        "additionalProperties",
        "required",
        "propertyOrdering",
    }
)


def signature(text: str) -> str:
    """Return the signature of a reasoning text of this server."""
    return base64.b64encode(b"sig:" + hashlib.sha256(text.encode()).digest()).decode()


def with_camel_case_names(value: Any) -> Any:
    """Return JSON with Google's names in one spelling: `snake_case` is legal on the wire too."""
    if isinstance(value, list):
        return [with_camel_case_names(item) for item in value]
    if not isinstance(value, dict):
        return value
    named = {_UNDERSCORE.sub(lambda m: m[1].upper(), name): item for name, item in value.items()}
    return {
        name: item if name in _CLIENT_NAMES else with_camel_case_names(item)
        for name, item in named.items()
    }


def invalid_argument(message: str) -> Refusal:
    """Return a 400 in Google's format."""
    return Refusal(400, "INVALID_ARGUMENT", message)


def refusal(body: dict[str, Any], model: str) -> Refusal | None:
    """Return the service's refusal of this body for this model; None if it is valid."""
    for problem in _problems(body, model):
        return invalid_argument(problem)
    return None


def _problems(body: dict[str, Any], model: str) -> Iterator[str]:
    yield from _shape(body)
    yield from _contents(body, model)
    yield from _tools(body)
    yield from _built_in_tools(body, model)
    config = config_of(body)
    yield from _config(config, model)
    is_json = config.get("responseMimeType") == "application/json"
    if is_json and body.get("tools") and model.startswith("gemini-2"):
        yield "Function calling with a response mime type: 'application/json' is unsupported"


def _shape(body: dict[str, Any]) -> Iterator[str]:
    config = dict(body.get("generationConfig") or {})
    if "imageConfig" in config:
        image_config = config.pop("imageConfig")
        body = {**body, "generationConfig": config, "imageConfig": image_config}
    for key, value in body.items():
        adapter = _FIELDS.get(key)
        if adapter is None:
            yield f'Invalid JSON payload received. Unknown name "{key}": Cannot find field.'
            continue
        try:
            adapter.validate_python(value)
        except ValidationError as error:
            yield f"Invalid JSON payload received. {error.errors()[0]}"
    if not body.get("contents"):
        yield "* GenerateContentRequest.contents: contents is not specified"


def config_of(body: dict[str, Any]) -> dict[str, Any]:
    """Return the generation config with the names and types of the SDK."""
    config = dict(body.get("generationConfig") or {})
    config.pop("imageConfig", None)
    generation_config = types.GenerationConfig.model_validate(config)
    return generation_config.model_dump(by_alias=True, exclude_none=True, mode="json")


# --- contents ----------------------------------------------------------------------------


def _contents(body: dict[str, Any], model: str) -> Iterator[str]:
    contents = body["contents"]
    for index, content in enumerate(contents):
        if content.get("role") not in {"user", "model"}:
            yield "Please use a valid role: user, model."
        if not content.get("parts"):
            yield f"* GenerateContentRequest.contents[{index}].parts: contents.parts is empty."
        for part in content["parts"]:
            yield from _part(part, content["role"])
    if contents[0]["role"] != "user" or contents[-1]["role"] != "user":
        yield "Please ensure that single turn requests end with a user role."
    turns = _turns(contents)
    yield from _pairs(turns)
    if model.startswith("gemini-3"):
        yield from _missing_signatures(turns)


def _turns(contents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the contents with consecutive ones of a role as one.

    Google's SDKs send back each chunk of a stream as a content of its own.
    """
    groups = itertools.groupby(contents, key=lambda content: content["role"])
    return [
        {"role": role, "parts": [part for content in group for part in content["parts"]]}
        for role, group in groups
    ]


def _part(part: dict[str, Any], role: str) -> Iterator[str]:
    kinds = set(part) - {"thought", "thoughtSignature", "videoMetadata", "partMetadata"}
    if len(kinds) != 1:
        yield f"part must have one initialized field, not {sorted(kinds)}"
    # The last chunk of a stream has an empty text, which Google's SDKs send back.
    if part.get("text") == "" and role == "user" and "thoughtSignature" not in part:
        yield "Unable to submit request because it has an empty text parameter."
    blob = part.get("inlineData")
    if blob is not None and not _is_base64(blob["data"]):
        yield "Base64 decoding failed for inlineData"
    uri = (part.get("fileData") or {}).get("fileUri", "gs://")
    if not uri.startswith(("gs://", "https://generativelanguage.", "https://www.youtube.com/")):
        yield "Unsupported file URI type"


def _is_base64(data: str) -> bool:
    try:
        decoded(data)
    except (binascii.Error, ValueError):
        return False
    return True


def decoded(data: str) -> bytes:
    """Return the bytes of either base64 alphabet, with or without padding, as Google accepts."""
    plain = data.replace("-", "+").replace("_", "/")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def _calls(content: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [part[kind] for part in content["parts"] if kind in part]


def _pairs(contents: list[dict[str, Any]]) -> Iterator[str]:
    owed: list[str] = []
    for content in contents:
        results = _calls(content, "functionResponse")
        if [r["name"] for r in results] != owed:
            yield (
                "Please ensure that the number of function response parts is equal to the "
                "number of function call parts of the function call turn."
            )
        if results and content["role"] != "user":
            yield "Please ensure that function response turn comes from the user."
        owed = [call["name"] for call in _calls(content, "functionCall")]
        if owed and content["role"] != "model":
            yield "Please ensure that function call turn comes immediately after a user turn."


def _missing_signatures(contents: list[dict[str, Any]]) -> Iterator[str]:
    current = max(
        n
        for n, content in enumerate(contents)
        if content["role"] == "user" and not _calls(content, "functionResponse") or n == 0
    )
    for index, content in enumerate(contents):
        calls = [part for part in content["parts"] if "functionCall" in part]
        first = calls[0] if calls else {}
        if index > current and calls and "thoughtSignature" not in first:
            name = first["functionCall"]["name"]
            yield f"Function call `{name}` is missing a `thought_signature`."
        for part in content["parts"]:
            thought_signature = part.get("thoughtSignature", SENTINEL)
            call = part.get("functionCall")
            if not decoded(thought_signature).startswith((b"sig:", b"skip_thought_signature")):
                yield "Corrupted thought signature."
            elif call and decoded(thought_signature) not in map(
                decoded, (SENTINEL, signature(call["name"]))
            ):
                yield "Invalid thought signature: it belongs to another part."


# --- tools and the rest ------------------------------------------------------------------


def _tools(body: dict[str, Any]) -> Iterator[str]:
    names: list[str] = []
    for tool in body.get("tools") or []:
        for function in tool.get("functionDeclarations", []):
            names.append(function["name"])
            if not _NAME.fullmatch(function["name"]):
                yield f"Invalid function name {function['name']!r}. Must start with a letter."
            yield from _schema(function.get("parametersJsonSchema"))
    if len(names) != len(set(names)):
        yield "Duplicate function declaration found"
    calling = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    allowed = calling.get("allowedFunctionNames")
    if calling.get("mode") == "ANY" and not names:
        yield "Function calling mode is ANY but no function declarations are provided."
    if allowed and calling.get("mode") not in {"ANY", "VALIDATED"}:
        yield "allowed_function_names should only be set when mode is ANY."
    if not set(allowed or ()) <= set(names):
        yield "allowed_function_names holds a name that is not declared"


def _built_in_tools(body: dict[str, Any], model: str) -> Iterator[str]:
    kinds = {key for tool in body.get("tools") or [] for key in tool}
    if "functionDeclarations" not in kinds or kinds == {"functionDeclarations"}:
        return
    config = body.get("toolConfig") or {}
    if not model.startswith("gemini-3"):
        yield "Tool use with function calling is unsupported by the model."
    elif not config.get("includeServerSideToolInvocations"):
        yield (
            "Please enable tool_config.include_server_side_tool_invocations to use Built-in "
            "tools with Function calling."
        )
    elif (config.get("functionCallingConfig") or {}).get("mode") == "AUTO":
        yield "Function calling mode AUTO is not supported with built-in tools."


def _schema(schema: Any) -> Iterator[str]:
    if not isinstance(schema, dict):
        return
    unknown = set(schema) - _SCHEMA
    if unknown:
        yield f'Unknown name "{min(unknown)}" at a JSON schema: Cannot find field.'
    if "$ref" in schema and any(not key.startswith("$") for key in schema):
        yield "a schema with $ref may hold no other keyword"
    for value in (schema.get("properties") or {}).values():
        yield from _schema(value)
    for key in ("items", "additionalProperties"):
        yield from _schema(schema.get(key))
    for key in ("anyOf", "oneOf", "prefixItems"):
        for value in schema.get(key) or []:
            yield from _schema(value)
    for value in (schema.get("$defs") or {}).values():
        yield from _schema(value)


def _config(config: dict[str, Any], model: str) -> Iterator[str]:
    if not 0 <= config.get("temperature", 1) <= 2:
        yield "temperature must be in the range [0.0, 2.0]"
    if len(config.get("stopSequences", ())) > 5:
        yield "The number of stop sequences must not be larger than 5"
    if not 1 <= config.get("candidateCount", 1) <= 8:
        yield "candidateCount must be in the range [1, 8]"
    if "responseSchema" in config and "responseJsonSchema" in config:
        yield "only one of response_schema and response_json_schema may be set"
    if "responseJsonSchema" in config and config.get("responseMimeType") != "application/json":
        yield "response_json_schema needs the MIME type application/json"
    yield from _schema(config.get("responseJsonSchema"))
    yield from _thinking(config.get("thinkingConfig") or {}, model)


def _thinking(thinking: dict[str, Any], model: str) -> Iterator[str]:
    budget, level = thinking.get("thinkingBudget"), thinking.get("thinkingLevel")
    if budget is not None and level is not None:
        yield "You can only set only one of thinking budget and thinking level."
    if level is not None and level not in MODELS[model]:
        yield f"Thinking level {level} is not supported for this model."
    if budget is not None and model in _BUDGETS:
        least, maximum = _BUDGETS[model]
        if budget != -1 and not least <= budget <= maximum:
            yield f"The thinking budget {budget} is invalid. Choose between {least} and {maximum}."
