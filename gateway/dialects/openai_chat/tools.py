"""Tools and tool choice: a client's JSON <-> a provider's."""

from __future__ import annotations

from typing import Any, assert_never

from gateway.canon.errors import invalid
from gateway.canon.request import Tool, ToolChoice
from gateway.dialects import web_search
from gateway.dialects.fields import (
    flag,
    items,
    mapping,
    needed_mapping,
    needed_text,
    one_of,
    text,
    wrong,
)
from gateway.dialects.openai_chat.job import Job, cache_control_of, cache_in
from gateway.dialects.openai_chat.parts import NAME, Json
from gateway.dialects.openai_schema import made_strict, tool_parameters
from gateway.dialects.web_search import WebSearch, located

# OpenAI's field for a search of the web.
_OPTIONS = "web_search_options"
_FUNCTION = frozenset({"name", "description", "parameters", "strict"})
_ITEM = frozenset({"type", "function", "cache_control", "defer_loading"})


# --- tools ---------------------------------------------------------------------------


def tools_in(body: Json) -> tuple[Tool, ...]:
    """The tools on offer, in any of the three fields that hold some."""
    tools = [_tool_in(item, f"tools[{i}]") for i, item in enumerate(items(body, "tools"))]
    for i, item in enumerate(items(body, "functions")):
        tools.append(_function_in({"function": item}, item, f"functions[{i}]", f"functions[{i}]"))
    if (search := mapping(body, _OPTIONS)) is not None:
        native = {_OPTIONS: search}
        tools.append(
            Tool(name=web_search.NAME, kind="server", dialect=NAME, native=native, at=_OPTIONS)
        )
    return tuple(tools)


def _tool_in(item: Json, at: str) -> Tool:
    kind = text(item, "type", at)
    if kind == "function" or (kind is None and "function" in item):
        return _function_in(item, needed_mapping(item, "function", at), f"{at}.function", at)
    if kind == "custom":
        return _custom_in(item, at)
    if kind is None:
        raise invalid(f"{at}.type is required: give 'function' or 'custom'", f"{at}.type")
    name = item.get("name")
    return Tool(
        name=name if isinstance(name, str) else kind,
        kind="server",
        dialect=NAME,
        native=item,
        at=at,
    )


def _function_in(item: Json, function: Json, inner: str, at: str) -> Tool:
    extra = {} if function.keys() <= _FUNCTION else _others(function, _FUNCTION)
    if not item.keys() <= _ITEM:
        extra |= _others(item, _ITEM)
    return Tool(
        name=needed_text(function, "name", inner),
        description=text(function, "description", inner),
        schema=mapping(function, "parameters", inner),
        strict=flag(function, "strict", inner),
        defer=bool(flag(item, "defer_loading", at)),
        cache=cache_in(item),
        dialect=NAME if extra else "",
        extra=extra,
        at=at,
    )


def _others(obj: Json, known: frozenset[str]) -> Json:
    return {key: value for key, value in obj.items() if key not in known}


def _custom_in(item: Json, at: str) -> Tool:
    custom = needed_mapping(item, "custom", at)
    path = f"{at}.custom"
    return Tool(
        name=needed_text(custom, "name", path),
        kind="custom",
        description=text(custom, "description", path),
        format=mapping(custom, "format", path),
        at=at,
    )


def tools_out(job: Job, body: Json) -> None:
    """Write the tools, and what is said about choosing among them, into the body."""
    request, traits = job.request, job.traits
    if not request.tools:
        _choice_without_tools(job)
        return
    if not traits.tools:
        job.drop("tools", f"{traits.model or 'this model'} takes no tools")
        return
    offered = _loaded(job, request.tools)
    if not job.traits.allowed_tools:
        offered = job.allowed(offered)
    out = [item for tool in offered if (item := _tool_out(job, tool, body)) is not None]
    if not out:
        _choice_without_tools(job)
        return
    body["tools"] = out
    _choice_out(job, body)


def _loaded(job: Job, tools: tuple[Tool, ...]) -> list[Tool]:
    """The tools that can be sent without a tool search.

    With a search tool in the list the deferred ones are real and all sent at once;
    without one they are placeholders that the client itself would fill later, unless
    the choice names them.
    """
    searched = any(tool.kind == "server" and "tool_search" in tool.name for tool in tools)
    choice = job.request.tool_choice
    chosen = choice.names if choice is not None else ()
    kept: list[Tool] = []
    for tool in tools:
        if tool.defer and not searched and tool.name not in chosen:
            job.drop(tool.at, "defer_loading tool without tool search")
            continue
        if tool.defer:
            job.bend(f"{tool.at}.defer_loading", "no tool search upstream: sent at once")
        kept.append(tool)
    return kept


