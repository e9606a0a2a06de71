"""Names of the dialect, the forms of names and data, and the state of rendering one request."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any

from gateway.canon.model_names import encode_segment
from gateway.canon.naming import assign_tool_names
from gateway.canon.request import Request, ToolCall
from gateway.canon.traits import Traits
from gateway.dialects.shared.render_context import BaseRenderContext

NAME = "gemini"
Json = dict[str, Any]
# Collections of models; a tuned model's name includes its collection.
COLLECTIONS = ("models", "tunedModels")

# Gemini 3 requires a signature on the first call of each step and accepts this value
# where there is none (ai.google.dev, thought signatures).
SKIP_SIGNATURE = base64.b64encode(b"skip_thought_signature_validator").decode()

# Signature kinds: of the part after the reasoning, and of the reasoning part itself.
NEXT_PART_SIGNATURE = "thoughtSignature@0"
SAME_PART_SIGNATURE = "thoughtSignature"
# The spellings of the field with a part's signature.
SIGNATURE_FIELDS = ("thoughtSignature", "thought_signature")

THINKING_LEVELS = ("MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH")

GENERATION_CONFIG = "generationConfig"
CALLING_CONFIG = "toolConfig.functionCallingConfig"

# canonical field -> its path in this dialect's requests.
FIELD_PATHS: dict[str, str] = {
    "max_output": "generationConfig.maxOutputTokens",
    "temperature": "generationConfig.temperature",
    "top_p": "generationConfig.topP",
    "top_k": "generationConfig.topK",
    "frequency_penalty": "generationConfig.frequencyPenalty",
    "presence_penalty": "generationConfig.presencePenalty",
    "seed": "generationConfig.seed",
    "stop": "generationConfig.stopSequences",
    "n": "generationConfig.candidateCount",
    "logprobs": "generationConfig.responseLogprobs",
    "top_logprobs": "generationConfig.logprobs",
    "tool_choice": CALLING_CONFIG,
    "reasoning": "generationConfig.thinkingConfig",
    "budget": "generationConfig.thinkingConfig.thinkingBudget",
    "effort": "generationConfig.thinkingConfig.thinkingLevel",
    "visible": "generationConfig.thinkingConfig.includeThoughts",
    "format": "generationConfig.responseMimeType",
    "schema": "generationConfig.responseSchema",
    "metadata": "labels",
    "service_tier": "serviceTier",
    "store": "store",
    # of all functions
    "tool_strict": f"/{CALLING_CONFIG}.mode",
    # below the part's own path
    "signature": "thoughtSignature",
    "is_error": "functionResponse.response.error",
    "tool_id": "functionCall.id",
    "title": "inlineData.displayName",
}

# `serviceTier` <-> canonical.
SERVICE_TIERS = {"standard": "default", "priority": "priority", "flex": "flex"}
# Vertex's `trafficType` -> canonical; the tier that served the request.
TRAFFIC_TIERS = {
    "ON_DEMAND": "default",
    "ON_DEMAND_PRIORITY": "priority",
    "ON_DEMAND_FLEX": "flex",
}
WIRE_TIERS = {canonical_tier: wire_tier for wire_tier, canonical_tier in SERVICE_TIERS.items()}


def split_resource(model: str) -> tuple[str, str]:
    """The collection and the id of a model: `models` for a name that has no collection."""
    collection, slash, name = model.partition("/")
    return (collection, name) if slash and collection in COLLECTIONS else ("models", model)


def resource_path(model: str) -> str:
    """The model as two segments of a path: collection and encoded id."""
    collection, name = split_resource(model)
    return f"{collection}/{encode_segment(name)}"


# --- camelCase and snake_case ---------------------------------------------------------------------
#
# Google's API also accepts `snake_case`, an object in place of a list with one item (as in
# its own examples, `"parts": {"text": ...}`), and `null` for an absent field.

_SNAKE = re.compile(r"_([a-z0-9])")
# The names inside these fields are the client's: arguments, results, schemas, labels.
_CLIENT_DEFINED_FIELDS = frozenset(
    {
        "args",
        "response",
        "parameters",
        "parametersJsonSchema",
        "responseJsonSchema",
        "responseSchema",
        "schema",
        "labels",
    }
)
_LIST_FIELDS = frozenset({"contents", "parts", "tools", "functionDeclarations", "requests"})
_MAX_DEPTH = 40


def standard_base64(data: str) -> str:
    """Convert URL-safe, unpadded base64, as Google's clients send it, to the standard form."""
    data = data.replace("-", "+").replace("_", "/")
    return data + "=" * (-len(data) % 4)


def camel_case_keys(value: Any, depth: int = 0) -> Any:
    """The value with `camelCase` names, lists, and no nulls, wherever the names are Google's."""
    if type(value) is list:
        return [camel_case_keys(item, depth + 1) for item in value] if depth < _MAX_DEPTH else value
    if type(value) is not dict or depth >= _MAX_DEPTH:
        return value
    out = {}
    for name, item in value.items():
        if item is None:
            continue
        key = camel_case(name) if "_" in name else name
        if key in _LIST_FIELDS and type(item) is dict:
            item = [item]
        out[key] = item if key in _CLIENT_DEFINED_FIELDS else camel_case_keys(item, depth + 1)
    return out


def camel_case(name: str) -> str:
    """One name in `camelCase`."""
    return _SNAKE.sub(lambda match: match[1].upper(), name)


# --- the state of rendering one request -----------------------------------------------------------

# Longer than in other dialects, so most names are sent unchanged.
_NAME_LIMIT = 128
_VALID_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}")
_VALID_FIRST_CHARACTER = re.compile(r"[A-Za-z_]")
_INVALID_CHARACTERS = re.compile(r"[^A-Za-z0-9_.:-]")


class RenderContext(BaseRenderContext):
    """The request, the traits of its target, and the report as it grows.

    Attributes:
        same_dialect: whether the client uses this dialect too: omitted fields are then
            intentional, and its values have the same meaning here.
        sent_names: the client's tool names -> those sent.
    """

    def __init__(self, request: Request, traits: Traits) -> None:
        super().__init__(request, traits, keep_choices=True)
        self.same_dialect = NAME in request.extra
        self.sent_names = _valid_tool_names(dict.fromkeys(_client_tool_names(request)))

    def sent_name(self, client_name: str) -> str:
        """The tool name to send."""
        return (
            self.sent_names.get(client_name) or _valid_tool_names({client_name: None})[client_name]
        )


def _client_tool_names(request: Request) -> Iterator[str]:
    """All tool names: of the declared tools and of calls in the history."""
    yield from (tool.name for tool in request.tools if tool.kind != "server")
    for turn in request.turns:
        yield from (part.name for part in turn.parts if isinstance(part, ToolCall))


def _valid_tool_names(names: dict[str, None]) -> dict[str, str]:
    """Tool name -> the name to send, which is unique and begins with a letter or `_`.

    Dots and colons are legal here, so a name with them stays unchanged.
    """
    sent_names = {name: name for name in names if _VALID_NAME.fullmatch(name)}
    used_names = set(sent_names)
    for name in names:
        if name in sent_names:
            continue
        valid_name = _INVALID_CHARACTERS.sub("_", name)
        valid_name = valid_name if _VALID_FIRST_CHARACTER.match(valid_name) else f"_{valid_name}"
        while (unique_name := _shorten_name(valid_name)) in used_names:
            valid_name += "_"
        used_names.add(unique_name)
        sent_names[name] = unique_name
    return sent_names


def _shorten_name(name: str) -> str:
    return name if len(name) <= _NAME_LIMIT else assign_tool_names([name], _NAME_LIMIT)[name]
