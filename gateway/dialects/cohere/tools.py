"""Tools and tool choice, as a provider's request has them."""

from __future__ import annotations

from typing import Any

from gateway.canon.request import Tool
from gateway.dialects.cohere.job import Job
from gateway.dialects.cohere.names import Json

_EMPTY: Json = {"type": "object", "properties": {}}
_ONE_STRING: Json = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
}


def tools_out(job: Job, body: Json) -> None:
    """Write the tools, and what is said about choosing among them, into the body."""
    request, traits = job.request, job.traits
    if request.tools and not traits.tools:
        job.drop("tools", f"{job.model} takes no tools")
    offered = _offered(job) if traits.tools else []
    tools = [made for tool in offered if (made := _tool_out(job, tool)) is not None]
    if tools:
        body["tools"] = tools
        if any(tool.strict for tool in offered):
            body["strict_tools"] = True
    _choice_out(job, body)


def _offered(job: Job) -> list[Tool]:
    """The tools to offer: all, or only those that may be called."""
    choice = job.request.tool_choice
    if choice is None or choice.mode not in {"named", "allowed"}:
        return list(job.request.tools)
    why = "only the allowed tools are sent"
    if choice.mode == "named":
        why = "named choice: REQUIRED with only that tool sent"
    job.bend(job.request.path("tool_choice"), why)
    return [tool for tool in job.request.tools if tool.name in choice.names]


def _tool_out(job: Job, tool: Tool) -> Json | None:
    job.unmark(tool.cache)
    if tool.kind == "server":
        job.drop(tool.at, f"no equivalent for the server tool {tool.name[:60]}")
        return None
    about = tool.description or ""
    if tool.kind == "custom":
        if grammar := _grammar(tool):
            job.bend(f"{tool.at}.format", "grammar is not enforced, described in text")
            about = f"{about}\n\n{grammar}".strip()
        else:
            job.bend(tool.at, "free-text tool sent as a function with one string")
    if tool.defer:
        job.drop(f"{tool.at}.defer_loading", "all tools are loaded from the start")
    for key in tool.extra:
        job.drop(f"{tool.at}.{key}", "no equivalent")
    function: Json = {"name": job.name(tool.name)}
    if about:
        function["description"] = about
    schema = _ONE_STRING if tool.kind == "custom" else tool.schema
    function["parameters"] = schema or dict(_EMPTY)
    return {"type": "function", "function": function}


def _grammar(tool: Tool) -> str:
    """The grammar of a free-text tool, which Chat puts one level deeper."""
    told: Any = tool.format or {}
    told = told.get("grammar", told) if isinstance(told, dict) else {}
    if not isinstance(told, dict) or not isinstance(told.get("definition"), str):
        return ""
    return f"The input must match this {told.get('syntax', '')} grammar:\n{told['definition']}"


def _choice_out(job: Job, body: Json) -> None:
    choice, request = job.request.tool_choice, job.request
    if choice is None:
        return
    if choice.parallel is False:
        job.drop(request.path("parallel"), "parallel calls can not be switched off")
    forced = choice.mode in {"any", "named"} or (choice.mode == "allowed" and choice.required)
    if "tools" not in body:
        if forced or choice.mode == "allowed":
            job.drop(request.path("tool_choice"), "no tools are sent")
        return
    if forced and not job.traits.forced_tools:
        why = f"{job.model} can not be made to call a tool"
        job.bend(request.path("tool_choice"), why, after="auto")
    elif forced:
        body["tool_choice"] = "REQUIRED"
    elif choice.mode == "none":
        body["tool_choice"] = "NONE"
