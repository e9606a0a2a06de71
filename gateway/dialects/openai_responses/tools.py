"""Tools and tool choice: a client's to canonical, and back for a provider."""

from __future__ import annotations

from typing import Any, assert_never

from msgspec.structs import replace

from gateway.canon.errors import invalid
from gateway.canon.request import Tool, ToolChoice
from gateway.dialects.openai_responses.context import (
    CLIENT_TOOL_SEARCH,
    NAME,
    TOOL_SEARCH,
    Json,
    ResponsesRenderContext,
    is_client_tool_search,
    join_name,
    split_name,
)
from gateway.dialects.shared import code_execution, mcp, web_search
from gateway.dialects.shared.fields import (
    boolean,
    enum_value,
    join_path,
    mapping,
    objects,
    required_text,
    text,
    wrong_type,
)
from gateway.dialects.shared.openai_schema import strict_schema, tool_parameters
from gateway.dialects.shared.server_tools import (
    loss_reason,
    responses_type,
    searches_openai_stores,
)
from gateway.dialects.shared.web_search import WebSearch, user_location

# --- a client's tools -----------------------------------------------------------------------------

_FUNCTION_FIELDS = frozenset(
    {"type", "name", "description", "parameters", "strict", "defer_loading"}
)
_CUSTOM_FIELDS = frozenset({"type", "name", "description", "format", "defer_loading"})
_MODES = {"none": "none", "auto": "auto", "required": "any", "any": "any"}


def parse_tools(holder: Json, path: str) -> list[Tool]:
    """The tools in a `tools` field; the names of tools in a namespace include it."""
    field_path = join_path(path, "tools")
    tools: list[Tool] = []
    for index, item in enumerate(objects(holder, "tools", path)):
        item_path = f"{field_path}[{index}]"
        if item.get("type") == "namespace":
            tools += _parse_namespace(item, item_path)
        else:
            tools.append(_parse_tool(item, item_path))
    return tools


def merge_tools(tools: list[Tool], added_tools: list[Tool]) -> tuple[Tool, ...]:
    """The request's tools and those of its items, of which the last with a name is used.

    Functions of one name in the request itself are all kept: whether they may be is the
    target's choice.
    """
    last_tools = {tool.name: tool for tool in tools if tool.kind == "server"}
    last_tools |= {tool.name: tool for tool in added_tools}
    kept_tools = [tool for tool in tools if tool.name not in last_tools]
    return (*kept_tools, *last_tools.values())


def _parse_namespace(item: Json, path: str) -> list[Tool]:
    namespace = required_text(item, "name", path)
    description = text(item, "description", path) or None
    inner_tools = enumerate(objects(item, "tools", path))
    tools = [_parse_tool(tool, f"{path}.tools[{index}]", namespace) for index, tool in inner_tools]
    if description is None:
        return tools
    return [replace(tool, group_description=description) for tool in tools]


def _parse_tool(item: Json, path: str, namespace: str | None = None) -> Tool:
    match text(item, "type", path):
        case "function":
            return _parse_function(item, path, namespace)
        case "custom":
            return _parse_custom_tool(item, path, namespace)
        case kind if kind == TOOL_SEARCH and is_client_tool_search(item):
            return Tool(
                name=CLIENT_TOOL_SEARCH,
                description=text(item, "description", path),
                schema=mapping(item, "parameters", path),
                path=path,
            )
        case None:
            raise invalid(
                f"{path}.type is required and must be a string such as 'function'", f"{path}.type"
            )
        case kind:
            name = (
                text(item, "name", path) or text(item, "server_label", path) or _hosted_name(kind)
            )
            return Tool(name=name, kind="server", dialect=NAME, native=item, path=path)


