"""Tools that only their own provider runs: the reason to report for each."""

from __future__ import annotations

from gateway.canon.request import Tool
from gateway.dialects.shared import code_execution, mcp, web_search

NO_WEB_SEARCH = (
    "the target does not search the web; the gateway can search for it: DRAGOMAN_WEB_SEARCH_URL"
)

# How the ids of OpenAI's vector stores start.
_OPENAI_STORE = "vs_"
_PREFER = "`require_capabilities` of the route selects targets that can"
# Names of tools, as each dialect writes them -> why another provider cannot run them.
_REASONS = {
    "code_execution": "the target does not run code",
    "image_generation": "the model does not generate images",
    "file_search": f"only OpenAI's models can search these vector stores; {_PREFER}",
    "fileSearch": f"only Google's models can search these stores; {_PREFER}",
    "mcp": "the target does not call MCP servers",
    "mcp_toolset": "the target does not call MCP servers",
    "web_search": NO_WEB_SEARCH,
}


def loss_reason(tool: Tool) -> str:
    """Why a server tool is not sent to a provider of another dialect."""
    kind = (tool.native or {}).get("type")
    reason = _REASONS.get(tool.name) or (_REASONS.get(kind) if isinstance(kind, str) else None)
    return reason or f"no equivalent for the server tool {tool.name[:60]}"


def responses_type(tool: Tool) -> str:
    """The type of a built-in tool in OpenAI's Responses API; empty for any other tool.

    Empty too for a search that must stay off the live web, which only OpenAI has.
    """
    if tool.kind != "server":
        return ""
    if code_execution.is_code_execution(tool):
        return code_execution.OPENAI_TOOL
    search = web_search.parse_web_search(tool)
    if search is not None:
        return web_search.NAME if search.live else ""
    kind = (tool.native or {}).get("type")
    if kind == mcp.TOOLSET:
        return mcp.TOOL
    return kind if isinstance(kind, str) else ""


def searches_openai_stores(tool: Tool) -> bool:
    """Whether a file search names vector stores of OpenAI's, by the form of their ids."""
    stores = (tool.native or {}).get("vector_store_ids")
    ids = stores if isinstance(stores, list) else []
    return any(isinstance(store, str) and store.startswith(_OPENAI_STORE) for store in ids)
