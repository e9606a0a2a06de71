"""Tools, tool choice and legacy functions, both ways."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, assert_never

import msgspec
from msgspec.structs import replace

from gateway.canon.adaptation import Adaptation, dropped_field
from gateway.canon.errors import invalid
from gateway.canon.request import Tool, ToolChoice
from gateway.dialects.base import ResponseContext
from gateway.dialects.openai_chat.context import (
    ChatRenderContext,
    cache_control,
    parse_cache_breakpoint,
)
from gateway.dialects.openai_chat.parts import NAME, Json
from gateway.dialects.shared import web_search
from gateway.dialects.shared.fields import (
    boolean,
    enum_value,
    mapping,
    object_or_empty,
    objects,
    required_mapping,
    required_text,
    string_or_empty,
    text,
    wrong_type,
)
from gateway.dialects.shared.openai_schema import strict_schema, tool_parameters
from gateway.dialects.shared.web_search import WebSearch, user_location

# --- legacy functions -----------------------------------------------------------------------------
#
# The legacy form has one call, without an id.

FUNCTION_CALL = "function_call"
# Reported once, for all calls after the first.
ONLY_FIRST_CALL: Adaptation = dropped_field(
    "tool_calls", "`functions` supports one call: the first is sent"
)

_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_EMPTY_VALUES = (b"", b"null", b"[]")


def read_functions_echo(body: bytes) -> Json:
    """Echoed fields that record an offer of `functions` without `tools`; else empty."""
    if body.find(b'"functions"') < 0:
        return {}
    fields = _decoder.decode(body)
    has_functions = bytes(fields.get("functions", b"")) not in _EMPTY_VALUES
    return (
        {"functions": True}
        if has_functions and bytes(fields.get("tools", b"")) in _EMPTY_VALUES
        else {}
    )


def uses_functions(context: ResponseContext) -> bool:
    """Whether calls are rendered in the legacy form."""
    return bool(context.echoed_fields.get("functions"))


# --- tools and tool choice ------------------------------------------------------------------------

# OpenAI's field for web search.
_SEARCH_OPTIONS = "web_search_options"
# LiteLLM reads `cache_control` in both objects.
_FUNCTION_FIELDS = frozenset({"name", "description", "parameters", "strict", "cache_control"})
_TOOL_FIELDS = frozenset({"type", "function", "cache_control", "defer_loading"})


# --- tools ----------------------------------------------------------------------------------------


def parse_tools(body: Json) -> tuple[Tool, ...]:
    """The offered tools, from all three fields for tools."""
    tools = [_parse_tool(item, f"tools[{i}]") for i, item in enumerate(objects(body, "tools"))]
    for i, item in enumerate(objects(body, "functions")):
        tools.append(
            _parse_function({"function": item}, item, f"functions[{i}]", f"functions[{i}]")
        )
    if (search := mapping(body, _SEARCH_OPTIONS)) is not None:
        native = {_SEARCH_OPTIONS: search}
        tools.append(
            Tool(
                name=web_search.NAME,
                kind="server",
                dialect=NAME,
                native=native,
                path=_SEARCH_OPTIONS,
            )
        )
    return tuple(tools)


def _parse_tool(tool: Json, path: str) -> Tool:
    kind = text(tool, "type", path)
    if kind == "function" or (kind is None and "function" in tool):
        return _parse_function(
            tool, required_mapping(tool, "function", path), f"{path}.function", path
        )
    if kind == "custom":
        return _parse_custom_tool(tool, path)
    if kind is None:
        raise invalid(f"{path}.type is required: 'function' or 'custom'", f"{path}.type")
    name = tool.get("name")
    return Tool(
        name=name if isinstance(name, str) else kind,
        kind="server",
        dialect=NAME,
        native=tool,
        path=path,
    )


def _parse_function(tool: Json, function: Json, function_path: str, path: str) -> Tool:
    extra = (
        {} if function.keys() <= _FUNCTION_FIELDS else _fields_except(function, _FUNCTION_FIELDS)
    )
    if not tool.keys() <= _TOOL_FIELDS:
        extra |= _fields_except(tool, _TOOL_FIELDS)
    return Tool(
        name=required_text(function, "name", function_path),
        description=text(function, "description", function_path),
        schema=mapping(function, "parameters", function_path),
        strict=boolean(function, "strict", function_path),
        defer=bool(boolean(tool, "defer_loading", path)),
        cache=parse_cache_breakpoint(tool) or parse_cache_breakpoint(function),
        dialect=NAME if extra else "",
        extra=extra,
        path=path,
    )


def _fields_except(obj: Json, excluded_names: frozenset[str]) -> Json:
    return {key: value for key, value in obj.items() if key not in excluded_names}


def _parse_custom_tool(tool: Json, path: str) -> Tool:
    custom_tool = required_mapping(tool, "custom", path)
    field_path = f"{path}.custom"
    return Tool(
        name=required_text(custom_tool, "name", field_path),
        kind="custom",
        description=text(custom_tool, "description", field_path),
        format=mapping(custom_tool, "format", field_path),
        path=path,
    )


def render_tools(context: ChatRenderContext, body: Json) -> None:
    """Render the tools and the tool choice into the body."""
    request, traits = context.request, context.traits
    if not request.tools:
        context.drop_tool_choice()
        return
    if not traits.tools:
        _render_search_only(context, body)
        return
    offered_tools = context.load_deferred_tools()
    if not context.traits.allowed_tools:
        offered_tools = context.filter_allowed_tools(offered_tools)
    out = [
        item for tool in offered_tools if (item := _render_tool(context, tool, body)) is not None
    ]
    if not out:
        context.drop_tool_choice()
        return
    body["tools"] = out
    _render_tool_choice(context, body)


def _render_search_only(context: ChatRenderContext, body: Json) -> None:
    """Render the search options for a model that searches but calls no tools (Perplexity's)."""
    request, traits = context.request, context.traits
    searches = [tool for tool in request.tools if web_search.parse_web_search(tool) is not None]
    if not traits.web_search or len(searches) < len(request.tools):
        context.drop_tools(f"{traits.model or 'this model'} does not support tools")
    if traits.web_search:
        for tool in searches:
            _render_server_tool(context, tool, body)


def _render_tool(context: ChatRenderContext, tool: Tool, body: Json) -> Json | None:
    match tool.kind:
        case "server":
            return _render_server_tool(context, tool, body)
        case "custom" if context.traits.custom_tools:
            context.drop_cache_marks(tool.cache)
            _drop_extra_fields(context, tool)
            custom_tool = {"name": context.sent_name(tool.name), **_render_description(tool)}
            if tool.format is not None:
                custom_tool["format"] = tool.format
            return {"type": "custom", "custom": custom_tool}
        case "custom":
            return _render_custom_as_function(context, tool)
        case "function":
            return _render_function(context, tool)
        case _:
            assert_never(tool.kind)


def _render_description(tool: Tool) -> Json:
    return {"description": tool.description} if tool.description is not None else {}


def _render_server_tool(context: ChatRenderContext, tool: Tool, body: Json) -> Json | None:
    native = tool.native or {}
    if _SEARCH_OPTIONS in native and context.traits.web_search_options:
        body.update(native)
        return None
    if tool.dialect == NAME and native and _SEARCH_OPTIONS not in native:
        return native
    search = context.find_web_search(tool)
    return _render_web_search(context, tool, search, body) if search is not None else None


def _render_web_search(
    context: ChatRenderContext, tool: Tool, search: WebSearch, body: Json
) -> Json | None:
    """Render another dialect's web search: a field for OpenAI's models, a tool for OpenRouter."""
    size_fields = {"search_context_size": search.size} if search.size is not None else {}
    if search.uses is not None:
        context.drop(f"{tool.path}.max_uses", "no equivalent")
    if context.traits.web_search != _SEARCH_OPTIONS:
        domains = {"allowed_domains": search.allowed, "excluded_domains": search.blocked}
        domain_fields = {name: domain_list for name, domain_list in domains.items() if domain_list}
        parameters = domain_fields | size_fields | user_location(search.location)
        return {"type": context.traits.web_search, "parameters": parameters}
    if search.allowed:
        context.drop(f"{tool.path}.allowed_domains", "no equivalent")
    if search.blocked:
        context.drop(f"{tool.path}.{search.blocked_field}", "no equivalent")
    location = {"user_location": {"type": "approximate", "approximate": search.location}}
    body[_SEARCH_OPTIONS] = size_fields | (location if search.location else {})
    return None


def _render_function(context: ChatRenderContext, tool: Tool) -> Json:
    schema, schema_change = tool_parameters(tool.schema)
    if schema_change:
        context.approximate(tool.path, schema_change)
    function: Json = {
        "name": context.sent_name(tool.name),
        **_render_description(tool),
        "parameters": schema,
    }
    _render_strict(context, tool, function)
    out: Json = {"type": "function", "function": function}
    for key, value in tool.extra.items():
        if tool.dialect == NAME:
            function[key] = value
        else:
            context.drop(f"{tool.path}.{key}", "no equivalent in OpenAI Chat")
    if tool.cache is not None and context.traits.cache == "cache_control":
        out["cache_control"] = cache_control(tool.cache)
    else:
        context.drop_cache_marks(tool.cache)
    return out


def _drop_extra_fields(context: ChatRenderContext, tool: Tool) -> None:
    for key in tool.extra:
        context.drop(f"{tool.path}.{key}", "no equivalent in OpenAI Chat")


def _render_strict(context: ChatRenderContext, tool: Tool, function: Json) -> None:
    if tool.strict is None:
        return
    if not context.traits.strict_tools:
        if tool.strict:
            context.drop(
                context.part_field(tool.path, "tool_strict"),
                "the upstream does not support strict tools",
            )
        return
    strict_result = strict_schema(function["parameters"]) if tool.strict else None
    strict = strict_result is not None and not strict_result[1]
    function["strict"] = strict
    if strict_result is not None and strict:
        # Strict mode requires `additionalProperties: false`, which the schema may omit.
        function["parameters"] = strict_result[0]
    if strict is not tool.strict:
        reason = "the schema is outside OpenAI's strict subset"
        context.approximate(
            context.part_field(tool.path, "tool_strict"), reason, before=True, after=False
        )


def _render_custom_as_function(context: ChatRenderContext, tool: Tool) -> Json:
    """A free-text tool as a function with one string argument."""
    _drop_extra_fields(context, tool)
    context.approximate(tool.path, "free-text tool sent as a function with one string parameter")
    description = tool.description or ""
    if tool.format is not None and tool.format.get("type") == "grammar":
        grammar: Any = tool.format.get("grammar")
        definition = grammar.get("definition", "") if isinstance(grammar, dict) else ""
        description = f"{description}\n\nThe input must follow this grammar:\n{definition}".strip()
    schema: Json = {
        "type": "object",
        "properties": {"input": {"type": "string"}},
        "required": ["input"],
        "additionalProperties": False,
    }
    function: Json = {"name": context.sent_name(tool.name), "parameters": schema}
    if description:
        function["description"] = description
    return {"type": "function", "function": function}


# --- tool choice ----------------------------------------------------------------------------------


def parse_tool_choice(body: Json, paths: dict[str, str]) -> ToolChoice | None:
    """The tool choice, in the current or the legacy form."""
    parallel = boolean(body, "parallel_tool_calls")
    paths["parallel"] = "parallel_tool_calls"
    value = body.get("tool_choice")
    if value is None and body.get("function_call") is not None:
        value = _parse_legacy_choice(body["function_call"])
        paths["tool_choice"] = "function_call"
    if parallel is None and body.get("functions") and not body.get("tools"):
        # The legacy form has one call, so parallel calls are disabled.
        parallel, paths["parallel"] = False, ""
    if value is None:
        return None if parallel is None else ToolChoice(parallel=parallel)
    if type(value) is str:
        mode_name = enum_value(
            {"tool_choice": value}, "tool_choice", ("none", "auto", "required", "any")
        )
        mode = "any" if mode_name == "required" else mode_name
        return ToolChoice(mode=mode, parallel=parallel)  # type: ignore[arg-type]
    if type(value) is not dict:
        raise wrong_type("tool_choice", "a string or an object", value)
    if value.get("type") == "allowed_tools":
        return _parse_allowed_tools(value, parallel=parallel)
    return ToolChoice(
        mode="named", names=(_parse_tool_name(value, "tool_choice"),), parallel=parallel
    )


def _parse_legacy_choice(value: Any) -> Any:
    return {"type": "function", "function": value} if type(value) is dict else value


def _parse_tool_name(value: Json, path: str) -> str:
    kind = "custom" if value.get("type") == "custom" else "function"
    return required_text(required_mapping(value, kind, path), "name", f"{path}.{kind}")


def _parse_allowed_tools(value: Json, *, parallel: bool | None) -> ToolChoice:
    path = "tool_choice.allowed_tools"
    allowed_tools = required_mapping(value, "allowed_tools", "tool_choice")
    mode = enum_value(allowed_tools, "mode", ("auto", "required"), path)
    tool_refs = objects(allowed_tools, "tools", path)
    names = tuple(_parse_tool_name(item, f"{path}.tools[{i}]") for i, item in enumerate(tool_refs))
    return ToolChoice(mode="allowed", names=names, required=mode == "required", parallel=parallel)


def _render_tool_choice(context: ChatRenderContext, body: Json) -> None:
    choice, traits = context.request.tool_choice, context.traits
    if choice is None:
        return
    choice = _restrict_choice(context, body, choice)
    if choice.mode is not None:
        body["tool_choice"] = _render_choice_mode(context, choice)
    if choice.parallel is None:
        return
    if traits.parallel_toggle:
        body["parallel_tool_calls"] = choice.parallel
    elif not choice.parallel:
        context.drop(
            context.request.client_path("parallel"),
            "the upstream cannot disable parallel calls",
        )


def _restrict_choice(context: ChatRenderContext, body: Json, choice: ToolChoice) -> ToolChoice:
    """The choice without the tools that are not sent."""
    if choice.mode not in {"named", "allowed"}:
        return choice
    sent_names = {_sent_name(item) for item in body["tools"]}
    dropped_names = {
        tool.name
        for tool in context.request.tools
        if context.sent_name(tool.name) not in sent_names
    } - sent_names
    names = tuple(name for name in choice.names if name not in dropped_names)
    if names == choice.names:
        return choice
    path = context.request.client_path("tool_choice")
    if not names:
        context.drop(path, "the tool it names is not sent")
        return replace(choice, mode=None)
    context.approximate(path, "the tools that are not sent are removed")
    return replace(choice, names=names)


def _sent_name(tool: Json) -> str:
    """The name of a tool in the request; empty for one of the provider's own format."""
    declaration = object_or_empty(tool.get("function") or tool.get("custom") or tool)
    return string_or_empty(declaration.get("name"))


def _render_choice_mode(context: ChatRenderContext, choice: ToolChoice) -> Any:
    traits = context.traits
    is_forced = choice.mode in {"any", "named"} or choice.required
    if is_forced and not traits.forced_tools:
        reason = f"{traits.model} cannot be forced to call a tool"
        context.approximate(context.request.client_path("tool_choice"), reason, after="auto")
        return "auto"
    match choice.mode:
        case "any":
            return traits.tool_choice_any
        case "named":
            return _render_tool_references(context, choice.names)[0]
        case "allowed" if traits.allowed_tools:
            mode = "required" if choice.required else "auto"
            allowed_tools = {"mode": mode, "tools": _render_tool_references(context, choice.names)}
            return {"type": "allowed_tools", "allowed_tools": allowed_tools}
        case "allowed":
            return traits.tool_choice_any if choice.required else "auto"
        case _:
            return choice.mode


def _render_tool_references(context: ChatRenderContext, names: Iterable[str]) -> list[Json]:
    """The tools of a choice."""
    tools = context.request.tools if context.traits.custom_tools else ()
    customs = {tool.name for tool in tools if tool.kind == "custom"}
    kinds = ((name, "custom" if name in customs else "function") for name in names)
    return [{"type": kind, kind: {"name": context.sent_name(name)}} for name, kind in kinds]
