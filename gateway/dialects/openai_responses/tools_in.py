"""Tools and tool choice of a client's request -> canonical."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.canon.errors import invalid
from gateway.canon.request import Tool, ToolChoice
from gateway.dialects.openai_responses.names import NAME, Json, join_name
from gateway.dialects.shared import web_search
from gateway.dialects.shared.fields import (
    enum_value,
    flag,
    join_path,
    mapping,
    objects,
    required_text,
    text,
    wrong_type,
)

_FUNCTION_FIELDS = frozenset(
    {"type", "name", "description", "parameters", "strict", "defer_loading"}
)
_CUSTOM_FIELDS = frozenset({"type", "name", "description", "format", "defer_loading"})
_MODES = {"none": "none", "auto": "auto", "required": "any", "any": "any"}


def tools_in(holder: Json, path: str) -> list[Tool]:
    """The tools in a `tools` field; the names of tools in a namespace include it."""
    field_path = join_path(path, "tools")
    tools: list[Tool] = []
    for index, item in enumerate(objects(holder, "tools", path)):
        item_path = f"{field_path}[{index}]"
        if item.get("type") == "namespace":
            tools += _namespace_in(item, item_path)
        else:
            tools.append(_tool_in(item, item_path))
    return tools


def _namespace_in(item: Json, path: str) -> list[Tool]:
    namespace = required_text(item, "name", path)
    description = text(item, "description", path) or None
    inner = enumerate(objects(item, "tools", path))
    tools = [_tool_in(tool, f"{path}.tools[{index}]", namespace) for index, tool in inner]
    if description is None:
        return tools
    return [replace(tool, group_description=description) for tool in tools]


def _tool_in(item: Json, path: str, namespace: str | None = None) -> Tool:
    match text(item, "type", path):
        case "function":
            return _function_in(item, path, namespace)
        case "custom":
            return _custom_in(item, path, namespace)
        case None:
            raise invalid(f"{path}.type is required: a string such as 'function'", f"{path}.type")
        case kind:
            name = (
                text(item, "name", path) or text(item, "server_label", path) or _hosted_name(kind)
            )
            return Tool(name=name, kind="server", dialect=NAME, native=item, path=path)


def _function_in(item: Json, path: str, namespace: str | None) -> Tool:
    extra = _fields_except(item, _FUNCTION_FIELDS)
    return Tool(
        name=join_name(namespace, required_text(item, "name", path)),
        description=text(item, "description", path),
        schema=mapping(item, "parameters", path),
        strict=flag(item, "strict", path),
        defer=bool(flag(item, "defer_loading", path)),
        dialect=NAME if extra else "",
        extra=extra,
        path=path,
    )


def _custom_in(item: Json, path: str, namespace: str | None) -> Tool:
    extra = _fields_except(item, _CUSTOM_FIELDS)
    return Tool(
        name=join_name(namespace, required_text(item, "name", path)),
        kind="custom",
        description=text(item, "description", path),
        format=_format_in(mapping(item, "format", path)),
        defer=bool(flag(item, "defer_loading", path)),
        dialect=NAME if extra else "",
        extra=extra,
        path=path,
    )


def _fields_except(item: Json, excluded: frozenset[str]) -> Json:
    if item.keys() <= excluded:
        return {}
    return {key: value for key, value in item.items() if key not in excluded and value is not None}


def _format_in(form: Json | None) -> Json | None:
    """The grammar nested one level deeper, as in Chat and in the canonical tool."""
    if form is None or form.get("type") != "grammar" or "grammar" in form:
        return form
    return {
        "type": "grammar",
        "grammar": {key: value for key, value in form.items() if key != "type"},
    }


# --- tool choice ---------------------------------------------------------------------


def choice_in(body: Json) -> ToolChoice | None:
    """The tool choice."""
    parallel = flag(body, "parallel_tool_calls")
    value = body.get("tool_choice")
    if value is None:
        return None if parallel is None else ToolChoice(parallel=parallel)
    if type(value) is str:
        mode_name = enum_value({"tool_choice": value}, "tool_choice", tuple(_MODES)) or "auto"
        return ToolChoice(mode=_MODES[mode_name], parallel=parallel)  # type: ignore[arg-type]
    if type(value) is not dict:
        raise wrong_type("tool_choice", "a string or an object", value)
    if value.get("type") == "allowed_tools":
        return _allowed_in(value, parallel=parallel)
    name = _tool_name_in(value, "tool_choice")
    return ToolChoice(mode="named", names=(name,), parallel=parallel)


def _tool_name_in(value: Json, path: str) -> str:
    """The name of the chosen tool; hosted tools are named by their type."""
    if text(value, "type", path) in {"function", "custom"}:
        return join_name(text(value, "namespace", path), required_text(value, "name", path))
    return text(value, "server_label", path) or _hosted_name(required_text(value, "type", path))


def _hosted_name(kind: str) -> str:
    """The name of a hosted tool; all versions of web search have one name."""
    return web_search.NAME if kind.startswith(web_search.NAME) else kind


def _allowed_in(value: Json, *, parallel: bool | None) -> ToolChoice:
    mode = enum_value(value, "mode", ("auto", "required"), "tool_choice")
    tool_refs = objects(value, "tools", "tool_choice")
    names = tuple(
        _tool_name_in(item, f"tool_choice.tools[{i}]") for i, item in enumerate(tool_refs)
    )
    return ToolChoice(mode="allowed", names=names, required=mode == "required", parallel=parallel)
