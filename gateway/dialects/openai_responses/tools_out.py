"""Tools and tool choice -> a provider's request."""

from __future__ import annotations

from typing import Any, assert_never

from gateway.canon.request import Tool, ToolChoice
from gateway.dialects import web_search
from gateway.dialects.openai_responses.job import Job
from gateway.dialects.openai_responses.names import NAME, Json, split_name
from gateway.dialects.openai_schema import made_strict, tool_parameters
from gateway.dialects.web_search import WebSearch, located

_ONE_STRING: Json = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}


def tools_out(job: Job, body: Json) -> None:
    """Write the tools, and what is said about choosing among them, into the body."""
    request, traits = job.request, job.traits
    if request.tools and not traits.tools:
        job.drop("tools", f"{job.model} takes no tools")
    offered = _loaded(job) if traits.tools else []
    sent: list[tuple[Tool, Json]] = []
    if not job.traits.allowed_tools:
        offered = job.allowed(offered)
    for tool in offered:
        item = _tool_out(job, tool, body)
        if item is not None:
            sent.append((tool, item))
    if not sent:
        choice = request.tool_choice
        if choice is not None and choice.mode in {"any", "named", "allowed"}:
            job.drop(request.path("tool_choice"), "no tools are sent")
        return
    body["tools"] = _in_namespaces(job, sent)
    _choice_out(job, body, {tool.name: item for tool, item in sent})


def _loaded(job: Job) -> list[Tool]:
    """The tools that can be sent without a tool search; a client of ours sees to that itself.

    With a search tool in the list the deferred ones are real and all sent at once; without
    one they are placeholders that the client would fill later, unless the choice names them.
    """
    tools = list(job.request.tools)
    if job.native:
        return tools
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
    job.unmark(tool.cache)
    match tool.kind:
        case "server":
            return _server_out(job, tool, body)
        case "custom" if job.traits.custom_tools:
            out: Json = {"type": "custom", **_named(job, tool)}
            if tool.format is not None:
                out["format"] = _format_out(tool.format)
            return _with_extra(job, tool, out)
        case "custom":
            return _custom_as_function(job, tool)
        case "function":
            return _function_out(job, tool)
        case _:
            assert_never(tool.kind)


def _named(job: Job, tool: Tool) -> Json:
    out: Json = {"name": job.sent_name(tool.name)["name"]}
    if tool.description is not None:
        out["description"] = tool.description
    return out


def _with_extra(job: Job, tool: Tool, out: Json) -> Json:
    if tool.defer and job.native:
        out["defer_loading"] = True
    for key, value in tool.extra.items():
        if tool.dialect == NAME:
            out[key] = value
        else:
            job.drop(f"{tool.at}.{key}", "no equivalent in OpenAI's Responses")
    return out


def _function_out(job: Job, tool: Tool) -> Json:
    schema, lost = tool_parameters(tool.schema)
    if lost:
        job.bend(tool.at, lost)
    out: Json = {"type": "function", **_named(job, tool), "strict": False, "parameters": schema}
    # Left out, the API tries to be strict: what is not asked for is said not to be.
    if tool.strict and not job.traits.strict_tools:
        job.drop(f"{tool.at}.strict", "the upstream has no strict tools")
    elif tool.strict:
        made = made_strict(schema)
        if made is not None and not made[1]:
            out |= {"strict": True, "parameters": made[0]}
        else:
            why = "the schema is outside OpenAI's strict subset"
            job.bend(f"{tool.at}.strict", why, before=True, after=False)
    return _with_extra(job, tool, out)


def _format_out(form: Json) -> Json:
    """A grammar, which the canonical tool holds one level deeper."""
    grammar = form.get("grammar")
    return {"type": "grammar", **grammar} if isinstance(grammar, dict) else form


def _custom_as_function(job: Job, tool: Tool) -> Json:
    """A free-text tool as a function with one string."""
    job.bend(tool.at, "free-text tool sent as a function with one string")
    out: Json = {"type": "function", **_named(job, tool)}
    grammar: Any = (tool.format or {}).get("grammar")
    if isinstance(grammar, dict) and grammar.get("definition"):
        told = f"The input must match this grammar:\n{grammar['definition']}"
        out["description"] = f"{tool.description or ''}\n\n{told}".strip()
    return {**out, "strict": False, "parameters": _ONE_STRING}


