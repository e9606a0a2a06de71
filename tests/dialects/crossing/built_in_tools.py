"""Provider-executed tools: the translation of each client's tool for each provider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.simulate import translate
from tests.dialects.crossing.upstreams import UPSTREAMS, Upstream

Json = dict[str, Any]

_ANTHROPIC_HEADERS = {
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "mcp-client-2025-11-20",
}
_BODIES: dict[str, Json] = {
    "openai_chat": {"messages": [{"role": "user", "content": "hi"}]},
    "openai_responses": {"input": "hi"},
    "anthropic_messages": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 99},
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
}
_MCP_URL = "https://mcp.example/sse"
# Tool -> client -> the fields that request it.
TOOLS: dict[str, dict[str, Json]] = {
    "web search": {
        "openai_chat": {"web_search_options": {}},
        "openai_responses": {"tools": [{"type": "web_search"}]},
        "anthropic_messages": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        "gemini": {"tools": [{"googleSearch": {}}]},
    },
    "code execution": {
        "openai_responses": {
            "tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]
        },
        "anthropic_messages": {
            "tools": [{"type": "code_execution_20250825", "name": "code_execution"}]
        },
        "gemini": {"tools": [{"codeExecution": {}}]},
    },
    "image generation": {"openai_responses": {"tools": [{"type": "image_generation"}]}},
    "MCP servers": {
        "openai_responses": {
            "tools": [
                {
                    "type": "mcp",
                    "server_label": "docs",
                    "server_url": _MCP_URL,
                    "require_approval": "never",
                }
            ]
        },
        "anthropic_messages": {
            "mcp_servers": [{"type": "url", "url": _MCP_URL, "name": "docs"}],
            "tools": [{"type": "mcp_toolset", "mcp_server_name": "docs"}],
        },
    },
    "file search": {
        "openai_responses": {"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]},
        "gemini": {"tools": [{"fileSearch": {"fileSearchStoreNames": ["fileSearchStores/1"]}}]},
    },
}
# Models that have the tool, where the matrix uses others.
_MODELS = {("image generation", "gemini"): "gemini-3-pro-image"}


@dataclass(frozen=True)
class ToolCrossing:
    """A client's built-in tool at one provider: the upstream body and the report."""

    tool: str
    client: str
    upstream: str
    body: Json
    passthrough: bool
    report: tuple[Json, ...]

    @property
    def sign(self) -> str:
        """Return the sign of this result in the tables of the matrix."""
        actions = {row["action"] for row in self.report}
        if "dropped" in actions:
            return "-"
        if "approximated" in actions:
            return "~"
        return "=" if self.passthrough else "+"


def translate_tool(tool: str, client: str, upstream: Upstream) -> ToolCrossing:
    """Return the result for one tool, client and provider."""
    # A dialect's name keeps the API, where a preset would choose the provider's other one.
    target = upstream.dialect if upstream.preset == "openai" else upstream.preset
    model = _MODELS.get((tool, upstream.name), upstream.model(""))
    body = {"model": "gw", **_BODIES[client], **TOOLS[tool][client]}
    headers = _ANTHROPIC_HEADERS if client == "anthropic_messages" else {}
    upstream_request = translate.request(client, target, body, headers, model)
    rows = tuple(row for row in upstream_request["report"] if row["action"] != "defaulted")
    return ToolCrossing(
        tool, client, upstream.name, upstream_request["body"], upstream_request["passthrough"], rows
    )


def translate_all_tools() -> tuple[ToolCrossing, ...]:
    """Return the results for every tool, client and provider."""
    return tuple(
        translate_tool(tool, client, upstream)
        for tool, clients in TOOLS.items()
        for client in clients
        for upstream in UPSTREAMS.values()
    )
