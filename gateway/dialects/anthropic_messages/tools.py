"""Tools and tool choice: a client's to canonical, and back for a provider."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, assert_never

from msgspec.structs import replace

from gateway.canon.errors import invalid
from gateway.canon.request import Native, Tool, ToolChoice, ToolResult, Turn
from gateway.dialects.anthropic_messages.blocks import parse_cache_control
from gateway.dialects.anthropic_messages.context import NAME, Json, RenderContext
from gateway.dialects.shared import code_execution, mcp, web_search
from gateway.dialects.shared.fields import (
    boolean,
    enum_value,
    mapping,
    objects,
    required_text,
    text,
)
from gateway.dialects.shared.free_text_tools import TEXT_INPUT_SCHEMA, describe_free_text_tool
from gateway.dialects.shared.unique_tools import unique_tools
from gateway.dialects.shared.web_search import WebSearch, user_location

_FUNCTION_FIELDS = frozenset(
    {"type", "name", "description", "input_schema", "strict", "defer_loading", "cache_control"}
)
_EMPTY_SCHEMA: Json = {"type": "object", "properties": {}}
_TEXT_INPUT_SCHEMA: Json = {**TEXT_INPUT_SCHEMA, "additionalProperties": False}
_CHOICE_TYPES = ("auto", "any", "none", "tool")


# --- tools ----------------------------------------------------------------------------------------


def parse_tools(body: Json, turns: tuple[Turn, ...]) -> tuple[Tool, ...]:
    """The tools; server tools stay in their native form.

    A deferred tool that the conversation has loaded is offered like any other; only this
    dialect is still told that it was deferred.
    """
    tools = [_parse_tool(item, f"tools[{i}]") for i, item in enumerate(objects(body, "tools"))]
    if not any(tool.defer for tool in tools):
        return tuple(tools)
    loaded_names = set(_loaded_tool_names(turns))
    return tuple([_clear_defer(tool) if tool.name in loaded_names else tool for tool in tools])


def _clear_defer(tool: Tool) -> Tool:
    if not tool.defer or tool.kind == "server":
        return tool
    return replace(tool, defer=False, dialect=NAME, extra={**tool.extra, "defer_loading": True})


def _loaded_tool_names(turns: tuple[Turn, ...]) -> Iterator[str]:
    """The names of tools that a search has found or a system message has added."""
    for turn in turns:
        for part in turn.parts:
            inner_parts = part.parts if isinstance(part, ToolResult) else (part,)
            for block in (native.data for native in inner_parts if isinstance(native, Native)):
                reference = block.get("tool") if block["type"] == "tool_addition" else block
                if isinstance(reference, dict) and reference.get("type") == "tool_reference":
                    yield str(reference.get("tool_name") or reference.get("name"))


def _parse_tool(item: Json, path: str) -> Tool:
    tool_type = text(item, "type", path)
    if tool_type not in (None, "custom"):
        name = text(item, "name", path) or tool_type
        return Tool(
            name=name,
            kind="server",
            dialect=NAME,
            native=item,
            defer=bool(boolean(item, "defer_loading", path)),
            path=path,
        )
    extra = {k: v for k, v in item.items() if k not in _FUNCTION_FIELDS and v is not None}
    return Tool(
        name=required_text(item, "name", path),
        description=text(item, "description", path),
        schema=mapping(item, "input_schema", path),
        strict=boolean(item, "strict", path),
        defer=bool(boolean(item, "defer_loading", path)),
        cache=parse_cache_control(item, path),
        dialect=NAME if extra else "",
        extra=extra,
        path=path,
    )


def render_tools(context: RenderContext, body: Json) -> None:
    """Render the tools and the tool choice into the body."""
    request, traits = context.request, context.traits
    if request.tools and not traits.tools:
        context.drop_tools(f"{context.model} does not support tools")
    request_tools = unique_tools(context, request.tools) if traits.tools else []
    offered_tools = context.filter_allowed_tools(request_tools)
    tools = [item for tool in offered_tools if (item := _render_tool(context, tool)) is not None]
    if tools:
        body["tools"] = tools
    if servers := _mcp_servers(context, offered_tools):
        body[mcp.SERVERS] = servers
    choice = _render_tool_choice(context, tools)
    if choice is not None:
        body["tool_choice"] = choice


def render_history_tools(context: RenderContext, body: Json) -> None:
    """Declare the tools of calls in the history: the API refuses calls without tools."""
    blocks = (block for message in body["messages"] for block in message["content"])
    names = dict.fromkeys(block["name"] for block in blocks if block.get("type") == "tool_use")
    if not names:
        return
    body["tools"] = [{"name": name, "input_schema": dict(_EMPTY_SCHEMA)} for name in names]
    body["tool_choice"] = {"type": "none"}
    context.approximate(
        "tools", "the history contains tool calls: their tools are declared, but cannot be called"
    )


def _render_tool(context: RenderContext, tool: Tool) -> Json | None:
    match tool.kind:
        case "server":
            return _render_server_tool(context, tool)
        case "custom":
            return _render_custom_tool(context, tool)
        case "function":
            return _render_function_tool(context, tool)
        case _:
            assert_never(tool.kind)


def _render_server_tool(context: RenderContext, tool: Tool) -> Json | None:
    if tool.dialect == NAME and tool.native is not None:
        return tool.native
    if tool.name != web_search.NAME and (tool.native or {}).get("type") == mcp.TOOL:
        return _render_mcp_toolset(context, tool)
    if context.requests_code_execution(tool):
        return {"type": context.traits.code_execution, "name": code_execution.NAME}
    search = context.find_web_search(tool)
    return _render_web_search(context, tool, search) if search is not None else None


def _render_mcp_toolset(context: RenderContext, tool: Tool) -> Json | None:
    """The toolset for OpenAI's MCP tool; None, reported, if the target cannot call the server."""
    server = (
        mcp.parse_openai_tool(tool)
        if context.traits.mcp_servers
        else "the target does not call MCP servers"
    )
    if isinstance(server, str):
        context.drop(tool.path, server)
        return None
    for field, reason in server.losses:
        context.drop(f"{tool.path}.{field}", reason)
    return mcp.render_anthropic(server)[1]


