"""Tools and tool choice: a client's JSON <-> a provider's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, assert_never

from msgspec.structs import replace

from gateway.canon.errors import invalid
from gateway.canon.request import Native, Tool, ToolChoice, ToolResult, Turn
from gateway.canon.schema import can_be_enforced, for_anthropic
from gateway.dialects import web_search
from gateway.dialects.anthropic_messages.blocks_in import cache_in
from gateway.dialects.anthropic_messages.job import Job
from gateway.dialects.anthropic_messages.names import NAME, Json
from gateway.dialects.fields import flag, items, mapping, needed_text, one_of, text
from gateway.dialects.web_search import WebSearch, located

_FUNCTION = frozenset(
    {"type", "name", "description", "input_schema", "strict", "defer_loading", "cache_control"}
)
_EMPTY: Json = {"type": "object", "properties": {}}
_ONE_STRING: Json = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}
_WORDS = ("auto", "any", "none", "tool")


# --- tools ---------------------------------------------------------------------------


def tools_in(body: Json, turns: tuple[Turn, ...]) -> tuple[Tool, ...]:
    """The tools on offer; those of a type of their own stay as they are.

    A deferred one that the conversation has loaded is on offer like any other; that it was
    deferred is then of use to this dialect only.
    """
    tools = [_tool_in(item, f"tools[{i}]") for i, item in enumerate(items(body, "tools"))]
    if not any(tool.defer for tool in tools):
        return tuple(tools)
    loaded = set(_loaded_in(turns))
    return tuple([_on_offer(tool) if tool.name in loaded else tool for tool in tools])


def _on_offer(tool: Tool) -> Tool:
    if not tool.defer or tool.kind == "server":
        return tool
    return replace(tool, defer=False, dialect=NAME, extra={**tool.extra, "defer_loading": True})


def _loaded_in(turns: tuple[Turn, ...]) -> Iterator[str]:
    """The names of tools that a search has found or a system message has added."""
    for turn in turns:
        for part in turn.parts:
            inner = part.parts if isinstance(part, ToolResult) else (part,)
            for block in (each.data for each in inner if isinstance(each, Native)):
                named = block.get("tool") if block["type"] == "tool_addition" else block
                if isinstance(named, dict) and named.get("type") == "tool_reference":
                    yield str(named.get("tool_name") or named.get("name"))


def _tool_in(item: Json, at: str) -> Tool:
    kind = text(item, "type", at)
    if kind not in (None, "custom"):
        name = text(item, "name", at) or kind
        return Tool(
            name=name,
            kind="server",
            dialect=NAME,
            native=item,
            defer=bool(flag(item, "defer_loading", at)),
            at=at,
        )
    extra = {k: v for k, v in item.items() if k not in _FUNCTION and v is not None}
    return Tool(
        name=needed_text(item, "name", at),
        description=text(item, "description", at),
        schema=mapping(item, "input_schema", at),
        strict=flag(item, "strict", at),
        defer=bool(flag(item, "defer_loading", at)),
        cache=cache_in(item, at),
        dialect=NAME if extra else "",
        extra=extra,
        at=at,
    )


def tools_out(job: Job, body: Json) -> None:
    """Write the tools, and what is said about choosing among them, into the body."""
    request, traits = job.request, job.traits
    if request.tools and not traits.tools:
        job.drop("tools", f"{job.model} takes no tools")
    offered = job.allowed(job.request.tools) if traits.tools else []
    tools = [item for tool in offered if (item := _tool_out(job, tool)) is not None]
    if tools:
        body["tools"] = tools
    choice = _choice_out(job, tools)
    if choice is not None:
        body["tool_choice"] = choice


def history_tools_out(job: Job, body: Json) -> None:
    """Declare the tools of calls in the history where none are offered: the API demands it."""
    if "tools" in body:
        return
    blocks = (block for message in body["messages"] for block in message["content"])
    names = dict.fromkeys(block["name"] for block in blocks if block.get("type") == "tool_use")
    if not names:
        return
    body["tools"] = [{"name": name, "input_schema": dict(_EMPTY)} for name in names]
    body["tool_choice"] = {"type": "none"}
    job.bend("tools", "the history holds calls: their tools are named, and may not be called")


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
    search = web_search.asked(tool)
    if search is not None and job.traits.web_search:
        return _web_search_out(job, tool, search)
    job.drop(tool.at, f"no equivalent for the server tool {tool.name[:60]}")
    return None


def _web_search_out(job: Job, tool: Tool, search: WebSearch) -> Json:
    """Another dialect's web search as Anthropic's."""
    out: Json = {"type": job.traits.web_search, "name": web_search.NAME}
    if search.allowed:
        out["allowed_domains"] = search.allowed
    if search.size is not None:
        job.drop(f"{tool.at}.search_context_size", "no equivalent")
    return out | located(search.place)


def _custom_out(job: Job, tool: Tool) -> Json:
    """A free-text tool as a function with one string."""
    out: Json = {"name": job.name(tool.name)}
    about = tool.description or ""
    syntax, grammar = _grammar(tool)
    if grammar:
        job.bend(f"{tool.at}.format", "grammar is not enforced, described in text")
        about = f"{about}\n\nThe input must match this {syntax} grammar:\n{grammar}".strip()
    else:
        job.bend(tool.at, "free-text tool sent as a function with one string")
    if about:
        out["description"] = about
    out["input_schema"] = _ONE_STRING
    return job.mark(out, tool.cache)


def _grammar(tool: Tool) -> tuple[str, str]:
    """Syntax and definition of a tool's grammar, which Chat puts one level deeper."""
    told: Any = tool.format or {}
    told = told.get("grammar", told) if isinstance(told, dict) else {}
    if not isinstance(told, dict) or not isinstance(told.get("definition"), str):
        return "", ""
    return str(told.get("syntax", "")), told["definition"]


