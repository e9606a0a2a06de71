"""Tools that only their own provider runs: the reason to report for each."""

from __future__ import annotations

from gateway.canon.request import Tool

# Names of tools, as each dialect writes them -> why another provider cannot run them.
_REASONS = {
    "code_execution": "the target does not run code",
    "image_generation": "the model does not generate images",
    "file_search": "the vector stores belong to OpenAI",
    "fileSearch": "the file search stores belong to Google",
    "mcp": "the target does not call MCP servers",
    "mcp_toolset": "the target does not call MCP servers",
    "web_search": "the target does not search the web",
}


def loss_reason(tool: Tool) -> str:
    """Why a server tool is not sent to a provider of another dialect."""
    kind = (tool.native or {}).get("type")
    reason = _REASONS.get(tool.name) or (_REASONS.get(kind) if isinstance(kind, str) else None)
    return reason or f"no equivalent for the server tool {tool.name[:60]}"
