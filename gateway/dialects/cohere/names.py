"""Constants and lookup tables that several modules of this dialect use."""

from __future__ import annotations

from typing import Any

NAME = "cohere"
Json = dict[str, Any]

# `finish_reason` -> canonical; any other value is an ordinary stop.
FINISH_REASONS = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop_sequence",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool",
}
# A `finish_reason` that is a failure -> its kind.
FAILURE_KINDS = {
    "ERROR": "malformed_output",
    "ERROR_TOXIC": "content_policy",
    "ERROR_LIMIT": "context_length",
    "TIMEOUT": "timeout",
}
# Efforts as tokens; the numbers are wire/spec.md's (3.6).
BUDGET_BY_EFFORT = {
    "minimal": 1024,
    "low": 2048,
    "medium": 8192,
    "high": 16384,
    "xhigh": 24576,
    "max": 32000,
}
