"""A client's Converse request as a canonical request.

`additionalModelRequestFields` belongs to the model; the fields of Claude, Nova and gpt-oss that
have a canonical meaning are read, the others are reported where they cannot be sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.canon.errors import invalid
from gateway.canon.request import (
    EFFORTS,
    CacheBreakpoint,
    Meta,
    Output,
    ReasoningConfig,
    Request,
    Sampling,
    Tool,
    ToolChoice,
)
from gateway.dialects.bedrock_converse.client_messages import (
    parse_cache_point,
    parse_system,
    parse_turns,
)
from gateway.dialects.bedrock_converse.context import MODEL_FIELDS, NAME, Json
from gateway.dialects.bedrock_converse.known_fields import KNOWN_FIELDS
from gateway.dialects.shared.claude import parse_betas
from gateway.dialects.shared.fields import (
    MAX_TOKENS,
    boolean,
    enum_value,
    integer,
    mapping,
    number,
    objects,
    passthrough_checker,
    required_mapping,
    required_text,
    string_or_none,
    strings,
    text,
    wrong_type,
)
from gateway.dialects.shared.known_fields import unread_fields

# A canonical field -> where a client of this dialect writes it.
FIELD_PATHS: dict[str, str] = {
    "max_output": "inferenceConfig.maxTokens",
    "temperature": "inferenceConfig.temperature",
    "top_p": "inferenceConfig.topP",
    "stop": "inferenceConfig.stopSequences",
    "top_k": f"{MODEL_FIELDS}.top_k",
    "reasoning": f"{MODEL_FIELDS}.thinking",
    "budget": f"{MODEL_FIELDS}.thinking.budget_tokens",
    "visible": f"{MODEL_FIELDS}.thinking.display",
    "effort": "outputConfig.effort",
    "parallel": f"{MODEL_FIELDS}.tool_choice",
    "tool_choice": "toolConfig.toolChoice",
    "tools": "toolConfig.tools",
    "format": "outputConfig.textFormat",
    "schema": "outputConfig.textFormat",
    "name": "outputConfig.textFormat.structure.jsonSchema.name",
    "description": "outputConfig.textFormat.structure.jsonSchema.description",
    "metadata": "requestMetadata",
    "user_id": "requestMetadata.user",
    "service_tier": "serviceTier",
    "cache": "cachePoint",
    "betas": f"{MODEL_FIELDS}.anthropic_beta",
    # below the path of a result
    "is_error": "toolResult.status",
    # below the path of a call
    "tool_id": "toolUse.toolUseId",
    # below the path of a text
    "citations": "citationsContent.citations",
    # below the tool's own path
    "tool_schema": "toolSpec.inputSchema.json",
    "tool_strict": "toolSpec.strict",
    # below the path of a document or search result
    "title": "name",
    "document_citations": "citations",
}
_PARSED_FIELDS = frozenset(
    {
        *("model", "stream", "messages", "system", "toolConfig", "inferenceConfig"),
        *(MODEL_FIELDS, "outputConfig", "requestMetadata", "serviceTier"),
    }
)
# Converse has no `topK`; Vercel's AI SDK sends it all the same.
_PARSED_CONFIG = frozenset({"maxTokens", "temperature", "topP", "topK", "stopSequences"})
_PARSED_MODEL_FIELDS = frozenset(
    {
        *("thinking", "reasoningConfig", "reasoning_effort", "top_k", "tool_choice"),
        *("anthropic_beta", "inferenceConfig", "output_config"),
    }
)
# Nova's own settings, and Claude's, which Vercel's AI SDK sends for structured output and effort.
_NOVA_CONFIG = f"{MODEL_FIELDS}.inferenceConfig"
_CLAUDE_CONFIG = f"{MODEL_FIELDS}.output_config"
_GPT_EFFORT = f"{MODEL_FIELDS}.reasoning_effort"
_PARSED_CLAUDE = frozenset({"effort", "format"})
_CLAUDE_FORMAT_PATHS = {
    "format": f"{_CLAUDE_CONFIG}.format",
    "schema": f"{_CLAUDE_CONFIG}.format.schema",
}
_VISIBILITY: dict[str, Any] = {"omitted": "none", "summarized": "summary", "full": "raw"}


def parse_request(body: Json, headers: Mapping[str, str]) -> Request:
    """The canonical request. Raises GatewayError naming the field at fault."""
    if "input" in body and headers.get("x-dragoman-verb") == "count_tokens":
        body = _counted_body(body)
    extra: Json = {
        key: value for key, value in body.items() if key not in _PARSED_FIELDS and value is not None
    }
    config = mapping(body, "inferenceConfig") or {}
    extra |= _unparsed_fields(config, _PARSED_CONFIG, "inferenceConfig")
    model_fields = mapping(body, MODEL_FIELDS) or {}
    extra |= _unparsed_fields(model_fields, _PARSED_MODEL_FIELDS, MODEL_FIELDS)
    nova_config = mapping(model_fields, "inferenceConfig", MODEL_FIELDS) or {}
    if unparsed_config := {k: v for k, v in nova_config.items() if k != "topK"}:
        extra[_NOVA_CONFIG] = unparsed_config
    claude_config = mapping(model_fields, "output_config", MODEL_FIELDS) or {}
    if unparsed_config := {k: v for k, v in claude_config.items() if k not in _PARSED_CLAUDE}:
        extra[_CLAUDE_CONFIG] = unparsed_config
    output_config = mapping(body, "outputConfig") or {}
    effort, effort_path = _parse_effort(output_config, claude_config, model_fields)
    top_k, top_k_path = _parse_top_k(model_fields, nova_config, config)
    has_claude_format = (
        claude_config.get("format") is not None and "textFormat" not in output_config
    )
    tool_config = mapping(body, "toolConfig") or {}
    return Request(
        model=required_text(body, "model"),
        stream=boolean(body, "stream") is True,
        instructions=parse_system(body, extra),
        turns=parse_turns(body, extra),
        tools=_parse_tools(tool_config, extra),
        tool_choice=_parse_tool_choice(tool_config, model_fields),
        output=_parse_claude_output(claude_config)
        if has_claude_format
        else _parse_output(output_config),
        reasoning=_parse_reasoning_config(model_fields, effort, effort_path),
        max_output=integer(
            config, "maxTokens", minimum=1, maximum=MAX_TOKENS, path="inferenceConfig"
        ),
        sampling=Sampling(
            temperature=number(config, "temperature", path="inferenceConfig"),
            top_p=number(config, "topP", path="inferenceConfig"),
            stop=strings(config, "stopSequences", "inferenceConfig"),
            top_k=top_k,
        ),
        meta=_parse_metadata(body),
        betas=parse_betas(model_fields, "anthropic_beta", MODEL_FIELDS),
        extra=({NAME: extra} if extra else {}) | unread_fields(body, KNOWN_FIELDS),
        client_paths=FIELD_PATHS
        | {"top_k": top_k_path}
        | _reasoning_paths(model_fields, effort_path)
        | (_CLAUDE_FORMAT_PATHS if has_claude_format else {}),
    )


def _parse_top_k(model_fields: Json, nova_config: Json, config: Json) -> tuple[int | None, str]:
    """Nova's `topK`, Claude's `top_k`, or the `topK` of Vercel's AI SDK; and its path."""
    for fields, name, path in (
        (nova_config, "topK", _NOVA_CONFIG),
        (model_fields, "top_k", MODEL_FIELDS),
        (config, "topK", "inferenceConfig"),
    ):
        value = integer(fields, name, minimum=-1, maximum=MAX_TOKENS, path=path)
        if value is not None:
            return value, f"{path}.{name}"
    return None, FIELD_PATHS["top_k"]


