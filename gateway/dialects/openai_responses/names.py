"""Names and tables that several modules of this dialect share."""

from __future__ import annotations

from typing import Any

NAME = "openai_responses"
# The endpoint that only providers of this dialect support.
COMPACT = "/v1/responses/compact"
Json = dict[str, Any]

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

# Separates namespace and tool where both form one name. Tool names cannot contain it, so
# the name can be split again.
NAMESPACE_SEPARATOR = "/"

# `include` values that the gateway handles itself.
ENCRYPTED = "reasoning.encrypted_content"
LOGPROBS = "message.output_text.logprobs"

# The kind of the state in a reasoning item.
STATE_KIND = "encrypted_content"

# canonical field -> its path in this dialect, where the names differ.
PATHS: dict[str, str] = {
    "turns": "input",
    "max_output": "max_output_tokens",
    "parallel": "parallel_tool_calls",
    "logprobs": "include",
    "effort": "reasoning.effort",
    "thinking": "reasoning",
    "visible": "reasoning.summary",
    "format": "text.format",
    "schema": "text.format.schema",
    "name": "text.format.name",
    "description": "text.format.description",
    "strict": "text.format.strict",
    "verbosity": "text.verbosity",
    "user_id": "safety_identifier",
    "session_key": "prompt_cache_key",
    "cache": "prompt_cache_breakpoint",
    "tool_schema": "parameters",
    "detail": "detail",
}
# Objects whose unknown fields are stored in `extra` under a dotted key.
NESTED = ("reasoning", "text")

# Type of a text part -> the field with its text.
TEXT_FIELDS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}


def join_name(namespace: str | None, name: str) -> str:
    """The combined name of a namespace and its tool."""
    return f"{namespace}{NAMESPACE_SEPARATOR}{name}" if namespace else name


def split_name(name: str) -> tuple[str, str]:
    """`(namespace, name)`; the namespace is empty for a tool without one."""
    namespace, _, inner = name.rpartition(NAMESPACE_SEPARATOR)
    return namespace, inner