def _tool_out(job: Job, tool: Tool, body: Json) -> Json | None:
    match tool.kind:
        case "server":
            return _server_out(job, tool, body)
        case "custom" if job.traits.custom_tools:
            job.unmark(tool.cache)
            custom = {"name": job.name(tool.name), **_said(tool)}
            if tool.format is not None:
                custom["format"] = tool.format
            return {"type": "custom", "custom": custom}
        case "custom":
            return _custom_as_function(job, tool)
        case "function":
            return _function_out(job, tool)
        case _:
            assert_never(tool.kind)


def _said(tool: Tool) -> Json:
    return {"description": tool.description} if tool.description is not None else {}


def _server_out(job: Job, tool: Tool, body: Json) -> Json | None:
    if tool.dialect != NAME or tool.native is None:
        search = web_search.asked(tool)
        if search is not None and job.traits.web_search:
            return _web_search_out(job, tool, search, body)
        job.drop(tool.at, f"no equivalent for the server tool {tool.name}")
        return None
    if tool.name == web_search.NAME and _OPTIONS in tool.native:
        body.update(tool.native)
        return None
    return tool.native


def _web_search_out(job: Job, tool: Tool, search: WebSearch, body: Json) -> Json | None:
    """Another dialect's web search: a field of OpenAI's search models, a tool of OpenRouter's."""
    sized = {"search_context_size": search.size} if search.size is not None else {}
    if search.uses is not None:
        job.drop(f"{tool.at}.max_uses", "no equivalent")
    if job.traits.web_search != _OPTIONS:
        domains = {"allowed_domains": search.allowed, "excluded_domains": search.blocked}
        told = {name: listed for name, listed in domains.items() if listed}
        parameters = told | sized | located(search.place)
        return {"type": job.traits.web_search, "parameters": parameters}
    for name, listed in (("allowed", search.allowed), ("blocked", search.blocked)):
        if listed:
            job.drop(f"{tool.at}.{name}_domains", "no equivalent")
    place = {"user_location": {"type": "approximate", "approximate": search.place}}
    body[_OPTIONS] = sized | (place if search.place else {})
    return None


def _function_out(job: Job, tool: Tool) -> Json:
    schema, lost = tool_parameters(tool.schema)
    if lost:
        job.bend(tool.at, lost)
    function: Json = {"name": job.name(tool.name), **_said(tool), "parameters": schema}
    _strict_out(job, tool, function)
    out: Json = {"type": "function", "function": function}
    for key, value in tool.extra.items():
        if tool.dialect == NAME:
            function[key] = value
        else:
            job.drop(f"{tool.at}.{key}", "no equivalent in OpenAI Chat")
    if tool.cache is not None and job.traits.cache == "cache_control":
        out["cache_control"] = cache_control_of(tool.cache)
    else:
        job.unmark(tool.cache)
    return out


def _strict_out(job: Job, tool: Tool, function: Json) -> None:
    if tool.strict is None:
        return
    if not job.traits.strict_tools:
        if tool.strict:
            job.drop(f"{tool.at}.strict", "the upstream has no strict tools")
        return
    made = made_strict(function["parameters"]) if tool.strict else None
    strict = made is not None and not made[1]
    function["strict"] = strict
    if made is not None and strict:
        # Strict mode wants what the schema leaves unsaid: objects without further properties.
        function["parameters"] = made[0]
    if strict is not tool.strict:
        why = "the schema is outside OpenAI's strict subset"
        job.bend(f"{tool.at}.strict", why, before=True, after=False)


def _custom_as_function(job: Job, tool: Tool) -> Json:
    """A free-text tool as a function with one string."""
    job.bend(tool.at, "free-text tool sent as a function with one string")
    about = tool.description or ""
    if tool.format is not None and tool.format.get("type") == "grammar":
        grammar: Any = tool.format.get("grammar")
        words = grammar.get("definition", "") if isinstance(grammar, dict) else ""
        about = f"{about}\n\nThe input must follow this grammar:\n{words}".strip()
    schema: Json = {
        "type": "object",
        "properties": {"input": {"type": "string"}},
        "required": ["input"],
        "additionalProperties": False,
    }
    function: Json = {"name": job.name(tool.name), "parameters": schema}
    if about:
        function["description"] = about
    return {"type": "function", "function": function}