def _counted_body(body: Json) -> Json:
    """The Converse request in a token count."""
    count_input = required_mapping(body, "input")
    if count_input.get("converse") is None:
        raise invalid(
            "input.converse is required; the body of another API cannot be counted", "input"
        )
    converse = required_mapping(count_input, "converse", "input")
    return {**converse, "model": body.get("model"), "stream": False}


def _unparsed_fields(fields: Json, parsed_fields: frozenset[str], path: str) -> Json:
    """The fields of an object that have no canonical equivalent, by path."""
    return {
        f"{path}.{key}": value
        for key, value in fields.items()
        if key not in parsed_fields and value is not None
    }


# --- tools ----------------------------------------------------------------------------------------


def _parse_tools(config: Json, extra: Json) -> tuple[Tool, ...]:
    tools: list[Tool] = []
    for index, item in enumerate(objects(config, "tools", "toolConfig")):
        path = f"toolConfig.tools[{index}]"
        if item.get("cachePoint") is not None:
            _mark_last_tool(tools, parse_cache_point(item, path), path, extra)
        elif item.get("systemTool") is not None:
            name = required_text(required_mapping(item, "systemTool", path), "name", path)
            tools.append(Tool(name=name, kind="server", dialect=NAME, native=item, path=path))
        else:
            tools.append(_parse_tool(required_mapping(item, "toolSpec", path), path))
    return tuple(tools)


