"""The requests that Bedrock's Converse refuses, by botocore's model and observed rules."""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
import json
import re
from functools import lru_cache
from typing import Any

import botocore.session
from botocore.model import Shape
from botocore.validate import ParamValidator

from tests.fakes.anthropic_rules import grammar_refusal
from tests.fakes.script import Refusal, refuse_malformed

Json = dict[str, Any]

NOVA = "us.amazon.nova-pro-v1:0"
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
CLAUDE_NOW = "us.anthropic.claude-opus-5-v1:0"
LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"
MODELS = (NOVA, CLAUDE, CLAUDE_NOW, LLAMA)
_OWN = {
    "claude": {"thinking", "top_k", "anthropic_beta", "tool_choice", "output_config"},
    "nova": {"reasoningConfig", "inferenceConfig"},
}


def validation_error(message: str) -> Refusal:
    """Return a 400 in Bedrock's format."""
    return Refusal(400, "ValidationException", message)


@lru_cache(maxsize=1)
def _service() -> Any:
    return botocore.session.get_session().get_service_model("bedrock-runtime")


def shape(name: str) -> Shape:
    """Return a shape of the service's model."""
    actual_shape: Shape = _service().shape_for(name)
    return actual_shape


@refuse_malformed(validation_error)
def refusal(model: str, body: Json, request: str = "ConverseRequest") -> Refusal | None:
    """Return the service's refusal of this body; None if it is valid."""
    try:
        decoded = _decoded({**body, "modelId": model}, shape(request), "")
    except ValueError as error:
        return validation_error(str(error))
    report = ParamValidator().validate(decoded, shape(request))
    if report.has_errors():
        return validation_error(report.generate_report())
    checks = (_roles, _texts, _documents, _calls, _cache_points, _thoughts, _model_rules)
    return next((problem for check in checks if (problem := check(model, body))), None)


@refuse_malformed(validation_error)
def count_refusal(model: str, body: Json) -> Refusal | None:
    """Return the refusal of a token count, which only Claude's models support."""
    if "claude" not in model:
        return validation_error("The provided model doesn't support counting tokens.")
    inner = body.get("input", {}).get("converse")
    if not isinstance(inner, dict) or body.keys() != {"input"}:
        return validation_error("input.converse is required")
    return refusal(model, {k: v for k, v in inner.items() if k != "additional"})


# --- the model's shapes --------------------------------------------------------------------


def _decoded(value: Any, of: Shape, path: str) -> Any:
    """Return the value with bytes for blobs; raises on invalid enums, patterns or lengths."""
    kind: Any = of
    if kind.type_name == "structure" and isinstance(value, dict):
        if kind.metadata.get("document") or getattr(kind, "is_document_type", False):
            return value
        return {
            key: _decoded(inner, kind.members[key], f"{path}.{key}")
            if key in kind.members
            else inner
            for key, inner in value.items()
        }
    if kind.type_name == "list" and isinstance(value, list):
        _check_size(len(value), kind, path)
        return [_decoded(item, kind.member, f"{path}[{i}]") for i, item in enumerate(value)]
    if kind.type_name == "map" and isinstance(value, dict):
        _check_size(len(value), kind, path)
        for key, inner in value.items():
            _decoded(key, kind.key, f"{path} (key)")
            _decoded(inner, kind.value, f"{path}.{key}")
        return value
    if kind.type_name == "blob":
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise ValueError(f"{path} is no base64") from None
    if kind.type_name == "string" and isinstance(value, str):
        _check_text(value, kind, path)
    if kind.type_name in {"integer", "float", "long"} and isinstance(value, int | float):
        _check_range(value, kind, path)
    return value


def _check_text(value: str, kind: Any, path: str) -> None:
    if kind.enum and value not in kind.enum:
        raise ValueError(f"{path}: {value!r} is not one of {kind.enum}")
    _check_size(len(value), kind, path)
    pattern = kind.metadata.get("pattern")
    if pattern and not re.fullmatch(pattern, value):
        raise ValueError(f"{path}: {value!r} does not match {pattern}")


def _check_size(size: int, kind: Any, path: str) -> None:
    least, maximum = kind.metadata.get("min", 0), kind.metadata.get("max", 2**31)
    if not least <= size <= maximum:
        raise ValueError(f"{path} must have {least} to {maximum} of them, has {size}")


def _check_range(value: float, kind: Any, path: str) -> None:
    least, maximum = kind.metadata.get("min", -(2**31)), kind.metadata.get("max", 2**31)
    if not least <= value <= maximum:
        raise ValueError(f"{path}: {value} is not between {least} and {maximum}")


# --- the messages --------------------------------------------------------------------------


def _blocks(body: Json, name: str) -> list[Json]:
    return [b[name] for m in body.get("messages", []) for b in m["content"] if name in b]


