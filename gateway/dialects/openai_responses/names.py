"""The words of this dialect that several of its modules use, as tables."""

from __future__ import annotations

from typing import Any

NAME = "openai_responses"
# The call that only providers of this dialect know, by the name of its endpoint.
COMPACT = "/v1/responses/compact"
Json = dict[str, Any]

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

# What stands between a namespace and the tool in it where both have to be one name. No
# name of a tool may hold it, so the two can be told apart again.
IN = "/"

# `include` values that the gateway sees to itself.
ENCRYPTED = "reasoning.encrypted_content"
LOGPROBS = "message.output_text.logprobs"

# The kind of the state in a reasoning item.
STATE = "encrypted_content"

# canonical field -> where this dialect's clients write it, where the names differ.
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
# Fields of an inner object that have no canonical place are kept under a dotted key.
NESTED = ("reasoning", "text")

# The parts of a message that are its own words, by the field that holds them.
WORDS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}


def joined_name(namespace: str | None, name: str) -> str:
    """The one name of a tool in a namespace."""
    return f"{namespace}{IN}{name}" if namespace else name


def split_name(name: str) -> tuple[str, str]:
    """`(namespace, name)`; the namespace is empty for a tool outside all."""
    namespace, _, inner = name.rpartition(IN)
    return namespace, inner