def _mark_last_tool(tools: list[Tool], cache: CacheBreakpoint, path: str, extra: Json) -> None:
    if tools:
        tools[-1] = msgspec.structs.replace(tools[-1], cache=cache)
    else:
        extra[path] = {"cachePoint": {}}


def _parse_tool(spec: Json, path: str) -> Tool:
    spec_path = f"{path}.toolSpec"
    input_schema = required_mapping(spec, "inputSchema", spec_path)
    return Tool(
        name=required_text(spec, "name", spec_path),
        description=text(spec, "description", spec_path),
        schema=mapping(input_schema, "json", f"{spec_path}.inputSchema"),
        strict=boolean(spec, "strict", spec_path),
        path=path,
    )


def _parse_tool_choice(config: Json, model_fields: Json) -> ToolChoice | None:
    """The choice; Claude's own one says whether calls may be parallel."""
    path = "toolConfig.toolChoice"
    choice = mapping(config, "toolChoice", "toolConfig")
    claude_choice = mapping(model_fields, "tool_choice", MODEL_FIELDS) or {}
    claude_path = f"{MODEL_FIELDS}.tool_choice"
    disabled = boolean(claude_choice, "disable_parallel_tool_use", claude_path)
    parallel = None if disabled is None else not disabled
    if choice is None:
        return None if parallel is None else ToolChoice(parallel=parallel)
    if "tool" in choice:
        name = required_text(required_mapping(choice, "tool", path), "name", f"{path}.tool")
        return ToolChoice(mode="named", names=(name,), parallel=parallel)
    if "any" in choice:
        return ToolChoice(mode="any", parallel=parallel)
    if "auto" in choice:
        return ToolChoice(mode="auto", parallel=parallel)
    raise invalid(f"{path} must contain auto, any or tool", path)


# --- output, reasoning, metadata ------------------------------------------------------------------


