"""The offered tools, both ways. Ollama has no tool choice."""

from __future__ import annotations

from gateway.canon.object_schema import merge_into_object
from gateway.canon.request import Tool
from gateway.canon.schema import with_object_schemas
from gateway.dialects.ollama.context import NAME, Json, RenderContext
from gateway.dialects.shared.fields import mapping, objects, required_mapping, required_text, text
from gateway.dialects.shared.free_text_tools import TEXT_INPUT_SCHEMA
from gateway.dialects.shared.server_tools import loss_reason

_TOOL_FIELDS = frozenset({"type", "function"})
_FUNCTION_FIELDS = frozenset({"name", "description", "parameters"})


def parse_tools(body: Json) -> tuple[Tool, ...]:
    """The tools of a request."""
    return tuple(_parse_tool(item, f"tools[{n}]") for n, item in enumerate(objects(body, "tools")))


def _parse_tool(item: Json, path: str) -> Tool:
    function = required_mapping(item, "function", path)
    function_path = f"{path}.function"
    extra = {k: v for k, v in function.items() if k not in _FUNCTION_FIELDS and v is not None}
    extra |= {k: v for k, v in item.items() if k not in _TOOL_FIELDS and v is not None}
    return Tool(
        name=required_text(function, "name", function_path),
        description=text(function, "description", function_path),
        schema=mapping(function, "parameters", function_path),
        dialect=NAME if extra else "",
        extra=extra,
        path=path,
    )


def render_tools(context: RenderContext, body: Json) -> None:
    """Render the tools that the tool choice allows into the body."""
    request = context.request
    if not request.tools:
        context.drop_tool_choice()
    elif not context.traits.tools:
        context.drop_tools(f"{context.model} does not support tools")
    else:
        tool_objects = [
            item
            for tool in _select_tools(context)
            if (item := _render_tool(context, tool)) is not None
        ]
        if tool_objects:
            body["tools"] = tool_objects
    choice = request.tool_choice
    if choice is not None and choice.parallel is False:
        context.drop(
            request.client_path("parallel"), "the upstream cannot switch parallel calls off"
        )


def _select_tools(context: RenderContext) -> list[Tool]:
    """The tools to send: the tool choice is expressed by leaving out the other tools."""
    tools, choice = context.load_deferred_tools(), context.function_choice()
    path = context.request.client_path("tool_choice")
    match choice.mode if choice is not None else None:
        case "none":
            context.approximate(path, "the upstream has no tool_choice: no tools are sent")
            return []
        case "any":
            context.drop(path, "the upstream cannot be forced to call a tool")
        case "named" | "allowed":
            assert choice is not None
            context.approximate(
                path, "the upstream has no tool_choice: only the tools it names are sent"
            )
            chosen_names = frozenset(choice.names)
            return [tool for tool in tools if tool.name in chosen_names]
        case _:
            pass
    return tools


def _render_tool(context: RenderContext, tool: Tool) -> Json | None:
    context.drop_cache_marks(tool.cache)
    if tool.kind == "server":
        context.drop(tool.path, loss_reason(tool))
        return None
    if tool.strict:
        context.drop(
            context.part_field(tool.path, "tool_strict"),
            "the upstream does not support strict tools",
        )
    description = tool.description
    schema, merge_note = merge_into_object(parameters_schema(tool.schema))
    if merge_note:
        context.approximate(tool.path, merge_note)
    if tool.kind == "custom":
        description, schema = _describe_custom_tool(context, tool), TEXT_INPUT_SCHEMA
    function: Json = {"name": tool.name}
    if description is not None:
        function["description"] = description
    function["parameters"] = schema
    for key, value in tool.extra.items():
        if tool.dialect == NAME:
            function[key] = value
        else:
            context.drop(f"{tool.path}.{key}", "no equivalent in Ollama")
    return {"type": "function", "function": function}


def _describe_custom_tool(context: RenderContext, tool: Tool) -> str | None:
    """The description of a free-text tool, with its grammar."""
    grammar = (tool.format or {}).get("grammar", tool.format or {})
    definition = grammar.get("definition") if isinstance(grammar, dict) else None
    if not isinstance(definition, str) or not definition:
        context.approximate(
            tool.path, "free-text tool sent as a function with one string parameter"
        )
        return tool.description
    context.approximate(
        context.part_field(tool.path, "tool_format"),
        "the grammar is not enforced, only described in text",
    )
    syntax = grammar.get("syntax", "")
    grammar_text = f"The input must match this {syntax} grammar:\n{definition}"
    return f"{tool.description or ''}\n\n{grammar_text}".strip()


def parameters_schema(schema: Json | None) -> Json:
    """A tool's schema, always an object with `properties`."""
    if not schema:
        return {"type": "object", "properties": {}}
    out = {key: value for key, value in with_object_schemas(schema).items() if key != "$schema"}
    if out.get("type") == "object":
        out.setdefault("properties", {})
    return out