def _parse_function(item: Json, path: str, namespace: str | None) -> Tool:
    extra = _fields_except(item, _FUNCTION_FIELDS)
    return Tool(
        name=join_name(namespace, required_text(item, "name", path)),
        description=text(item, "description", path),
        schema=mapping(item, "parameters", path),
        strict=boolean(item, "strict", path),
        defer=bool(boolean(item, "defer_loading", path)),
        dialect=NAME if extra else "",
        extra=extra,
        path=path,
    )


def _parse_custom_tool(item: Json, path: str, namespace: str | None) -> Tool:
    extra = _fields_except(item, _CUSTOM_FIELDS)
    return Tool(
        name=join_name(namespace, required_text(item, "name", path)),
        kind="custom",
        description=text(item, "description", path),
        format=_parse_format(mapping(item, "format", path)),
        defer=bool(boolean(item, "defer_loading", path)),
        dialect=NAME if extra else "",
        extra=extra,
        path=path,
    )


def _fields_except(item: Json, excluded_names: frozenset[str]) -> Json:
    if item.keys() <= excluded_names:
        return {}
    return {
        key: value for key, value in item.items() if key not in excluded_names and value is not None
    }


def _parse_format(form: Json | None) -> Json | None:
    """The grammar nested one level deeper, as in Chat and in the canonical tool."""
    if form is None or form.get("type") != "grammar" or "grammar" in form:
        return form
    return {
        "type": "grammar",
        "grammar": {key: value for key, value in form.items() if key != "type"},
    }


# --- tool choice ----------------------------------------------------------------------------------


def parse_tool_choice(body: Json) -> ToolChoice | None:
    """The tool choice."""
    parallel = boolean(body, "parallel_tool_calls")
    value = body.get("tool_choice")
    if value is None:
        return None if parallel is None else ToolChoice(parallel=parallel)
    if type(value) is str:
        mode_name = enum_value({"tool_choice": value}, "tool_choice", tuple(_MODES)) or "auto"
        return ToolChoice(mode=_MODES[mode_name], parallel=parallel)  # type: ignore[arg-type]
    if type(value) is not dict:
        raise wrong_type("tool_choice", "a string or an object", value)
    if value.get("type") == "allowed_tools":
        return _parse_allowed_tools(value, parallel=parallel)
    name = _parse_tool_name(value, "tool_choice")
    return ToolChoice(mode="named", names=(name,), parallel=parallel)


def _parse_tool_name(value: Json, path: str) -> str:
    """The name of the chosen tool; hosted tools are named by their type."""
    if text(value, "type", path) in {"function", "custom"}:
        return join_name(text(value, "namespace", path), required_text(value, "name", path))
    return text(value, "server_label", path) or _hosted_name(required_text(value, "type", path))


def _hosted_name(kind: str) -> str:
    """The name of a hosted tool; all versions of web search have one name."""
    if kind == code_execution.OPENAI_TOOL:
        return code_execution.NAME
    return web_search.NAME if kind.startswith(web_search.NAME) else kind


def _parse_allowed_tools(value: Json, *, parallel: bool | None) -> ToolChoice:
    mode = enum_value(value, "mode", ("auto", "required"), "tool_choice")
    tool_refs = objects(value, "tools", "tool_choice")
    names = tuple(
        _parse_tool_name(item, f"tool_choice.tools[{i}]") for i, item in enumerate(tool_refs)
    )
    return ToolChoice(mode="allowed", names=names, required=mode == "required", parallel=parallel)


# --- a provider's tools ---------------------------------------------------------------------------

_FREE_TEXT_SCHEMA: Json = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}


def render_tools(context: ResponsesRenderContext, body: Json) -> None:
    """Render the tools and the tool choice into the body."""
    request, traits = context.request, context.traits
    if request.tools and not traits.tools:
        context.drop_tools(f"{context.model} does not support tools")
    # A client of this dialect handles deferred tools itself.
    load_result = list(request.tools) if context.native else context.load_deferred_tools()
    offered_tools = load_result if traits.tools else []
    sent_tools: list[tuple[Tool, Json]] = []
    if not context.traits.allowed_tools:
        offered_tools = context.filter_allowed_tools(offered_tools)
    for tool in offered_tools:
        item = _render_tool(context, tool, body)
        if item is not None:
            sent_tools.append((tool, item))
    if not sent_tools:
        context.drop_tool_choice()
        return
    body["tools"] = _group_by_namespace(context, sent_tools)
    _render_tool_choice(context, body, {tool.name: item for tool, item in sent_tools})


