"""Built-in tools of a request, and which targets run them.

Files belong to a provider: a search of OpenAI's vector stores runs at OpenAI only, whatever
other providers offer under the same name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from gateway.canon.request import Tool
from gateway.canon.traits import Traits
from gateway.dialects.shared.server_tools import responses_type, searches_openai_stores
from gateway.dialects.shared.web_search import NAME as WEB_SEARCH
from gateway.routing.snapshot import Target

# Key of a tool that needs certain targets -> its label in messages.
BUILT_IN_TOOLS = {
    WEB_SEARCH: "web search",
    "x_search": "search of X",
    "code_interpreter": "code execution",
    "mcp": "calls of MCP servers",
    "image_generation": "image generation",
    "file_search": "file search",
    "openai_file_search": "search of OpenAI's vector stores",
    "google_file_search": "search of Google's file search stores",
}


def built_in_tools_of(tools: Iterable[Tool]) -> frozenset[str]:
    """The built-in tools of a request, as keys of BUILT_IN_TOOLS."""
    return frozenset(_tool_keys(tool for tool in tools if tool.kind == "server"))


def _tool_keys(tools: Iterable[Tool]) -> Iterator[str]:
    for tool in tools:
        key = responses_type(tool)
        if tool.name == "fileSearch":
            yield "google_file_search"
        elif key == "file_search" and searches_openai_stores(tool):
            yield "openai_file_search"
        elif key in BUILT_IN_TOOLS:
            yield key


def runs_tool(target: Target, tool: str) -> bool:
    """Whether the target's provider runs a tool (a key of BUILT_IN_TOOLS) for its model."""
    traits, dialect = target.model.traits, target.model.provider.dialect
    if traits.built_in_tools_in_responses:
        return tool in (traits.built_in_tools or _OPENAI_TOOLS)
    if tool in _TOOLS_BY_DIALECT.get(dialect, ()):
        return True
    test = _TESTS.get(tool)
    return test is not None and test(target.model.traits)


_OPENAI_TOOLS = frozenset(BUILT_IN_TOOLS) - {"x_search", "google_file_search"}
# Dialects whose every provider runs a tool.
_TOOLS_BY_DIALECT = {
    "openai_responses": _OPENAI_TOOLS,
    "gemini": frozenset({"google_file_search"}),
}
_TESTS: dict[str, Callable[[Traits], bool]] = {
    WEB_SEARCH: lambda traits: bool(traits.web_search),
    "code_interpreter": lambda traits: bool(traits.code_execution),
    "mcp": lambda traits: traits.mcp_servers,
    "image_generation": lambda traits: traits.image_output,
}
