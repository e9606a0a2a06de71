"""Tools and tool choice: a client's JSON <-> a provider's."""

from __future__ import annotations

from typing import Any, assert_never

from msgspec.structs import replace

from gateway.canon.request import Tool, ToolChoice
from gateway.dialects.gemini.casing import camel_case
from gateway.dialects.gemini.names import CALLING_CONFIG, NAME, Json
from gateway.dialects.gemini.render_context import RenderContext
from gateway.dialects.gemini.schema import from_google_schema, to_gemini_schema
from gateway.dialects.shared.fields import (
    enum_value,
    mapping,
    objects,
    required_text,
    strings,
    text,
)

_FUNCTION_FIELDS = frozenset({"name", "description", "parameters", "parametersJsonSchema"})
_DECLARATIONS = "functionDeclarations"
_CALLING_MODES = ("MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED")
_TEXT_INPUT_SCHEMA: Json = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
}
# Web search: its canonical name, and Google's.
_WEB_SEARCH, _GOOGLE_SEARCH = "web_search", "googleSearch"
# Fields of a search tool that ask for nothing beyond the search itself.
_SEARCH_DEFAULTS = frozenset({"type", "name", "external_web_access"})


# --- a client's --------------------------------------------------------------------------


def parse_tools(body: Json) -> tuple[Tool, ...]:
    """The tools; those that Google runs stay in their native form."""
    tools: list[Tool] = []
    for index, item in enumerate(objects(body, "tools")):
        tool_path = f"tools[{index}]"
        for function_index, function in enumerate(objects(item, _DECLARATIONS, tool_path)):
            tools.append(
                _parse_function(function, f"{tool_path}.{_DECLARATIONS}[{function_index}]")
            )
        tools += [
            _parse_server(key, value, tool_path)
            for key, value in item.items()
            if key != _DECLARATIONS and value is not None
        ]
    return tuple(tools)


def _parse_function(function: Json, path: str) -> Tool:
    schema = mapping(function, "parametersJsonSchema", path)
    if schema is None:
        schema = from_google_schema(mapping(function, "parameters", path))
    extra = {k: v for k, v in function.items() if k not in _FUNCTION_FIELDS and v is not None}
    return Tool(
        name=required_text(function, "name", path),
        description=text(function, "description", path),
        schema=schema,
        dialect=NAME if extra else "",
        extra=extra,
        path=path,
    )


def _parse_server(key: str, value: Any, path: str) -> Tool:
    name = _WEB_SEARCH if camel_case(key) == _GOOGLE_SEARCH else key
    return Tool(name=name, kind="server", dialect=NAME, native={key: value}, path=f"{path}.{key}")


def parse_tool_choice(body: Json, extra: Json) -> ToolChoice | None:
    """Which functions may or must be called; other settings go into `extra`."""
    config = mapping(body, "toolConfig") or {}
    extra |= {
        f"toolConfig.{k}": v
        for k, v in config.items()
        if k != "functionCallingConfig" and v is not None
    }
    calling_config = mapping(config, "functionCallingConfig", "toolConfig")
    if calling_config is None:
        return None
    mode = enum_value(calling_config, "mode", _CALLING_MODES, CALLING_CONFIG)
    names = strings(calling_config, "allowedFunctionNames", CALLING_CONFIG)
    match mode:
        case "ANY" if len(names) == 1:
            return ToolChoice(mode="named", names=names)
        case "ANY" if names:
            return ToolChoice(mode="allowed", names=names, required=True)
        case "ANY":
            return ToolChoice(mode="any")
        case "NONE":
            return ToolChoice(mode="none")
        case "VALIDATED":
            extra[f"{CALLING_CONFIG}.mode"] = mode
            return ToolChoice(mode="allowed", names=names) if names else ToolChoice(mode="auto")
        case _:
            return ToolChoice(mode="auto") if mode == "AUTO" else None


# --- a provider's ------------------------------------------------------------------------


def render_tools(context: RenderContext, body: Json) -> None:
    """Renders the tools and the tool choice into the body."""
    request, traits = context.request, context.traits
    if request.tools and not traits.tools:
        context.drop("tools", f"{context.model} takes no tools")
    offered_tools = _select_tools(context) if traits.tools else []
    functions = [_render_function(context, tool) for tool in offered_tools if tool.kind != "server"]
    tools: list[Json] = [{_DECLARATIONS: functions}] if functions else []
    built_in = [t for t in offered_tools if t.kind == "server"]
    if functions and traits.built_in_with_functions == "none" and not context.same_dialect:
        for tool in built_in:
            context.drop(tool.path, f"{context.model} takes no built-in tools beside functions")
        built_in = []
    built_in_objects = [item for tool in built_in if (item := _render_server_tool(context, tool))]
    tools += built_in_objects
    if tools:
        body["tools"] = tools
    has_both_kinds = bool(functions and built_in_objects) and not context.same_dialect
    needs_invocation_flag = has_both_kinds and traits.built_in_with_functions == "flag"
    config = _render_tool_choice(context, {function["name"] for function in functions})
    if needs_invocation_flag and config == {"mode": "AUTO"}:
        config = None  # not taken with both; the default there (VALIDATED) leaves the choice too
    if config is not None:
        body["toolConfig"] = {"functionCallingConfig": config}
    if needs_invocation_flag:
        body.setdefault("toolConfig", {})["includeServerSideToolInvocations"] = True


