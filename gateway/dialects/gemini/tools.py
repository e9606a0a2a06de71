"""Tools and tool choice: a client's JSON <-> a provider's."""

from __future__ import annotations

from typing import Any, assert_never

from gateway.canon.request import Tool, ToolChoice
from gateway.dialects.fields import items, mapping, needed_text, one_of, strings, text
from gateway.dialects.gemini.casing import camel_name
from gateway.dialects.gemini.job import Job
from gateway.dialects.gemini.names import CALLING, NAME, Json
from gateway.dialects.gemini.schema import for_gemini, from_google

_FUNCTION = frozenset({"name", "description", "parameters", "parametersJsonSchema"})
_DECLARATIONS = "functionDeclarations"
_MODES = ("MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED")
_ONE_STRING: Json = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
}
# A search of the web, in the word that other dialects know it by.
_WEB_SEARCH, _GOOGLE_SEARCH = "web_search", "googleSearch"


# --- a client's --------------------------------------------------------------------------


def tools_in(body: Json) -> tuple[Tool, ...]:
    """The tools on offer; those that Google runs stay as they are."""
    tools: list[Tool] = []
    for place, item in enumerate(items(body, "tools")):
        at = f"tools[{place}]"
        for number, function in enumerate(items(item, _DECLARATIONS, at)):
            tools.append(_function_in(function, f"{at}.{_DECLARATIONS}[{number}]"))
        tools += [
            _server_in(key, value, at)
            for key, value in item.items()
            if key != _DECLARATIONS and value is not None
        ]
    return tuple(tools)


def _function_in(function: Json, at: str) -> Tool:
    schema = mapping(function, "parametersJsonSchema", at)
    if schema is None:
        schema = from_google(mapping(function, "parameters", at))
    extra = {k: v for k, v in function.items() if k not in _FUNCTION and v is not None}
    return Tool(
        name=needed_text(function, "name", at),
        description=text(function, "description", at),
        schema=schema,
        dialect=NAME if extra else "",
        extra=extra,
        at=at,
    )


def _server_in(key: str, value: Any, at: str) -> Tool:
    name = _WEB_SEARCH if camel_name(key) == _GOOGLE_SEARCH else key
    return Tool(name=name, kind="server", dialect=NAME, native={key: value}, at=f"{at}.{key}")


def choice_in(body: Json, rest: Json) -> ToolChoice | None:
    """Which functions may or must be called; what else is configured is kept beside it."""
    config = mapping(body, "toolConfig") or {}
    rest |= {
        f"toolConfig.{k}": v
        for k, v in config.items()
        if k != "functionCallingConfig" and v is not None
    }
    value = mapping(config, "functionCallingConfig", "toolConfig")
    if value is None:
        return None
    mode = one_of(value, "mode", _MODES, CALLING)
    names = strings(value, "allowedFunctionNames", CALLING)
    match mode:
        case "ANY" if len(names) == 1:
            return ToolChoice(mode="named", names=names)
        case "ANY" if names:
            return ToolChoice(mode="allowed", names=names, required=True)
        case "ANY":
            return ToolChoice(mode="any")
        case "NONE":
            return ToolChoice(mode="none")
        case "VALIDATED":
            rest[f"{CALLING}.mode"] = mode
            return ToolChoice(mode="allowed", names=names) if names else ToolChoice(mode="auto")
        case _:
            return ToolChoice(mode="auto") if mode == "AUTO" else None


# --- a provider's ------------------------------------------------------------------------


def tools_out(job: Job, body: Json) -> None:
    """Write the tools, and what is said about choosing among them, into the body."""
    request, traits = job.request, job.traits
    if request.tools and not traits.tools:
        job.drop("tools", f"{job.model} takes no tools")
    offered = _offered(job) if traits.tools else []
    functions = [_function_out(job, tool) for tool in offered if tool.kind != "server"]
    tools: list[Json] = [{_DECLARATIONS: functions}] if functions else []
    tools += [item for t in offered if t.kind == "server" and (item := _server_out(job, t))]
    if tools:
        body["tools"] = tools
    config = _choice_out(job, offered=bool(functions))
    if config is not None:
        body["toolConfig"] = {"functionCallingConfig": config}


