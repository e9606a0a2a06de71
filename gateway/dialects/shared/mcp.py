"""MCP servers that a provider calls itself: OpenAI's `mcp` tool, Anthropic's `mcp_servers`.

OpenAI names a server in its tool; Anthropic lists servers in `mcp_servers` and offers their tools
by an `mcp_toolset`. A call and its result are one `mcp_call` item at OpenAI, two blocks at
Anthropic (`mcp_tool_use`, `mcp_tool_result`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

import msgspec

from gateway.canon.request import Native, Part, Request, Tool
from gateway.dialects.shared.fields import object_or_empty, string_or_empty

Json = dict[str, Any]

TOOL, TOOLSET, SERVERS = "mcp", "mcp_toolset", "mcp_servers"
# The version of Anthropic's API with `mcp_toolset`.
BETA = "mcp-client-2025-11-20"
_ANTHROPIC = "anthropic_messages"
_EXECUTION_ERROR = "mcp_tool_execution_error"
_INVALID_ID_CHARACTERS = re.compile(r"[^a-zA-Z0-9_]")


class McpServer(msgspec.Struct, frozen=True, kw_only=True):
    """A server, and which of its tools the model may call.

    Attributes:
        name: the client's name for the server.
        url: its URL.
        token: the bearer token; empty without one.
        allowed: names of the tools that may be called; None for all.
        losses: subfields of the client's tool without an equivalent, each with the reason.
    """

    name: str
    url: str
    token: str = ""
    allowed: tuple[str, ...] | None = None
    losses: tuple[tuple[str, str], ...] = ()


def parse_openai_tool(tool: Tool) -> McpServer | str:
    """The server of an `mcp` tool, or the reason why another provider cannot call it."""
    native = tool.native or {}
    url = string_or_empty(native.get("server_url"))
    if not url:
        return "connectors are available only from OpenAI"
    if native.get("require_approval") != "never":
        return "calls cannot wait for an approval; set require_approval to never"
    allowed_tools = native.get("allowed_tools")
    losses = []
    if isinstance(allowed_tools, dict):
        if allowed_tools.get("read_only") is not None:
            losses.append(("allowed_tools.read_only", "no equivalent"))
        allowed_tools = allowed_tools.get("tool_names")
    token = string_or_empty(native.get("authorization"))
    for name, value in object_or_empty(native.get("headers")).items():
        scheme, _, credential = string_or_empty(value).partition(" ")
        if name.lower() == "authorization" and scheme.lower() == "bearer" and not token:
            token = credential.strip()
        else:
            losses.append(("headers", "only a bearer token is sent"))
    return McpServer(
        name=string_or_empty(native.get("server_label")),
        url=url,
        token=token.removeprefix("Bearer "),
        allowed=_list_of_names(allowed_tools),
        losses=tuple(dict.fromkeys(losses)),
    )


def render_anthropic(server: McpServer) -> tuple[Json, Json]:
    """The entry of `mcp_servers` and the toolset."""
    entry: Json = {"type": "url", "url": server.url, "name": server.name}
    if server.token:
        entry["authorization_token"] = server.token
    toolset: Json = {"type": TOOLSET, "mcp_server_name": server.name}
    if server.allowed is not None:
        toolset["default_config"] = {"enabled": False}
        toolset["configs"] = {name: {"enabled": True} for name in server.allowed}
    return entry, toolset


def find_anthropic_server(request: Request, tool: Tool) -> McpServer | None:
    """The server of an `mcp_toolset`; None for any other tool or an unknown server."""
    native = tool.native or {}
    if tool.dialect != _ANTHROPIC or native.get("type") != TOOLSET:
        return None
    servers = request.extra.get(_ANTHROPIC, {}).get(SERVERS)
    name = native.get("mcp_server_name")
    for entry in servers if isinstance(servers, list) else []:
        if not isinstance(entry, dict) or entry.get("name") != name:
            continue
        configs = object_or_empty(native.get("configs"))
        by_default = object_or_empty(native.get("default_config")).get("enabled") is not False
        enabled = [
            key for key, value in configs.items() if _is_enabled(value, by_default=by_default)
        ]
        losses = []
        if by_default and len(enabled) < len(configs):
            losses.append(("configs", "single tools of a server cannot be disabled"))
        return McpServer(
            name=string_or_empty(name),
            url=string_or_empty(entry.get("url")),
            token=string_or_empty(entry.get("authorization_token")),
            allowed=None if by_default else tuple(enabled),
            losses=tuple(losses),
        )
    return None


def render_openai(server: McpServer) -> Json:
    """The `mcp` tool; Anthropic's calls need no approval."""
    tool: Json = {
        "type": TOOL,
        "server_label": server.name,
        "server_url": server.url,
        "require_approval": "never",
    }
    if server.token:
        tool["authorization"] = server.token
    if server.allowed is not None:
        tool["allowed_tools"] = list(server.allowed)
    return tool


def _is_enabled(config: Any, *, by_default: bool) -> bool:
    enabled = object_or_empty(config).get("enabled")
    return enabled if isinstance(enabled, bool) else by_default