def _render_tool(context: ResponsesRenderContext, tool: Tool, body: Json) -> Json | None:
    context.drop_cache_marks(tool.cache)
    match tool.kind:
        case "server":
            return _render_server_tool(context, tool, body)
        case "custom" if context.traits.custom_tools:
            out: Json = {"type": "custom", **_render_name_and_description(context, tool)}
            if tool.format is not None:
                out["format"] = _render_format(tool.format)
            return _add_extra_fields(context, tool, out)
        case "custom":
            return _render_custom_as_function(context, tool)
        case "function":
            return _render_function(context, tool)
        case _:
            assert_never(tool.kind)


def _render_name_and_description(context: ResponsesRenderContext, tool: Tool) -> Json:
    out: Json = {"name": context.sent_name(tool.name)["name"]}
    if tool.description is not None:
        out["description"] = tool.description
    return out


def _add_extra_fields(context: ResponsesRenderContext, tool: Tool, out: Json) -> Json:
    if tool.defer and context.native:
        out["defer_loading"] = True
    for key, value in tool.extra.items():
        if tool.dialect == NAME:
            out[key] = value
        else:
            context.drop(f"{tool.path}.{key}", "no equivalent in OpenAI Responses")
    return out


def _render_function(context: ResponsesRenderContext, tool: Tool) -> Json:
    schema, schema_change = tool_parameters(tool.schema)
    if schema_change:
        context.approximate(tool.path, schema_change)
    out: Json = {
        "type": "function",
        **_render_name_and_description(context, tool),
        "strict": False,
        "parameters": schema,
    }
    # Always set: the API's default is strict mode.
    if tool.strict and not context.traits.strict_tools:
        context.drop(
            context.part_field(tool.path, "tool_strict"),
            "the upstream does not support strict tools",
        )
    elif tool.strict:
        strict_result = strict_schema(schema)
        if strict_result is not None and not strict_result[1]:
            out |= {"strict": True, "parameters": strict_result[0]}
        else:
            reason = "the schema is outside OpenAI's strict subset"
            context.approximate(
                context.part_field(tool.path, "tool_strict"), reason, before=True, after=False
            )
    return _add_extra_fields(context, tool, out)


def _render_format(form: Json) -> Json:
    """A grammar, which the canonical tool nests one level deeper."""
    grammar = form.get("grammar")
    return {"type": "grammar", **grammar} if isinstance(grammar, dict) else form


def _render_custom_as_function(context: ResponsesRenderContext, tool: Tool) -> Json:
    """A free-text tool as a function with one string argument."""
    context.approximate(tool.path, "free-text tool sent as a function with one string parameter")
    out: Json = {"type": "function", **_render_name_and_description(context, tool)}
    grammar: Any = (tool.format or {}).get("grammar")
    if isinstance(grammar, dict) and grammar.get("definition"):
        grammar_note = f"The input must match this grammar:\n{grammar['definition']}"
        out["description"] = f"{tool.description or ''}\n\n{grammar_note}".strip()
    return {**out, "strict": False, "parameters": _FREE_TEXT_SCHEMA}


def _group_by_namespace(
    context: ResponsesRenderContext, sent_tools: list[tuple[Tool, Json]]
) -> list[Json]:
    """The tools, grouped into the client's namespaces again."""
    out: list[Json] = []
    namespaces: dict[str, Json] = {}
    for tool, item in sent_tools:
        namespace = split_name(tool.name)[0] if context.native else ""
        if not namespace:
            out.append(item)
            continue
        if namespace not in namespaces:
            description = tool.group_description or namespace
            namespace_fields: Json = {
                "type": "namespace",
                "name": namespace,
                "description": description,
            }
            namespaces[namespace] = {**namespace_fields, "tools": []}
            out.append(namespaces[namespace])
        namespaces[namespace]["tools"].append(item)
    return out


