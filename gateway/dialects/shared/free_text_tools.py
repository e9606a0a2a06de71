"""Free-text tools, sent to targets that accept functions only."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.request import Tool
from gateway.dialects.shared.render_context import BaseRenderContext

# The schema of the function: one string.
TEXT_INPUT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
}


def describe_free_text_tool(context: BaseRenderContext, tool: Tool) -> str:
    """The description of the function, with the tool's grammar; the change is reported."""
    syntax, grammar = _parse_grammar(tool)
    if not grammar:
        context.approximate(
            tool.path, "free-text tool sent as a function with one string parameter"
        )
        return tool.description or ""
    context.approximate(
        context.part_field(tool.path, "tool_format"),
        "the grammar is not enforced, only described in text",
    )
    grammar_text = f"The input must match this {syntax} grammar:\n{grammar}"
    return f"{tool.description or ''}\n\n{grammar_text}".strip()


def _parse_grammar(tool: Tool) -> tuple[str, str]:
    """Syntax and definition of a tool's grammar, which Chat nests one level deeper."""
    grammar: Any = tool.format or {}
    grammar = grammar.get("grammar", grammar) if isinstance(grammar, dict) else {}
    if not isinstance(grammar, dict) or not isinstance(grammar.get("definition"), str):
        return "", ""
    return str(grammar.get("syntax", "")), grammar["definition"]


def parse_free_text_input(arguments_json: str) -> str:
    """The input in the arguments of the function, as the model wrote them."""
    try:
        arguments = msgspec.json.decode(arguments_json) if arguments_json else {}
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return arguments_json
    text = arguments.get("input") if isinstance(arguments, dict) else None
    return text if isinstance(text, str) else arguments_json