def _offered(job: Job) -> list[Tool]:
    """The tools to offer: all, or only those that the client allows without forcing one."""
    choice = job.request.tool_choice
    if job.native or (choice is not None and choice.required):
        return list(job.request.tools)
    return job.allowed(job.request.tools)


def _function_out(job: Job, tool: Tool) -> Json:
    out: Json = {"name": job.name(tool.name)}
    about = tool.description or ""
    if tool.kind == "custom":
        if grammar := _grammar(tool):
            job.bend(f"{tool.at}.format", "grammar is not enforced, described in text")
            about = f"{about}\n\n{grammar}".strip()
        else:
            job.bend(tool.at, "free-text tool sent as a function with one string")
    if about:
        out["description"] = about
    out["parametersJsonSchema"] = _ONE_STRING if tool.kind == "custom" else _schema_out(job, tool)
    job.unmark(tool.cache)
    if tool.defer:
        job.drop(f"{tool.at}.defer_loading", "all tools are loaded from the start")
    for key, value in tool.extra.items():
        if tool.dialect == NAME:
            out[key] = value
        else:
            job.drop(f"{tool.at}.{key}", "no equivalent")
    return out


def _schema_out(job: Job, tool: Tool) -> Json:
    if not tool.schema:
        return {"type": "object", "properties": {}}
    schema, changed = for_gemini(tool.schema)
    if changed:
        inner = job.request.at.get("tool_schema")
        why = f"{'/'.join(changed)}: not in Gemini's JSON Schema, told in descriptions"
        job.bend(f"{tool.at}.{inner}" if inner else tool.at, why)
    return schema


def _grammar(tool: Tool) -> str:
    """The grammar of a free-text tool, which Chat puts one level deeper."""
    told: Any = tool.format or {}
    told = told.get("grammar", told) if isinstance(told, dict) else {}
    if not isinstance(told, dict) or not isinstance(told.get("definition"), str):
        return ""
    syntax = told.get("syntax", "")
    return f"The input must match this {syntax} grammar:\n{told['definition']}"


def _server_out(job: Job, tool: Tool) -> Json | None:
    if tool.dialect == NAME and tool.native is not None:
        return tool.native
    if tool.name.startswith(_WEB_SEARCH) and job.traits.web_search:
        lost = {"type", "name"} ^ (tool.native or {}).keys()
        if lost - {"type", "name"}:
            job.bend(tool.at, "Google's search takes none of its options")
        return {job.traits.web_search: {}}
    job.drop(tool.at, f"no equivalent for the server tool {tool.name[:60]}")
    return None


def _choice_out(job: Job, *, offered: bool) -> Json | None:
    """The calling config; None where the default holds."""
    choice, request = job.request.tool_choice, job.request
    strict = [tool for tool in request.tools if tool.strict]
    if choice is not None and choice.parallel is False:
        job.drop(request.path("parallel"), "parallel calls can not be switched off")
    if not offered:
        if choice is not None and choice.mode in {"any", "named", "allowed"}:
            job.drop(request.path("tool_choice"), "no tools are sent")
        return None
    out = _mode_out(job, choice)
    if strict and (out is None or out["mode"] == "AUTO"):
        for tool in strict:
            job.bend(f"{tool.at}.strict", "calls are held to their schemas (VALIDATED)")
        return {**(out or {}), "mode": "VALIDATED"}
    return out


def _mode_out(job: Job, choice: ToolChoice | None) -> Json | None:
    if choice is None:
        return None
    match choice.mode:
        case None:
            return None
        case "auto":
            return {"mode": "AUTO"}
        case "any":
            return {"mode": "ANY"}
        case "none":
            return {"mode": "NONE"}
        case "named":
            return {"mode": "ANY", "allowedFunctionNames": [job.name(choice.names[0])]}
        case "allowed":
            names = [job.name(name) for name in choice.names]
            if choice.required:
                return {"mode": "ANY", "allowedFunctionNames": names}
            return (
                {"mode": "AUTO", "allowedFunctionNames": names} if job.native else {"mode": "AUTO"}
            )
        case _:
            assert_never(choice.mode)