def _in_namespaces(job: Job, sent: list[tuple[Tool, Json]]) -> list[Json]:
    """The tools, those of a client's namespace in one again."""
    out: list[Json] = []
    made: dict[str, Json] = {}
    for tool, item in sent:
        namespace = split_name(tool.name)[0] if job.native else ""
        if not namespace:
            out.append(item)
            continue
        if namespace not in made:
            about = job.request.extra.get(NAME, {}).get(f"{_holder(tool.at)}.description")
            told: Json = {"type": "namespace", "name": namespace, "description": about or namespace}
            made[namespace] = {**told, "tools": []}
            out.append(made[namespace])
        made[namespace]["tools"].append(item)
    return out


def _holder(at: str) -> str:
    """The path of the namespace that holds the tool at a path."""
    return at.rpartition(".tools[")[0]


# --- tools that the provider runs --------------------------------------------------------


def _server_out(job: Job, tool: Tool, body: Json) -> Json | None:
    if tool.dialect == NAME and tool.native is not None:
        return tool.native
    search = web_search.asked(tool)
    if search is not None:
        return _web_search_out(job, tool, search, body)
    job.drop(tool.at, f"no equivalent for the server tool {tool.name[:60]}")
    return None


def _web_search_out(job: Job, tool: Tool, search: WebSearch, body: Json) -> Json:
    """Another dialect's web search."""
    out: Json = {"type": web_search.NAME}
    if search.allowed:
        out["filters"] = {"allowed_domains": search.allowed}
    out |= located(search.place)
    if search.size is not None:
        out["search_context_size"] = search.size
    if search.blocked:
        job.drop(f"{tool.at}.blocked_domains", "no equivalent")
    if search.uses is not None:
        body["max_tool_calls"] = search.uses
        why = "max_tool_calls counts all built-in tools"
        job.bend(f"{tool.at}.max_uses", why, before=search.uses)
    return out


# --- tool choice ---------------------------------------------------------------------


def _choice_out(job: Job, body: Json, sent: dict[str, Json]) -> None:
    choice, request = job.request.tool_choice, job.request
    parallel = choice.parallel if choice is not None else None
    if parallel is False and not job.traits.parallel_toggle:
        job.drop(request.path("parallel"), "the upstream can not switch parallel calls off")
    elif job.traits.parallel_toggle:
        body["parallel_tool_calls"] = parallel is not False
    if choice is None or choice.mode is None:
        return
    if choice.mode == "named" and choice.names[0] not in sent:
        job.drop(request.path("tool_choice"), "the tool that it names is not sent")
        return
    body["tool_choice"] = _mode_out(job, choice, sent)


def _mode_out(job: Job, choice: ToolChoice, sent: dict[str, Json]) -> Any:
    forced = choice.mode in {"any", "named"} or choice.required
    if forced and not job.traits.forced_tools:
        why = f"{job.model} can not be made to call a tool"
        job.bend(job.request.path("tool_choice"), why, after="auto")
        return "auto"
    match choice.mode:
        case "any":
            return "required"
        case "named":
            named = _named_out(job, choice.names[0], sent)
            # The API names no such tool in a choice, but takes it among the allowed ones.
            if named["type"] != web_search.NAME or job.native or not job.traits.allowed_tools:
                return named
            return {"type": "allowed_tools", "mode": "required", "tools": [named]}
        case "allowed":
            mode = "required" if choice.required else "auto"
            if not job.traits.allowed_tools:
                return mode
            tools = [_named_out(job, name, sent) for name in choice.names if name in sent]
            return {"type": "allowed_tools", "mode": mode, "tools": tools}
        case _:
            return choice.mode


def _named_out(job: Job, name: str, sent: dict[str, Json]) -> Json:
    item = sent[name]
    if item["type"] in {"function", "custom"}:
        return {"type": item["type"], **job.sent_name(name)}
    label = item.get("server_label")
    return {"type": item["type"], "server_label": label} if label else {"type": item["type"]}
