"""Tools and tool choice, as a provider's `toolConfig`."""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace

from gateway.canon.request import Tool, ToolChoice
from gateway.canon.schema import inline_references, with_object_schemas
from gateway.dialects.bedrock_converse.context import NAME, Json, RenderContext
from gateway.dialects.bedrock_converse.messages import is_blank
from gateway.dialects.shared.free_text_tools import TEXT_INPUT_SCHEMA, describe_free_text_tool
from gateway.dialects.shared.unique_tools import unique_tools
from gateway.dialects.shared.web_search import has_options

_PLAIN_FIELDS = frozenset({"type", "properties", "required"})
_EMPTY_SCHEMA: Json = {"type": "object", "properties": {}}


def render_tools(context: RenderContext, body: Json) -> None:
    """Render the tools and the tool choice into the body.

    The body must contain the messages: calls in the history require their tools.
    """
    request, traits = context.request, context.traits
    if request.tools and not traits.tools:
        context.drop_tools(f"{context.model} does not support tools")
    called_tools = _called_tool_names(body["messages"])
    choice = request.tool_choice
    forbids_calls = choice is not None and choice.mode == "none"
    offered_tools = []
    if traits.tools and not (forbids_calls and not called_tools):
        loaded_tools = context.filter_allowed_tools(context.load_deferred_tools())
        offered_tools = unique_tools(context, loaded_tools)
    tools: list[Json] = []
    for tool in offered_tools:
        tool_object = _render_tool(context, tool)
        if tool_object is not None:
            tools.append(tool_object)
            if traits.tool_cache:
                context.add_cache_breakpoint(tools, tool.cache)
            else:
                context.drop_cache_marks(tool.cache)
    if forbids_calls and called_tools and tools:
        reason = "`none` is not supported; tools are kept because the history contains tool calls"
        context.approximate(request.client_path("tool_choice"), reason)
    if not tools and called_tools:
        tools = [_render_undeclared_tool(name) for name in called_tools]
        context.approximate(
            context.request.client_path("tools"),
            "the history contains tool calls: their tools are declared",
        )
    if not tools:
        context.drop_tool_choice()
        return
    config: Json = {"tools": tools}
    if not forbids_calls and (tool_choice := _render_tool_choice(context, tools)) is not None:
        config["toolChoice"] = tool_choice
    body["toolConfig"] = config


def _called_tool_names(messages: list[Json]) -> list[str]:
    """The names of the tools that were called in the history."""
    blocks = (block for message in messages for block in message["content"])
    return list(dict.fromkeys(block["toolUse"]["name"] for block in blocks if "toolUse" in block))


def _render_undeclared_tool(name: str) -> Json:
    return {"toolSpec": {"name": name, "inputSchema": {"json": dict(_EMPTY_SCHEMA)}}}


def _render_tool(context: RenderContext, tool: Tool) -> Json | None:
    match tool.kind:
        case "server":
            return _render_server_tool(context, tool)
        case "custom":
            description = describe_free_text_tool(context, tool)
            for key in tool.extra:
                context.drop(f"{tool.path}.{key}", "no equivalent")
            return _render_tool_spec(context, tool, description, TEXT_INPUT_SCHEMA)
        case "function":
            return _render_function_tool(context, tool)
        case _:
            assert_never(tool.kind)


def _render_server_tool(context: RenderContext, tool: Tool) -> Json | None:
    if tool.dialect == NAME and tool.native is not None:
        return tool.native
    if context.find_web_search(tool) is None:
        return None
    if has_options(tool):
        context.approximate(tool.path, "the provider's search does not support these options")
    return {"systemTool": {"name": context.traits.web_search}}


def _render_function_tool(context: RenderContext, tool: Tool) -> Json:
    schema = context.tool_schema(tool)
    if context.traits.plain_tool_schemas:
        schema = _plain_schema(context, tool, with_object_schemas(schema))
    out = _render_tool_spec(context, tool, tool.description or "", schema)
    if tool.strict:
        spec = out["toolSpec"]
        reason = "the schema is outside the subset that can be enforced"
        strict_schema = context.strict_tool_schema(tool, spec["inputSchema"]["json"], reason)
        if strict_schema is not None:
            spec |= {"strict": True, "inputSchema": {"json": strict_schema}}
    for key in tool.extra:
        context.drop(f"{tool.path}.{key}", "no equivalent")
    return out


def _plain_schema(context: RenderContext, tool: Tool, schema: Json) -> Json:
    """The schema with only the fields that Nova accepts at its root."""
    unsupported = schema.keys() - _PLAIN_FIELDS
    if not unsupported:
        return schema
    names = ", ".join(sorted(unsupported))
    reason = f"{context.model} accepts only type, properties and required here, not {names}"
    context.approximate(context.part_field(tool.path, "tool_schema"), reason)
    inlined = inline_references(schema)
    return {key: value for key, value in inlined.items() if key in _PLAIN_FIELDS}


def _render_tool_spec(context: RenderContext, tool: Tool, description: str, schema: Json) -> Json:
    spec: Json = {"name": context.sent_name(tool.name)}
    if not is_blank(description):
        spec["description"] = description
    spec["inputSchema"] = {"json": schema}
    return {"toolSpec": spec}


# --- tool choice ----------------------------------------------------------------------------------


def _render_tool_choice(context: RenderContext, tools: list[Json]) -> Json | None:
    choice = context.request.tool_choice
    if choice is None:
        return None
    if choice.mode == "named" and context.sent_name(choice.names[0]) not in _sent_tool_names(tools):
        context.drop(context.request.client_path("tool_choice"), "the tool it names is not sent")
        choice = replace(choice, mode=None)
    choice_object = _render_choice_mode(context, choice)
    if choice.parallel is False:
        _render_single_call(context, choice_object)
    return choice_object


def _sent_tool_names(tools: list[Json]) -> set[str]:
    return {item["toolSpec"]["name"] for item in tools if "toolSpec" in item}


def _render_choice_mode(context: RenderContext, choice: ToolChoice) -> Json | None:
    is_forced = choice.mode in {"any", "named"} or (choice.mode == "allowed" and choice.required)
    if is_forced and not context.traits.forced_tools:
        reason = f"{context.model} cannot be forced to call a tool"
        context.approximate(context.request.client_path("tool_choice"), reason, after="auto")
        return None
    match choice.mode:
        case "named":
            return {"tool": {"name": context.sent_name(choice.names[0])}}
        case "any":
            return {"any": {}}
        case "allowed":
            return {"any": {}} if choice.required else {"auto": {}}
        case "auto":
            return {"auto": {}}
        case "none" | None:
            return None
        case _:
            assert_never(choice.mode)


def _render_single_call(context: RenderContext, choice: Json | None) -> None:
    """Disable parallel tool calls, which only Claude supports, through its model fields."""
    if not context.traits.parallel_toggle:
        path = context.request.client_path("parallel")
        context.drop(path, "the upstream cannot switch parallel calls off")
        return
    claude_choice: Json = {"type": "auto"}
    if choice is not None and "any" in choice:
        claude_choice = {"type": "any"}
    elif choice is not None and "tool" in choice:
        claude_choice = {"type": "tool", "name": choice["tool"]["name"]}
    context.model_fields["tool_choice"] = {**claude_choice, "disable_parallel_tool_use": True}