def _function_out(job: Job, tool: Tool) -> Json:
    out: Json = {"name": job.name(tool.name)}
    if tool.description is not None:
        out["description"] = tool.description
    out["input_schema"] = _schema_out(job, tool)
    if tool.strict:
        _strict_out(job, tool, out)
    if tool.defer:
        out["defer_loading"] = True
    for key, value in tool.extra.items():
        if tool.dialect == NAME:
            out[key] = value
        else:
            job.drop(f"{tool.at}.{key}", "no equivalent")
    return job.mark(out, tool.cache)


def _schema_out(job: Job, tool: Tool) -> Json:
    """The schema as the API takes it: its root an object without alternatives."""
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


def _strict_out(job: Job, tool: Tool, out: Json) -> None:
    """Ask for strictness where the schema can be enforced as it is."""
    path = f"{tool.at}.strict"
    if not job.traits.strict_tools:
        job.drop(path, "the upstream has no strict tools")
        return
    schema, changed = for_anthropic(out["input_schema"])
    if changed or not can_be_enforced(out["input_schema"]):
        job.bend(path, "the schema is outside Anthropic's strict subset", before=True, after=False)
        return
    out["strict"] = True
    out["input_schema"] = schema


# --- tool choice ---------------------------------------------------------------------


def choice_in(body: Json) -> ToolChoice | None:
    """Which tools may or must be called."""
    value = mapping(body, "tool_choice")
    if value is None:
        return None
    word = one_of(value, "type", _WORDS, "tool_choice")
    if word is None:
        path = "tool_choice.type"
        raise invalid(f"{path} is required: give one of {', '.join(_WORDS)}", path)
    single = flag(value, "disable_parallel_tool_use", "tool_choice")
    parallel = None if single is None else not single
    if word == "tool":
        name = needed_text(value, "name", "tool_choice")
        return ToolChoice(mode="named", names=(name,), parallel=parallel)
    mode: Literal["auto", "any", "none"] = word  # type: ignore[assignment]
    return ToolChoice(mode=mode, parallel=parallel)


def _choice_out(job: Job, sent: list[Json]) -> Json | None:
    choice, request = job.request.tool_choice, job.request
    if choice is None:
        return None
    if not sent:
        if choice.mode in {"any", "named", "allowed"}:
            job.drop(request.path("tool_choice"), "no tools are sent")
        return None
    if choice.mode == "named" and _left_out(job, choice.names[0], sent):
        job.drop(request.path("tool_choice"), "the tool that it names is not sent")
        choice = replace(choice, mode=None)
    out = _mode_out(job, choice)
    if choice.parallel is not False or (out or {}).get("type") == "none":
        return out
    if not job.traits.parallel_toggle:
        job.drop(request.path("parallel"), "the upstream can not switch parallel calls off")
        return out
    return {**(out or {"type": "auto"}), "disable_parallel_tool_use": True}


def _left_out(job: Job, name: str, sent: list[Json]) -> bool:
    """Whether the client's tool of this name has no equivalent among those sent."""
    if any(item.get("name") == job.name(name) for item in sent):
        return False
    return any(tool.name == name for tool in job.request.tools)


def _mode_out(job: Job, choice: ToolChoice) -> Json | None:
    forced = choice.mode in {"any", "named"} or (choice.mode == "allowed" and choice.required)
    if forced and not job.traits.forced_tools:
        why = f"{job.model} can not be made to call a tool"
        job.bend(job.request.path("tool_choice"), why, after="auto")
        return {"type": "auto"}
    match choice.mode:
        case None:
            return None
        case "named":
            return {"type": "tool", "name": job.name(choice.names[0])}
        case "allowed":
            return {"type": "any" if choice.required else "auto"}
        case "auto" | "any" | "none":
            return {"type": choice.mode}
        case _:
            assert_never(choice.mode)