def _roles(model: str, body: Json) -> Refusal | None:
    roles = [message["role"] for message in body.get("messages", [])]
    if not roles or roles[0] != "user":
        return validation_error("A conversation must start with a user message. Try again.")
    if any(a == b for a, b in itertools.pairwise(roles)):
        return validation_error("A conversation must alternate between user and assistant roles.")
    if any(not message["content"] for message in body["messages"]):
        return validation_error("The content field in the Message object is empty.")
    for message in body["messages"]:
        names = {name for block in message["content"] for name in block}
        spoken = names & {"image", "document", "audio", "toolResult", "searchResult"}
        if "claude" not in model and "searchResult" in str(message):
            return validation_error("This model doesn't support the searchResult field.")
        if message["role"] == "assistant" and spoken:
            return validation_error(f"Assistant messages can not contain {spoken}")
        if message["role"] == "user" and names & {"toolUse", "reasoningContent"}:
            return validation_error("User messages can not contain tool use or reasoning")
    return None


def _texts(model: str, body: Json) -> Refusal | None:
    texts = [*_blocks(body, "text"), *(b["text"] for b in body.get("system", []) if "text" in b)]
    if any(not text.strip() for text in texts):
        return validation_error(
            "The text field in the ContentBlock object is blank. Add text and try again."
        )
    return None


def _documents(model: str, body: Json) -> Refusal | None:
    names: list[str] = []
    for message in body["messages"]:
        documents = [block["document"] for block in message["content"] if "document" in block]
        if documents and not any("text" in block for block in message["content"]):
            return validation_error("A text block must be included when a document is.")
        if len(documents) > 5:
            return validation_error("At most 5 documents are accepted")
        names += [document["name"] for document in documents]
    for result in _blocks(body, "toolResult"):
        names += [b["document"]["name"] for b in result["content"] if "document" in b]
    for name in names:
        if not re.fullmatch(r"[a-zA-Z0-9\s()\[\]-]{1,200}", name) or "  " in name:
            return validation_error(
                f"The document file name {name!r} can only contain alphanumerics"
            )
    if len(names) != len(set(names)):
        return validation_error("Messages must not contain documents with the same name")
    return None


def _calls(model: str, body: Json) -> Refusal | None:
    owed: list[str] = []
    for message in body["messages"]:
        results = [b["toolResult"] for b in message["content"] if "toolResult" in b]
        ids = [result["toolUseId"] for result in results]
        if message["role"] == "user" and sorted(ids) != sorted(owed):
            return validation_error(
                "Expected toolResult blocks for the following Ids: " + ", ".join(owed)
            )
        if any(r.get("status") == "error" and not r["content"] for r in results):
            return validation_error("A tool result with status error needs content")
        if any(not r["content"] for r in results):
            return validation_error("The content field of a tool result is empty")
        owed = [b["toolUse"]["toolUseId"] for b in message["content"] if "toolUse" in b]
        if len(owed) != len(set(owed)):
            return validation_error("duplicate tool use ids")
    if owed:
        return validation_error(
            "Expected toolResult blocks for the following Ids: " + ", ".join(owed)
        )
    config = body.get("toolConfig")
    if config is None and (_blocks(body, "toolUse") or _blocks(body, "toolResult")):
        return validation_error(
            "The toolConfig field must be defined when using toolUse and toolResult content blocks."
        )
    if config is not None:
        names = [tool["toolSpec"]["name"] for tool in config["tools"] if "toolSpec" in tool]
        if len(names) != len(set(names)):
            return validation_error("The tool names must be unique")
        expected = config.get("toolChoice", {}).get("tool", {}).get("name")
        if expected is not None and expected not in names:
            return validation_error("The tool of toolChoice is not among the tools")
        for tool in config["tools"]:
            spec = tool.get("toolSpec", {})
            if spec and spec["inputSchema"]["json"].keys() & {"oneOf", "allOf", "anyOf"}:
                return validation_error(
                    "inputSchema.json does not support oneOf, allOf, or anyOf at its root"
                )
            if spec and spec["inputSchema"]["json"].get("type") != "object":
                return validation_error("The type of a tool's inputSchema must be object")
    return None


def _cache_points(model: str, body: Json) -> Refusal | None:
    lists = [
        body.get("toolConfig", {}).get("tools", []),
        body.get("system", []),
        *(m["content"] for m in body["messages"]),
    ]
    marks = sum("cachePoint" in item for items in lists for item in items)
    if marks > 4:
        return validation_error("too many cachePoint blocks")
    if any(items and "cachePoint" in items[0] for items in lists):
        return validation_error("a cachePoint can not be first")
    return None


# --- the models ----------------------------------------------------------------------------


