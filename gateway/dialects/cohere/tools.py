"""Tools and tool choice for a provider's request."""

from __future__ import annotations

from gateway.canon.object_schema import merge_into_object
from gateway.canon.request import Tool, ToolChoice
from gateway.canon.schema import with_object_schemas
from gateway.dialects.cohere.context import Json, RenderContext
from gateway.dialects.shared.free_text_tools import TEXT_INPUT_SCHEMA, describe_free_text_tool
from gateway.dialects.shared.server_tools import loss_reason
from gateway.dialects.shared.unique_tools import unique_tools


def render_tools(context: RenderContext, body: Json) -> None:
    """Render the tools and the tool choice into the body."""
    request, traits = context.request, context.traits
    if request.tools and not traits.tools:
        context.drop_tools(f"{context.model} does not support tools")
    choice = context.function_choice()
    selected_tools = _select_tools(context, choice) if traits.tools else []
    offered_tools = unique_tools(context, selected_tools)
    tools = [
        tool_object
        for tool in offered_tools
        if (tool_object := _render_tool(context, tool)) is not None
    ]
    if tools:
        body["tools"] = tools
        if any(tool.strict for tool in offered_tools):
            body["strict_tools"] = True
    _render_tool_choice(context, body, choice)


def _select_tools(context: RenderContext, choice: ToolChoice | None) -> list[Tool]:
    """The tools to offer: all, or only those that may be called."""
    tools = context.load_deferred_tools()
    if choice is None or choice.mode not in {"named", "allowed"}:
        return tools
    names = frozenset(choice.names)
    selected_tools = [tool for tool in tools if tool.name in names]
    if len(selected_tools) == len(tools):
        return tools
    reason = "only the allowed tools are sent"
    if choice.mode == "named":
        reason = "named choice: REQUIRED with only that tool sent"
    context.approximate(context.request.client_path("tool_choice"), reason)
    return selected_tools


def _render_tool(context: RenderContext, tool: Tool) -> Json | None:
    context.drop_cache_marks(tool.cache)
    if tool.kind == "server":
        context.drop(tool.path, loss_reason(tool))
        return None
    description = tool.description or ""
    if tool.kind == "custom":
        description = describe_free_text_tool(context, tool)
    for key in tool.extra:
        context.drop(f"{tool.path}.{key}", "no equivalent")
    function: Json = {"name": context.sent_name(tool.name)}
    if description:
        function["description"] = description
    schema, merge_note = merge_into_object(
        TEXT_INPUT_SCHEMA if tool.kind == "custom" else tool.schema
    )
    if merge_note:
        context.approximate(tool.path, merge_note)
    function["parameters"] = with_object_schemas(schema)
    return {"type": "function", "function": function}


def _render_tool_choice(context: RenderContext, body: Json, choice: ToolChoice | None) -> None:
    request = context.request
    if choice is None:
        return
    if choice.parallel is False:
        context.drop(request.client_path("parallel"), "parallel calls cannot be switched off")
    is_forced = choice.mode in {"any", "named"} or (choice.mode == "allowed" and choice.required)
    if "tools" not in body:
        if is_forced or choice.mode == "allowed":
            context.drop(request.client_path("tool_choice"), "no tools are sent")
        return
    if is_forced and not context.traits.forced_tools:
        reason = f"{context.model} cannot be forced to call a tool"
        context.approximate(request.client_path("tool_choice"), reason, after="auto")
    elif is_forced:
        body["tool_choice"] = "REQUIRED"
    elif choice.mode == "none":
        body["tool_choice"] = "NONE"