# --- tool choice ---------------------------------------------------------------------


def choice_in(body: Json, at: dict[str, str]) -> ToolChoice | None:
    """Which tools may or must be called, in the present or the older form."""
    parallel = flag(body, "parallel_tool_calls")
    at["parallel"] = "parallel_tool_calls"
    value = body.get("tool_choice")
    if value is None and body.get("function_call") is not None:
        value = _older_choice(body["function_call"])
        at["tool_choice"] = "function_call"
    if value is None:
        return None if parallel is None else ToolChoice(parallel=parallel)
    if type(value) is str:
        word = one_of({"tool_choice": value}, "tool_choice", ("none", "auto", "required", "any"))
        mode = "any" if word == "required" else word
        return ToolChoice(mode=mode, parallel=parallel)  # type: ignore[arg-type]
    if type(value) is not dict:
        raise wrong("tool_choice", "a string or an object", value)
    if value.get("type") == "allowed_tools":
        return _allowed_in(value, parallel=parallel)
    return ToolChoice(mode="named", names=(_named_in(value, "tool_choice"),), parallel=parallel)


def _older_choice(value: Any) -> Any:
    return {"type": "function", "function": value} if type(value) is dict else value


def _named_in(value: Json, at: str) -> str:
    kind = "custom" if value.get("type") == "custom" else "function"
    return needed_text(needed_mapping(value, kind, at), "name", f"{at}.{kind}")


def _allowed_in(value: Json, *, parallel: bool | None) -> ToolChoice:
    path = "tool_choice.allowed_tools"
    allowed = needed_mapping(value, "allowed_tools", "tool_choice")
    mode = one_of(allowed, "mode", ("auto", "required"), path)
    listed = items(allowed, "tools", path)
    names = tuple(_named_in(item, f"{path}.tools[{i}]") for i, item in enumerate(listed))
    return ToolChoice(mode="allowed", names=names, required=mode == "required", parallel=parallel)


def _choice_without_tools(job: Job) -> None:
    choice = job.request.tool_choice
    if choice is not None and choice.mode in {"any", "named", "allowed"}:
        job.drop(job.request.path("tool_choice"), "no tools are sent")


def _choice_out(job: Job, body: Json) -> None:
    choice, traits = job.request.tool_choice, job.traits
    if choice is None:
        return
    if choice.mode == "named" and _left_out(job, body, choice.names[0]):
        job.drop(job.request.path("tool_choice"), "the tool that it names is not sent")
    elif choice.mode is not None:
        body["tool_choice"] = _mode_out(job, choice)
    if choice.parallel is None:
        return
    if traits.parallel_toggle:
        body["parallel_tool_calls"] = choice.parallel
    elif not choice.parallel:
        job.drop(
            job.request.path("parallel"),
            "the upstream can not switch parallel calls off",
        )


def _left_out(job: Job, body: Json, name: str) -> bool:
    """Whether the client's tool of this name has no equivalent among those sent."""
    sent = [item.get("function") or item.get("custom") or item for item in body["tools"]]
    if any(item.get("name") in {name, job.name(name)} for item in sent):
        return False
    return any(tool.name == name for tool in job.request.tools)


def _mode_out(job: Job, choice: ToolChoice) -> Any:
    traits = job.traits
    forced = choice.mode in {"any", "named"} or choice.required
    if forced and not traits.forced_tools:
        why = f"{traits.model} can not be made to call a tool"
        job.bend(job.request.path("tool_choice"), why, after="auto")
        return "auto"
    match choice.mode:
        case "any":
            return traits.tool_choice_any
        case "named":
            return _named_out(job, choice.names[0])
        case "allowed" if traits.allowed_tools:
            mode = "required" if choice.required else "auto"
            tools = [_named_out(job, name) for name in choice.names]
            return {
                "type": "allowed_tools",
                "allowed_tools": {"mode": mode, "tools": tools},
            }
        case "allowed":
            return traits.tool_choice_any if choice.required else "auto"
        case _:
            return choice.mode


def _named_out(job: Job, name: str) -> Json:
    custom = any(tool.name == name and tool.kind == "custom" for tool in job.request.tools)
    kind = "custom" if custom and job.traits.custom_tools else "function"
    return {"type": kind, kind: {"name": job.name(name)}}