def _mcp_servers(context: RenderContext, tools: list[Tool]) -> list[Json]:
    """The servers of OpenAI's MCP tools."""
    if not context.traits.mcp_servers:
        return []
    servers = [
        mcp.parse_openai_tool(tool)
        for tool in tools
        if tool.dialect != NAME and (tool.native or {}).get("type") == mcp.TOOL
    ]
    return [mcp.render_anthropic(s)[0] for s in servers if not isinstance(s, str)]


def _render_web_search(context: RenderContext, tool: Tool, search: WebSearch) -> Json:
    """Render another dialect's web search as Anthropic's tool."""
    tool_object: Json = {"type": context.traits.web_search, "name": web_search.NAME}
    if search.allowed:
        tool_object["allowed_domains"] = search.allowed
    elif search.blocked:
        tool_object["blocked_domains"] = search.blocked
    if (limit := web_search.max_tool_calls(context.request)) is not None and limit > 0:
        # Anthropic limits each tool, OpenAI all of them together.
        tool_object["max_uses"] = limit
        if sum(item.kind == "server" for item in context.request.tools) > 1:
            reason = "the limit applies to web searches only"
            context.approximate(web_search.MAX_TOOL_CALLS, reason, before=limit)
        context.request = web_search.without_max_tool_calls(context.request)
    context.request = web_search.without_included_sources(context.request)
    if search.size is not None:
        context.drop(f"{tool.path}.search_context_size", "no equivalent")
    return tool_object | user_location(search.location)