# --- tools that the provider runs -----------------------------------------------------------------

_CHAT = "openai_chat"
# Types of tools that OpenAI runs, as far as Chat clients send them.
_OPENAI_TOOLS = frozenset({"web_search", "web_search_preview", "code_interpreter", "mcp"})
# The field of xAI's search with the domains to exclude; it excludes a list of allowed ones.
_EXCLUDED_DOMAINS = "excluded_domains"
# Options that request nothing.
_DEFAULT_OPTIONS: Json = {"container": {"type": "auto"}, "external_web_access": True}


def _render_server_tool(context: ResponsesRenderContext, tool: Tool, body: Json) -> Json | None:
    supported_tools = context.traits.built_in_tools
    if not supported_tools:
        return _render_openai_tool(context, tool, body)
    fields = supported_tools.get(responses_type(tool))
    reason = loss_reason(tool) if fields is None else _other_provider_reason(tool)
    if reason:
        context.drop(tool.path, reason)
        return None
    # The provider rejects options of OpenAI's tools that it does not have.
    assert fields is not None
    item = _render_openai_tool(context, tool, body)
    return _with_accepted_fields(context, tool, item, fields) if item is not None else None


def _other_provider_reason(tool: Tool) -> str:
    """Why a provider other than OpenAI cannot run a tool of OpenAI's; empty if it can."""
    native = tool.native or {}
    if native.get("type") == mcp.TOOL:
        server = mcp.parse_openai_tool(tool)
        return server if isinstance(server, str) else ""
    return loss_reason(tool) if searches_openai_stores(tool) else ""


def _with_accepted_fields(
    context: ResponsesRenderContext, tool: Tool, item: Json, fields: tuple[str, ...]
) -> Json:
    """The tool without the fields that the provider rejects, which are reported."""
    out: Json = {"type": responses_type(tool)}
    for name, value in item.items():
        if name in fields:
            out[name] = value
        elif name != "type" and value is not None and value != _DEFAULT_OPTIONS.get(name):
            context.drop(f"{tool.path}.{name}", "the provider's tool does not have this option")
    return out


def _render_openai_tool(context: ResponsesRenderContext, tool: Tool, body: Json) -> Json | None:
    if code_execution.is_code_execution(tool):
        return _render_code_interpreter(context, tool, body)
    if tool.native is not None and (tool.dialect == NAME or _is_providers_form(context, tool)):
        return tool.native
    search = web_search.parse_web_search(tool)
    if search is not None:
        return _render_web_search(context, tool, search, body)
    server = mcp.find_anthropic_server(context.request, tool)
    if server is not None:
        for field, reason in server.losses:
            context.drop(f"{tool.path}.{field}", reason)
        return mcp.render_openai(server)
    context.drop(tool.path, loss_reason(tool))
    return None


def _is_providers_form(context: ResponsesRenderContext, tool: Tool) -> bool:
    """Whether a Chat client offers a tool as Responses writes it, such as xAI's `x_search`."""
    kind = (tool.native or {}).get("type")
    return tool.dialect == _CHAT and kind in (context.traits.built_in_tools or _OPENAI_TOOLS)


def _render_code_interpreter(context: ResponsesRenderContext, tool: Tool, body: Json) -> Json:
    """The code interpreter; what the code prints is requested too."""
    if code_execution.OPENAI_OUTPUTS not in body["include"]:
        body["include"] = [*body["include"], code_execution.OPENAI_OUTPUTS]
    if tool.dialect == NAME and tool.native is not None:
        return tool.native
    for field, reason in code_execution.tool_losses(tool):
        context.drop(f"{tool.path}.{field}", reason)
    return {"type": code_execution.OPENAI_TOOL, "container": {"type": "auto"}}