def _list_of_names(value: Any) -> tuple[str, ...] | None:
    if not isinstance(value, list):
        return None
    return tuple(name for name in value if isinstance(name, str))


# --- calls in responses ---------------------------------------------------------------------------


class McpCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a server's tool; `output` is None before its result, `failed` if it failed."""

    id: str
    server: str
    name: str
    arguments: Any
    output: str | None = None
    failed: bool = False


def read_call(data: Json) -> McpCall | None:
    """The call in a block or an item; None for any other part."""
    match data.get("type"):
        case "mcp_tool_use":
            return McpCall(
                id=string_or_empty(data.get("id")),
                server=string_or_empty(data.get("server_name")),
                name=string_or_empty(data.get("name")),
                arguments=data.get("input"),
            )
        case "mcp_call":
            error = data.get("error")
            output = data.get("output")
            if error is not None and not output:
                output = _error_text(error)
            return McpCall(
                id=string_or_empty(data.get("id")),
                server=string_or_empty(data.get("server_label")),
                name=string_or_empty(data.get("name")),
                arguments=_decode_arguments(data.get("arguments")),
                output=output if isinstance(output, str) else "",
                failed=error is not None,
            )
        case _:
            return None


def _error_text(error: Any) -> str:
    """The text of a failure: plain, a message, or the content that the tool returned."""
    if not isinstance(error, dict):
        return error if isinstance(error, str) else msgspec.json.encode(error).decode()
    message = error.get("message", error.get("content", error))
    if isinstance(message, list) and all(isinstance(block, dict) for block in message):
        message = "\n".join(string_or_empty(block.get("text")) for block in message) or message
    return message if isinstance(message, str) else msgspec.json.encode(message).decode()


def read_result(data: Json) -> tuple[str, str, bool] | None:
    """The id of the call, the text and the failure in an Anthropic result; None for others."""
    if data.get("type") != "mcp_tool_result":
        return None
    content = data.get("content")
    if isinstance(content, str):
        text = content
    else:
        blocks = [b for b in content if isinstance(b, dict)] if isinstance(content, list) else []
        text = "\n".join(string_or_empty(block.get("text")) for block in blocks)
    return string_or_empty(data.get("tool_use_id")), text, data.get("is_error") is True


def render_call_item(call: McpCall) -> Json:
    """The `mcp_call` item, without its id."""
    arguments = call.arguments if call.arguments is not None else {}
    content = [{"type": "text", "text": call.output or ""}]
    return {
        "type": "mcp_call",
        "server_label": call.server,
        "name": call.name,
        "arguments": msgspec.json.encode(arguments).decode(),
        "output": None if call.failed else call.output,
        "error": {"type": _EXECUTION_ERROR, "content": content} if call.failed else None,
        "status": "failed" if call.failed else "completed",
    }


def block_id(call: McpCall) -> str:
    """The id of the blocks of a call of another provider."""
    return f"mcptoolu_{_INVALID_ID_CHARACTERS.sub('_', call.id)}"[:64]


def has_openai_tool(request: Request, server: str) -> bool:
    """Whether the request has OpenAI's tool for a server that other providers can call."""
    return any(
        tool.kind == "server"
        and (tool.native or {}).get("type") == TOOL
        and isinstance(parsed_tool := parse_openai_tool(tool), McpServer)
        and parsed_tool.name == server
        for tool in request.tools
    )


def items_for_history(request: Request, parts: Iterable[Part]) -> dict[int, list[Json]]:
    """The items for Anthropic's calls in a turn and their results, by `id(part)`.

    A call becomes an item that contains its result. Only servers that the request still offers:
    OpenAI rejects others.
    """
    natives = [part for part in parts if isinstance(part, Native) and part.dialect == _ANTHROPIC]
    calls = [(part, call) for part in natives if (call := read_call(part.data)) is not None]
    if not calls:
        return {}
    servers = (find_anthropic_server(request, tool) for tool in request.tools)
    names = {server.name for server in servers if server is not None}
    results = {
        result[0]: (part, result)
        for part in natives
        if (result := read_result(part.data)) is not None
    }
    items: dict[int, list[Json]] = {}
    for part, call in calls:
        if call.server not in names or call.id not in results:
            continue
        result_part, (_, output, has_failed) = results[call.id]
        item = render_call_item(msgspec.structs.replace(call, output=output, failed=has_failed))
        digest = sha256(call.id.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        items[id(part)], items[id(result_part)] = [{"id": f"mcp_{digest}", **item}], []
    return items


def render_call_blocks(call: McpCall, block_id: str) -> list[Json]:
    """The blocks of the call and of its result."""
    arguments = call.arguments if isinstance(call.arguments, dict) else {}
    return [
        {
            "type": "mcp_tool_use",
            "id": block_id,
            "name": call.name,
            "server_name": call.server,
            "input": arguments,
        },
        {
            "type": "mcp_tool_result",
            "tool_use_id": block_id,
            "is_error": call.failed,
            "content": [{"type": "text", "text": call.output or ""}],
        },
    ]


def _decode_arguments(value: Any) -> Any:
    try:
        return msgspec.json.decode(value) if isinstance(value, str) and value else {}
    except msgspec.DecodeError:
        return {}
