"""Tools and tool choice of a client's request -> canonical."""

from __future__ import annotations

from gateway.canon.errors import invalid
from gateway.canon.request import Tool, ToolChoice
from gateway.dialects import web_search
from gateway.dialects.fields import (
    flag,
    items,
    joined,
    mapping,
    needed_text,
    one_of,
    text,
    wrong,
)
from gateway.dialects.openai_responses.names import NAME, Json, joined_name

_FUNCTION = frozenset({"type", "name", "description", "parameters", "strict", "defer_loading"})
_CUSTOM = frozenset({"type", "name", "description", "format", "defer_loading"})
_MODES = {"none": "none", "auto": "auto", "required": "any", "any": "any"}


def listed_in(holder: Json, at: str, rest: Json) -> list[Tool]:
    """The tools in a `tools` field; those of a namespace are named with it.

    `rest` collects what a canonical tool has no place for, by path.
    """
    path = joined(at, "tools")
    tools: list[Tool] = []
    for place, item in enumerate(items(holder, "tools", at)):
        here = f"{path}[{place}]"
        if item.get("type") == "namespace":
            tools += _namespace_in(item, here, rest)
        else:
            tools.append(_tool_in(item, here))
    return tools


def _namespace_in(item: Json, at: str, rest: Json) -> list[Tool]:
    namespace = needed_text(item, "name", at)
    about = text(item, "description", at)
    if about:
        rest[f"{at}.description"] = about
    inner = enumerate(items(item, "tools", at))
    return [_tool_in(tool, f"{at}.tools[{place}]", namespace) for place, tool in inner]


def _tool_in(item: Json, at: str, namespace: str | None = None) -> Tool:
    match text(item, "type", at):
        case "function":
            return _function_in(item, at, namespace)
        case "custom":
            return _custom_in(item, at, namespace)
        case None:
            raise invalid(f"{at}.type is required: give a string such as 'function'", f"{at}.type")
        case kind:
            name = text(item, "name", at) or text(item, "server_label", at) or _hosted_name(kind)
            return Tool(name=name, kind="server", dialect=NAME, native=item, at=at)


def _function_in(item: Json, at: str, namespace: str | None) -> Tool:
    extra = _others(item, _FUNCTION)
    return Tool(
        name=joined_name(namespace, needed_text(item, "name", at)),
        description=text(item, "description", at),
        schema=mapping(item, "parameters", at),
        strict=flag(item, "strict", at),
        defer=bool(flag(item, "defer_loading", at)),
        dialect=NAME if extra else "",
        extra=extra,
        at=at,
    )


def _custom_in(item: Json, at: str, namespace: str | None) -> Tool:
    extra = _others(item, _CUSTOM)
    return Tool(
        name=joined_name(namespace, needed_text(item, "name", at)),
        kind="custom",
        description=text(item, "description", at),
        format=_format_in(mapping(item, "format", at)),
        defer=bool(flag(item, "defer_loading", at)),
        dialect=NAME if extra else "",
        extra=extra,
        at=at,
    )


def _others(item: Json, known: frozenset[str]) -> Json:
    if item.keys() <= known:
        return {}
    return {key: value for key, value in item.items() if key not in known and value is not None}


def _format_in(form: Json | None) -> Json | None:
    """The grammar as Chat writes it, one level deeper; the canonical tool has that form."""
    if form is None or form.get("type") != "grammar" or "grammar" in form:
        return form
    return {
        "type": "grammar",
        "grammar": {key: value for key, value in form.items() if key != "type"},
    }


# --- tool choice ---------------------------------------------------------------------


def choice_in(body: Json) -> ToolChoice | None:
    """Which tools may or must be called."""
    parallel = flag(body, "parallel_tool_calls")
    value = body.get("tool_choice")
    if value is None:
        return None if parallel is None else ToolChoice(parallel=parallel)
    if type(value) is str:
        word = one_of({"tool_choice": value}, "tool_choice", tuple(_MODES)) or "auto"
        return ToolChoice(mode=_MODES[word], parallel=parallel)  # type: ignore[arg-type]
    if type(value) is not dict:
        raise wrong("tool_choice", "a string or an object", value)
    if value.get("type") == "allowed_tools":
        return _allowed_in(value, parallel=parallel)
    name = _named_in(value, "tool_choice")
    return ToolChoice(mode="named", names=(name,), parallel=parallel)


def _named_in(value: Json, at: str) -> str:
    """The tool that a choice names; one that the provider runs has no name but its type."""
    if text(value, "type", at) in {"function", "custom"}:
        return joined_name(text(value, "namespace", at), needed_text(value, "name", at))
    return text(value, "server_label", at) or _hosted_name(needed_text(value, "type", at))


def _hosted_name(kind: str) -> str:
    """The name of a tool that the provider runs; a choice may name another age of the search."""
    return web_search.NAME if kind.startswith(web_search.NAME) else kind


def _allowed_in(value: Json, *, parallel: bool | None) -> ToolChoice:
    mode = one_of(value, "mode", ("auto", "required"), "tool_choice")
    listed = items(value, "tools", "tool_choice")
    names = tuple(_named_in(item, f"tool_choice.tools[{i}]") for i, item in enumerate(listed))
    return ToolChoice(mode="allowed", names=names, required=mode == "required", parallel=parallel)