def _parse_output(output_config: Json) -> Output:
    text_format = mapping(output_config, "textFormat", "outputConfig")
    if text_format is None:
        return Output()
    path = "outputConfig.textFormat"
    enum_value(text_format, "type", ("json_schema",), path)
    structure = required_mapping(text_format, "structure", path)
    definition = required_mapping(structure, "jsonSchema", f"{path}.structure")
    definition_path = f"{path}.structure.jsonSchema"
    schema_text = required_text(definition, "schema", definition_path)
    try:
        schema = msgspec.json.decode(schema_text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        schema = None
    if not isinstance(schema, dict):
        schema_path = f"{definition_path}.schema"
        raise invalid(f"{schema_path} must be a JSON Schema as a string", schema_path)
    return Output(
        format="schema",
        name=text(definition, "name", definition_path),
        description=text(definition, "description", definition_path),
        schema=schema,
    )


def _parse_claude_output(claude_config: Json) -> Output:
    """The schema of the response in Claude's own field."""
    path = f"{_CLAUDE_CONFIG}.format"
    output_format = required_mapping(claude_config, "format", _CLAUDE_CONFIG)
    enum_value(output_format, "type", ("json_schema",), path)
    return Output(format="schema", schema=required_mapping(output_format, "schema", path))


def _parse_effort(
    output_config: Json, claude_config: Json, model_fields: Json
) -> tuple[str | None, str]:
    """The effort and the field that sets it: Converse's, Claude's own or gpt-oss's."""
    for fields, name, path in (
        (output_config, "effort", "outputConfig"),
        (claude_config, "effort", _CLAUDE_CONFIG),
        (model_fields, "reasoning_effort", MODEL_FIELDS),
    ):
        if effort := enum_value(fields, name, EFFORTS, path):
            return effort, f"{path}.{name}"
    return None, FIELD_PATHS["effort"]


def _parse_reasoning_config(
    model_fields: Json, effort: str | None, effort_path: str
) -> ReasoningConfig | None:
    if model_fields.get("reasoningConfig") is not None:
        return _parse_nova_reasoning(model_fields)
    thinking = mapping(model_fields, "thinking", MODEL_FIELDS)
    covers_output = effort is not None and effort_path != _GPT_EFFORT
    if thinking is None:
        if effort is None:
            return None
        return ReasoningConfig(effort=effort, effort_covers_output=covers_output)
    path = FIELD_PATHS["reasoning"]
    mode: Any = enum_value(thinking, "type", ("enabled", "adaptive", "disabled"), path)
    if mode is None:
        raise invalid(f"{path}.type is required: enabled, adaptive or disabled", f"{path}.type")
    if mode == "disabled":
        return ReasoningConfig(mode="off", effort=effort, effort_covers_output=covers_output)
    budget = integer(thinking, "budget_tokens", minimum=1, maximum=MAX_TOKENS, path=path)
    visible = enum_value(thinking, "display", tuple(_VISIBILITY), path)
    return ReasoningConfig(
        mode="auto" if mode == "adaptive" or budget is None else "budget",
        budget=None if mode == "adaptive" else budget,
        effort=effort,
        effort_covers_output=covers_output,
        visible=None if visible is None else _VISIBILITY[visible],
    )


def _reasoning_paths(model_fields: Json, effort_path: str) -> dict[str, str]:
    """Where this client requests reasoning, if not in the fields of `FIELD_PATHS`."""
    if model_fields.get("reasoningConfig") is not None:
        path = f"{MODEL_FIELDS}.reasoningConfig"
        return {"reasoning": path, "effort": f"{path}.maxReasoningEffort"}
    return {"effort": effort_path}


def _parse_nova_reasoning(model_fields: Json) -> ReasoningConfig:
    path = f"{MODEL_FIELDS}.reasoningConfig"
    config = required_mapping(model_fields, "reasoningConfig", MODEL_FIELDS)
    if enum_value(config, "type", ("enabled", "disabled"), path) != "enabled":
        return ReasoningConfig(mode="off")
    effort = enum_value(config, "maxReasoningEffort", EFFORTS, path)
    return ReasoningConfig(mode="auto") if effort is None else ReasoningConfig(effort=effort)


def _parse_metadata(body: Json) -> Meta:
    metadata = dict(mapping(body, "requestMetadata") or {})
    for key, value in metadata.items():
        if type(value) is not str:
            raise wrong_type(f"requestMetadata.{key}", "a string", value)
    user_id = metadata.pop("user", None)
    return Meta(user_id=user_id, metadata=metadata or None, service_tier=_parse_tier(body))


def _parse_tier(body: Json) -> str | None:
    return string_or_none((mapping(body, "serviceTier") or {}).get("type"))


# --- the schema of a request that passes through --------------------------------------------------


class Message(msgspec.Struct):
    """One message of the history."""

    role: str
    content: list[dict[str, Any]]


class InferenceConfig(msgspec.Struct, rename="camel"):
    """The settings that every model has."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop_sequences: list[str] | None = None


class PassthroughSchema(msgspec.Struct, rename="camel"):
    """The fields of a request whose types are fixed."""

    messages: list[Message] | None = None
    system: list[dict[str, Any]] | None = None
    inference_config: InferenceConfig | None = None
    tool_config: dict[str, Any] | None = None
    additional_model_request_fields: dict[str, Any] | None = None


check_passthrough = passthrough_checker(PassthroughSchema)