def _render_custom_tool(context: RenderContext, tool: Tool) -> Json:
    """A free-text tool as a function with one string."""
    tool_object: Json = {"name": context.sent_name(tool.name)}
    if description := describe_free_text_tool(context, tool):
        tool_object["description"] = description
    tool_object["input_schema"] = _TEXT_INPUT_SCHEMA
    if tool.defer:
        tool_object["defer_loading"] = True
    for key in tool.extra:
        context.drop(f"{tool.path}.{key}", "no equivalent in Anthropic Messages")
    return context.add_cache_breakpoint(tool_object, tool.cache)


def _render_function_tool(context: RenderContext, tool: Tool) -> Json:
    tool_object: Json = {"name": context.sent_name(tool.name)}
    if tool.description is not None:
        tool_object["description"] = tool.description
    tool_object["input_schema"] = context.tool_schema(tool)
    if tool.strict:
        reason = "the schema is outside Anthropic's strict subset"
        schema = context.strict_tool_schema(tool, tool_object["input_schema"], reason)
        if schema is not None:
            tool_object |= {"strict": True, "input_schema": schema}
    if tool.defer:
        tool_object["defer_loading"] = True
    for key, value in tool.extra.items():
        if tool.dialect == NAME:
            tool_object[key] = value
        else:
            context.drop(f"{tool.path}.{key}", "no equivalent")
    return context.add_cache_breakpoint(tool_object, tool.cache)


# --- tool choice ----------------------------------------------------------------------------------


def parse_tool_choice(body: Json) -> ToolChoice | None:
    """Which tools may or must be called."""
    choice_object = mapping(body, "tool_choice")
    if choice_object is None:
        return None
    choice_type = enum_value(choice_object, "type", _CHOICE_TYPES, "tool_choice")
    if choice_type is None:
        path = "tool_choice.type"
        raise invalid(f"{path} is required and must be one of {', '.join(_CHOICE_TYPES)}", path)
    single = boolean(choice_object, "disable_parallel_tool_use", "tool_choice")
    parallel = None if single is None else not single
    if choice_type == "tool":
        name = required_text(choice_object, "name", "tool_choice")
        return ToolChoice(mode="named", names=(name,), parallel=parallel)
    mode: Literal["auto", "any", "none"] = choice_type  # type: ignore[assignment]
    return ToolChoice(mode=mode, parallel=parallel)


def _render_tool_choice(context: RenderContext, sent_tools: list[Json]) -> Json | None:
    choice, request = context.request.tool_choice, context.request
    if choice is None:
        return None
    if not sent_tools:
        context.drop_tool_choice()
        return None
    if choice.mode == "named" and _is_not_sent(context, choice.names[0], sent_tools):
        context.drop(request.client_path("tool_choice"), "the tool it names is not sent")
        choice = replace(choice, mode=None)
    choice_object = _render_choice_mode(context, choice)
    if choice.parallel is not False or (choice_object or {}).get("type") == "none":
        return choice_object
    if not context.traits.parallel_toggle:
        context.drop(
            request.client_path("parallel"), "the upstream cannot switch parallel calls off"
        )
        return choice_object
    return {**(choice_object or {"type": "auto"}), "disable_parallel_tool_use": True}


def _is_not_sent(context: RenderContext, name: str, sent_tools: list[Json]) -> bool:
    """Whether the client's tool of this name has no equivalent among those sent."""
    if any(item.get("name") == context.sent_name(name) for item in sent_tools):
        return False
    return any(tool.name == name for tool in context.request.tools)


def _render_choice_mode(context: RenderContext, choice: ToolChoice) -> Json | None:
    is_forced = choice.mode in {"any", "named"} or (choice.mode == "allowed" and choice.required)
    if is_forced and not context.traits.forced_tools:
        reason = f"{context.model} cannot be forced to call a tool"
        context.approximate(context.request.client_path("tool_choice"), reason, after="auto")
        return {"type": "auto"}
    match choice.mode:
        case None:
            return None
        case "named":
            return {"type": "tool", "name": context.sent_name(choice.names[0])}
        case "allowed":
            return {"type": "any" if choice.required else "auto"}
        case "auto" | "any" | "none":
            return {"type": choice.mode}
        case _:
            assert_never(choice.mode)