def signature(text: str) -> str:
    """Return the state with which the service signs a reasoning text."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _thoughts(model: str, body: Json) -> Refusal | None:
    for number, message in enumerate(body["messages"]):
        for index, block in enumerate(message["content"]):
            reasoning_text = block.get("reasoningContent", {}).get("reasoningText")
            if reasoning_text is not None and reasoning_text.get("signature") != signature(
                reasoning_text["text"]
            ):
                path = f"messages.{number}.content.{index}"
                return validation_error(
                    "The model returned the following errors: "
                    f"{path}: Invalid `signature` in `thinking` block"
                )
    return None


def _model_rules(model: str, body: Json) -> Refusal | None:
    family = "claude" if "claude" in model else "nova" if "nova" in model else ""
    more = body.get("additionalModelRequestFields", {})
    if unknown := more.keys() - _OWN.get(family, set()):
        return validation_error(f"extraneous key {sorted(unknown)} is not permitted")
    if family == "claude":
        return _claude(model, body, more)
    if family == "nova":
        return _nova(body)
    if not family:
        return _unsupported_status(body)
    return None


def _nova(body: Json) -> Refusal | None:
    """Nova's refusal; AWS documents the three fields of a tool's schema."""
    for number, tool in enumerate(body.get("toolConfig", {}).get("tools", ())):
        if "cachePoint" in tool:
            return validation_error(
                "You invoked an unsupported model or your request did not allow caching."
            )
        schema = tool.get("toolSpec", {}).get("inputSchema", {}).get("json", {})
        if extraneous := schema.keys() - {"type", "properties", "required"}:
            return validation_error(
                "The model returned the following errors: Malformed input request: #/toolConfig/"
                f"tools/{number}/toolSpec/inputSchema/json: extraneous key [{min(extraneous)}] is "
                "not permitted, please reformat your input and try again."
            )
    return None


def _unsupported_status(body: Json) -> Refusal | None:
    if any("status" in result for result in _blocks(body, "toolResult")):
        return validation_error(
            "This model doesn't support the status field. Remove status and try again."
        )
    for message in body["messages"]:
        names = {name for block in message["content"] for name in block}
        if "toolResult" in names and len(names) > 1:
            return validation_error(
                "Conversation blocks and tool result blocks cannot be provided in the same turn."
            )
    if "toolChoice" in body.get("toolConfig", {}):
        choice = body["toolConfig"]["toolChoice"]
        if "auto" not in choice:
            return validation_error("This model doesn't support the toolConfig.toolChoice field.")
    if "outputConfig" in body:
        return validation_error("This model doesn't support outputConfig")
    everything = repr(body)
    if "cachePoint" in everything:
        return validation_error(
            "You invoked an unsupported model or your request did not allow caching."
        )
    return None


def _claude(model: str, body: Json, more: Json) -> Refusal | None:
    config = body.get("inferenceConfig", {})
    newest = "opus-5" in model
    thinking = more.get("thinking", {}).get("type")
    if newest and config.keys() & {"temperature", "topP"}:
        return validation_error("`temperature` is deprecated for this model.")
    if config.keys() >= {"temperature", "topP"}:
        return validation_error(
            "`temperature` and `top_p` cannot both be specified for this model. Please use only "
            "one."
        )
    if newest and "top_k" in more:
        return validation_error("`top_k` is deprecated for this model.")
    if thinking == "enabled":
        if newest:
            return validation_error("thinking.type: enabled is not supported by this model")
        budget = more["thinking"]["budget_tokens"]
        if budget < 1024 or budget >= config.get("maxTokens", 4096):
            return validation_error("`max_tokens` must be greater than `thinking.budget_tokens`")
        if body.get("toolConfig", {}).get("toolChoice", {}).keys() & {"any", "tool"}:
            return validation_error("Thinking may not be enabled when tool_choice forces tool use.")
    if thinking == "adaptive" and not newest:
        return validation_error("thinking.type: adaptive is not supported by this model")
    if thinking in {"enabled", "adaptive"} and config.get("temperature", 1) != 1:
        return validation_error("`temperature` may only be set to 1 when thinking is enabled.")
    configs = (body.get("outputConfig", {}), more.get("output_config", {}))
    if any("effort" in config for config in configs) and not newest:
        return validation_error("This model does not support the effort parameter.")
    if problem := _too_large_grammar(body):
        return problem
    if body["messages"][-1]["role"] == "assistant":
        if newest:
            return validation_error("This model does not support assistant message prefill.")
        last = body["messages"][-1]["content"][-1]
        if "text" in last and last["text"] != last["text"].rstrip():
            return validation_error("final assistant content cannot end with trailing whitespace")
    return None


def _too_large_grammar(body: Json) -> Refusal | None:
    specs = [tool.get("toolSpec", {}) for tool in body.get("toolConfig", {}).get("tools", ())]
    strict = [spec["inputSchema"]["json"] for spec in specs if spec.get("strict")]
    structure = body.get("outputConfig", {}).get("textFormat", {}).get("structure", {})
    output = json.loads(structure.get("jsonSchema", {}).get("schema", "null"))
    own_config = body.get("additionalModelRequestFields", {}).get("output_config", {})
    problem = grammar_refusal(strict, output or own_config.get("format", {}).get("schema"))
    text = f"The model returned the following errors: {problem}"
    return validation_error(text) if problem else None