def _render_web_search(
    context: ResponsesRenderContext, tool: Tool, search: WebSearch, body: Json
) -> Json:
    """Render another dialect's web search."""
    out: Json = {"type": web_search.NAME}
    if search.allowed:
        out["filters"] = {"allowed_domains": search.allowed}
    if not search.live:
        out["external_web_access"] = False
    out |= user_location(search.location)
    if search.size is not None:
        out["search_context_size"] = search.size
    fields = context.traits.built_in_tools.get(web_search.NAME, ())
    if search.blocked and _EXCLUDED_DOMAINS in fields and not search.allowed:
        out["filters"] = {_EXCLUDED_DOMAINS: search.blocked}
    elif search.blocked:
        context.drop(f"{tool.path}.{search.blocked_field}", "no equivalent")
    context.drop_search_losses(tool, search)
    if search.uses is not None and fields:
        context.drop(f"{tool.path}.max_uses", "no equivalent")
    elif search.uses is not None:
        body["max_tool_calls"] = search.uses
        reason = "max_tool_calls counts all built-in tools"
        context.approximate(f"{tool.path}.max_uses", reason, before=search.uses)
    return out


# --- tool choice ----------------------------------------------------------------------------------


def _render_tool_choice(
    context: ResponsesRenderContext, body: Json, sent_tools: dict[str, Json]
) -> None:
    choice, request = context.request.tool_choice, context.request
    parallel = choice.parallel if choice is not None else None
    if parallel is False and not context.traits.parallel_toggle:
        context.drop(request.client_path("parallel"), "the upstream cannot disable parallel calls")
    elif context.traits.parallel_toggle:
        body["parallel_tool_calls"] = parallel is not False
    if choice is None or choice.mode is None:
        return
    if choice.mode in {"named", "allowed"} and not any(name in sent_tools for name in choice.names):
        context.drop(request.client_path("tool_choice"), "the tool it names is not sent")
        return
    body["tool_choice"] = _render_choice_mode(context, choice, sent_tools)


def _render_choice_mode(
    context: ResponsesRenderContext, choice: ToolChoice, sent_tools: dict[str, Json]
) -> Any:
    is_forced = choice.mode in {"any", "named"} or choice.required
    if is_forced and not context.traits.forced_tools:
        reason = f"{context.model} cannot be forced to call a tool"
        context.approximate(context.request.client_path("tool_choice"), reason, after="auto")
        return "auto"
    match choice.mode:
        case "any":
            return "required"
        case "named":
            tool_ref = _render_tool_reference(context, choice.names[0], sent_tools)
            if tool_ref["type"] in context.traits.built_in_tools:
                reason = "the provider cannot be required to call a specific built-in tool"
                context.approximate(context.request.client_path("tool_choice"), reason)
                return "required"
            # The API accepts this tool only in a list of allowed tools.
            if (
                tool_ref["type"] != web_search.NAME
                or context.native
                or not context.traits.allowed_tools
            ):
                return tool_ref
            return {"type": "allowed_tools", "mode": "required", "tools": [tool_ref]}
        case "allowed":
            mode = "required" if choice.required else "auto"
            if not context.traits.allowed_tools:
                return mode
            tools = [
                _render_tool_reference(context, name, sent_tools)
                for name in choice.names
                if name in sent_tools
            ]
            return {"type": "allowed_tools", "mode": mode, "tools": tools}
        case _:
            return choice.mode


def _render_tool_reference(
    context: ResponsesRenderContext, name: str, sent_tools: dict[str, Json]
) -> Json:
    item = sent_tools[name]
    if item["type"] in {"function", "custom"}:
        return {"type": item["type"], **context.sent_name(name)}
    label = item.get("server_label")
    return {"type": item["type"], "server_label": label} if label else {"type": item["type"]}