def _select_tools(context: RenderContext) -> list[Tool]:
    """The tools to offer: all, or only those that the client allows without forcing one."""
    choice = context.request.tool_choice
    loaded = context.load_deferred_tools()
    if context.same_dialect or (choice is not None and choice.required):
        return loaded
    return context.filter_allowed_tools(loaded)


def _render_function(context: RenderContext, tool: Tool) -> Json:
    declaration: Json = {"name": context.sent_name(tool.name)}
    description = tool.description or ""
    if tool.kind == "custom":
        if grammar := _describe_grammar(tool):
            context.approximate(f"{tool.path}.format", "grammar is not enforced, described in text")
            description = f"{description}\n\n{grammar}".strip()
        else:
            context.approximate(tool.path, "free-text tool sent as a function with one string")
    if description:
        declaration["description"] = description
    declaration["parametersJsonSchema"] = (
        _TEXT_INPUT_SCHEMA if tool.kind == "custom" else _render_schema(context, tool)
    )
    context.drop_cache_marks(tool.cache)
    for key, value in tool.extra.items():
        if tool.dialect == NAME:
            declaration[key] = value
        else:
            context.drop(f"{tool.path}.{key}", "no equivalent")
    return declaration


def _render_schema(context: RenderContext, tool: Tool) -> Json:
    if not tool.schema:
        return {"type": "object", "properties": {}}
    schema, changed = to_gemini_schema(tool.schema)
    if changed:
        schema_field = context.request.client_paths.get("tool_schema")
        why = f"{'/'.join(changed)}: not in Gemini's JSON Schema, moved to descriptions"
        context.approximate(f"{tool.path}.{schema_field}" if schema_field else tool.path, why)
    return schema


def _describe_grammar(tool: Tool) -> str:
    """The grammar of a free-text tool as text; Chat nests it one level deeper."""
    grammar_format: Any = tool.format or {}
    grammar_format = (
        grammar_format.get("grammar", grammar_format) if isinstance(grammar_format, dict) else {}
    )
    if not isinstance(grammar_format, dict) or not isinstance(
        grammar_format.get("definition"), str
    ):
        return ""
    syntax = grammar_format.get("syntax", "")
    return f"The input must match this {syntax} grammar:\n{grammar_format['definition']}"


def _render_server_tool(context: RenderContext, tool: Tool) -> Json | None:
    if tool.dialect == NAME and tool.native is not None:
        return tool.native
    if context.find_web_search(tool) is None:
        return None
    if (tool.native or {}).keys() - _SEARCH_DEFAULTS:
        context.approximate(tool.path, "Google's search takes none of its options")
    return {context.traits.web_search: {}}


def _render_tool_choice(context: RenderContext, declared: set[str]) -> Json | None:
    """The calling config; None where the default holds. `declared` are the functions sent."""
    choice, request = context.request.tool_choice, context.request
    strict = [tool for tool in request.tools if tool.strict]
    if choice is not None and choice.parallel is False:
        context.drop(request.client_path("parallel"), "parallel calls cannot be switched off")
    if not declared:
        if choice is not None and choice.mode in {"any", "named", "allowed"}:
            context.drop(request.client_path("tool_choice"), "no tools are sent")
        return None
    calling_config = _render_choice_mode(context, _restrict_choice(context, choice, declared))
    if strict and (calling_config is None or calling_config["mode"] == "AUTO"):
        for tool in strict:
            context.approximate(
                f"{tool.path}.strict", "calls are held to their schemas (VALIDATED)"
            )
        return {**(calling_config or {}), "mode": "VALIDATED"}
    return calling_config


def _restrict_choice(
    context: RenderContext, choice: ToolChoice | None, declared: set[str]
) -> ToolChoice | None:
    """The choice among functions that are sent: only declared ones may be named."""
    if choice is None or choice.mode not in {"named", "allowed"}:
        return choice
    names = tuple(name for name in choice.names if context.sent_name(name) in declared)
    if names == choice.names:
        return choice
    if names:
        context.approximate(
            context.request.client_path("tool_choice"), "tools that are not sent are not named"
        )
        return replace(choice, names=names)
    context.drop(context.request.client_path("tool_choice"), "the tool that it names is not sent")
    return replace(choice, mode=None)


def _render_choice_mode(context: RenderContext, choice: ToolChoice | None) -> Json | None:
    if choice is None:
        return None
    match choice.mode:
        case None:
            return None
        case "auto":
            return {"mode": "AUTO"}
        case "any":
            return {"mode": "ANY"}
        case "none":
            return {"mode": "NONE"}
        case "named":
            return {"mode": "ANY", "allowedFunctionNames": [context.sent_name(choice.names[0])]}
        case "allowed":
            names = [context.sent_name(name) for name in choice.names]
            if choice.required:
                return {"mode": "ANY", "allowedFunctionNames": names}
            return (
                {"mode": "AUTO", "allowedFunctionNames": names}
                if context.same_dialect
                else {"mode": "AUTO"}
            )
        case _:
            assert_never(choice.mode)
