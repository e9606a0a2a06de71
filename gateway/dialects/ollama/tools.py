"""The tools on offer, both ways. There is no word here for choosing among them."""

from __future__ import annotations

from gateway.canon.request import Tool
from gateway.dialects.fields import items, mapping, needed_mapping, needed_text, text
from gateway.dialects.ollama.job import Job
from gateway.dialects.ollama.names import NAME, Json

_ITEM = frozenset({"type", "function"})
_FUNCTION = frozenset({"name", "description", "parameters"})
_TEXT_SCHEMA: Json = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
}


def tools_in(body: Json) -> tuple[Tool, ...]:
    """The tools of a request."""
    return tuple(_tool_in(item, f"tools[{n}]") for n, item in enumerate(items(body, "tools")))


def _tool_in(item: Json, at: str) -> Tool:
    function = needed_mapping(item, "function", at)
    path = f"{at}.function"
    extra = {k: v for k, v in function.items() if k not in _FUNCTION and v is not None}
    extra |= {k: v for k, v in item.items() if k not in _ITEM and v is not None}
    return Tool(
        name=needed_text(function, "name", path),
        description=text(function, "description", path),
        schema=mapping(function, "parameters", path),
        dialect=NAME if extra else "",
        extra=extra,
        at=at,
    )


def tools_out(job: Job, body: Json) -> None:
    """Write the tools that the choice leaves into the body."""
    request = job.request
    if not request.tools:
        _choice_without_tools(job)
    elif not job.traits.tools:
        job.drop("tools", f"{job.model} takes no tools")
    else:
        kept = [item for tool in _offered(job) if (item := _tool_out(job, tool)) is not None]
        if kept:
            body["tools"] = kept
    choice = request.tool_choice
    if choice is not None and choice.parallel is False:
        job.drop(request.path("parallel"), "the upstream can not switch parallel calls off")


def _choice_without_tools(job: Job) -> None:
    choice = job.request.tool_choice
    if choice is not None and choice.mode in {"any", "named", "allowed"}:
        job.drop(job.request.path("tool_choice"), "no tools are sent")


def _offered(job: Job) -> list[Tool]:
    """The tools to send: the choice can only be kept by leaving others out."""
    tools, choice = _loaded(job), job.request.tool_choice
    path = job.request.path("tool_choice")
    match choice.mode if choice is not None else None:
        case "none":
            job.bend(path, "the upstream has no tool_choice: no tools are sent")
            return []
        case "any":
            job.drop(path, "the upstream can not be made to call a tool")
        case "named" | "allowed":
            assert choice is not None
            job.bend(path, "the upstream has no tool_choice: only the tools it names are sent")
            return [tool for tool in tools if tool.name in choice.names]
        case _:
            pass
    return tools


def _loaded(job: Job) -> list[Tool]:
    """The tools that can be sent without a tool search: those of one are all sent at once."""
    tools, choice = job.request.tools, job.request.tool_choice
    searched = any(tool.kind == "server" and "tool_search" in tool.name for tool in tools)
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


def _tool_out(job: Job, tool: Tool) -> Json | None:
    job.unmark(tool.cache)
    if tool.kind == "server":
        job.drop(tool.at, f"no equivalent for the server tool {tool.name}")
        return None
    if tool.strict:
        job.drop(f"{tool.at}.strict", "the upstream has no strict tools")
    about, schema = tool.description, parameters(tool.schema)
    if tool.kind == "custom":
        about, schema = _described(job, tool), _TEXT_SCHEMA
    function: Json = {"name": tool.name}
    if about is not None:
        function["description"] = about
    function["parameters"] = schema
    for key, value in tool.extra.items():
        if tool.dialect == NAME:
            function[key] = value
        else:
            job.drop(f"{tool.at}.{key}", "no equivalent in Ollama")
    return {"type": "function", "function": function}


def _described(job: Job, tool: Tool) -> str | None:
    """What a free-text tool is for, its grammar included."""
    grammar = (tool.format or {}).get("grammar", tool.format or {})
    words = grammar.get("definition") if isinstance(grammar, dict) else None
    if not isinstance(words, str) or not words:
        job.bend(tool.at, "free-text tool sent as a function with one string")
        return tool.description
    job.bend(f"{tool.at}.format", "grammar is not enforced, described in text")
    syntax = grammar.get("syntax", "")
    return (
        f"{tool.description or ''}\n\nThe input must match this {syntax} grammar:\n{words}".strip()
    )


def parameters(schema: Json | None) -> Json:
    """A tool's schema: always of an object with properties."""
    if not schema:
        return {"type": "object", "properties": {}}
    out = {key: value for key, value in schema.items() if key != "$schema"}
    if out.get("type") == "object":
        out.setdefault("properties", {})
    return out
