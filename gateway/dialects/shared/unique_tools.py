"""Tools for a provider that refuses two of one name.

Anthropic ("tools: Tool names must be unique."), Google ("Duplicate function declaration found")
and Bedrock answer without the field. OpenAI and Ollama accept such tools.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from gateway.canon.errors import unsupported
from gateway.canon.request import Tool
from gateway.dialects.shared.render_context import BaseRenderContext


def unique_tools(context: BaseRenderContext, tools: Iterable[Tool]) -> list[Tool]:
    """The tools without repetitions of the same definition, which are reported.

    Raises GatewayError for a second definition with another tool's name.
    """
    first_tools: dict[str, Tool] = {}
    sendable: list[Tool] = []
    for tool in tools:
        first = tool if tool.kind == "server" else first_tools.setdefault(tool.name, tool)
        if first is tool:
            sendable.append(tool)
        elif replace(first, cache=tool.cache, path=tool.path) == tool:
            context.drop(tool.path, f"repeats {first.path or 'another tool'}")
        else:
            raise unsupported(
                tool.path or "tools",
                f"{first.path or 'another tool'} is named {tool.name[:64]!r} too;"
                f" {context.model} accepts each name once",
            )
    return sendable
