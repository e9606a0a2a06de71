"""Tools and tool choice, as a provider's `toolConfig`."""

from __future__ import annotations

from typing import Any, assert_never

from gateway.canon.request import Tool, ToolChoice
from gateway.canon.schema import can_be_enforced, for_anthropic
from gateway.dialects.bedrock_converse.blocks_out import is_blank
from gateway.dialects.bedrock_converse.job import Job
from gateway.dialects.bedrock_converse.names import NAME, Json

_EMPTY: Json = {"type": "object", "properties": {}}
_ONE_STRING: Json = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
}
_WEB_SEARCH = "web_search"


def tools_out(job: Job, body: Json) -> None:
    """Write the tools, and what is said about choosing among them, into the body.

    The messages must stand there already: calls in the history demand their tools.
    """
    request, traits = job.request, job.traits
    if request.tools and not traits.tools:
        job.drop("tools", f"{job.model} takes no tools")
    told = _told(body["messages"])
    choice = request.tool_choice
    silent = choice is not None and choice.mode == "none"
    offered = []
    if traits.tools and not (silent and not told):
        offered = job.allowed(job.request.tools)
    tools: list[Json] = []
    for tool in offered:
        made = _tool_out(job, tool)
        if made is not None:
            tools.append(made)
            job.mark(tools, tool.cache)
    if silent and told and tools:
        why = "none is not expressible; tools kept because the history has calls"
        job.bend(request.path("tool_choice"), why)
    if not tools and told:
        tools = [_bare(name) for name in told]
        job.bend("tools", "the history holds calls: their tools are named")
    if not tools:
        _forget_choice(job)
        return
    config: Json = {"tools": tools}
    if not silent and (sent := _choice_out(job)) is not None:
        config["toolChoice"] = sent
    body["toolConfig"] = config


def _told(messages: list[Json]) -> list[str]:
    """The names of the tools that were called in the history."""
    blocks = (block for message in messages for block in message["content"])
    return list(dict.fromkeys(block["toolUse"]["name"] for block in blocks if "toolUse" in block))


def _bare(name: str) -> Json:
    return {"toolSpec": {"name": name, "inputSchema": {"json": dict(_EMPTY)}}}


def _tool_out(job: Job, tool: Tool) -> Json | None:
    match tool.kind:
        case "server":
            return _server_out(job, tool)
        case "custom":
            return _custom_out(job, tool)
        case "function":
            return _function_out(job, tool)
        case _:
            assert_never(tool.kind)


def _server_out(job: Job, tool: Tool) -> Json | None:
    if tool.dialect == NAME and tool.native is not None:
        return tool.native
    if tool.name.startswith(_WEB_SEARCH) and job.traits.web_search:
        if (tool.native or {}).keys() - {"type", "name"}:
            job.bend(tool.at, "the provider's search takes none of its options")
        return {"systemTool": {"name": job.traits.web_search}}
    job.drop(tool.at, f"no equivalent for the server tool {tool.name[:60]}")
    return None


def _custom_out(job: Job, tool: Tool) -> Json:
    """A free-text tool as a function with one string."""
    about = tool.description or ""
    syntax, grammar = _grammar(tool)
    if grammar:
        job.bend(f"{tool.at}.format", "grammar is not enforced, described in text")
        about = f"{about}\n\nThe input must match this {syntax} grammar:\n{grammar}".strip()
    else:
        job.bend(tool.at, "free-text tool sent as a function with one string")
    return _spec(job, tool, about, _ONE_STRING)


def _grammar(tool: Tool) -> tuple[str, str]:
    """Syntax and definition of a tool's grammar, which Chat puts one level deeper."""
    told: Any = tool.format or {}
    told = told.get("grammar", told) if isinstance(told, dict) else {}
    if not isinstance(told, dict) or not isinstance(told.get("definition"), str):
        return "", ""
    return str(told.get("syntax", "")), told["definition"]


def _function_out(job: Job, tool: Tool) -> Json:
    out = _spec(job, tool, tool.description or "", _schema_out(job, tool))
    if tool.strict:
        _strict_out(job, tool, out["toolSpec"])
    if tool.defer:
        job.drop(f"{tool.at}.defer_loading", "all tools are loaded from the start")
    for key in tool.extra:
        job.drop(f"{tool.at}.{key}", "no equivalent")
    return out


def _spec(job: Job, tool: Tool, about: str, schema: Json) -> Json:
    spec: Json = {"name": job.name(tool.name)}
    if not is_blank(about):
        spec["description"] = about
    spec["inputSchema"] = {"json": schema}
    return {"toolSpec": spec}


def _schema_out(job: Job, tool: Tool) -> Json:
    """The schema as the models take it: its root an object without alternatives."""
    schema = tool.schema
    if not schema:
        return dict(_EMPTY)
    lost = [key for key in ("oneOf", "anyOf", "allOf") if key in schema]
    if not lost and schema.get("type") == "object":
        return schema
    out = {key: value for key, value in schema.items() if key not in lost}
    if lost:
        job.bend(tool.at, f"{', '.join(lost)} at the root of a tool's schema left out")
    return {**out, "type": "object"}


def _strict_out(job: Job, tool: Tool, spec: Json) -> None:
    """Ask for strictness where the schema can be enforced as it is."""
    path = f"{tool.at}.strict"
    if not job.traits.strict_tools:
        job.drop(path, "the upstream has no strict tools")
        return
    schema, changed = for_anthropic(spec["inputSchema"]["json"])
    if changed or not can_be_enforced(spec["inputSchema"]["json"]):
        why = "the schema is outside the subset that can be enforced"
        job.bend(path, why, before=True, after=False)
        return
    spec["strict"] = True
    spec["inputSchema"] = {"json": schema}


# --- tool choice ---------------------------------------------------------------------


def _forget_choice(job: Job) -> None:
    choice = job.request.tool_choice
    if choice is not None and choice.mode in {"any", "named", "allowed"}:
        job.drop(job.request.path("tool_choice"), "no tools are sent")


def _choice_out(job: Job) -> Json | None:
    choice = job.request.tool_choice
    if choice is None:
        return None
    out = _mode_out(job, choice)
    if choice.parallel is False:
        _single_out(job, out)
    return out


def _mode_out(job: Job, choice: ToolChoice) -> Json | None:
    forced = choice.mode in {"any", "named"} or (choice.mode == "allowed" and choice.required)
    if forced and not job.traits.forced_tools:
        why = f"{job.model} can not be made to call a tool"
        job.bend(job.request.path("tool_choice"), why, after="auto")
        return None
    match choice.mode:
        case "named":
            return {"tool": {"name": job.name(choice.names[0])}}
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


def _single_out(job: Job, choice: Json | None) -> None:
    """One call at a time, which only Claude can be told, in its own words."""
    if not job.traits.parallel_toggle:
        path = job.request.path("parallel")
        job.drop(path, "the upstream can not switch parallel calls off")
        return
    told: Json = {"type": "auto"}
    if choice is not None and "any" in choice:
        told = {"type": "any"}
    elif choice is not None and "tool" in choice:
        told = {"type": "tool", "name": choice["tool"]["name"]}
    job.more["tool_choice"] = {**told, "disable_parallel_tool_use": True}
