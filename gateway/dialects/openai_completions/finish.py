"""Why a response ended, parsed and rendered. There are no tool calls here."""

from __future__ import annotations

from typing import Any

from gateway.canon.response import Finish

_FILTERED = frozenset({"filter", "refusal"})


def finish_in(finish_reason: Any) -> Finish:
    """The canonical finish."""
    match finish_reason:
        case "length" | "max_tokens":
            return Finish(reason="length")
        case "content_filter":
            return Finish(reason="filter")
        case "error":
            return Finish(reason="malformed")
        case _:
            return Finish(reason="stop")


def finish_out(finish: Finish, *, has_refusal_text: bool) -> str:
    """The `finish_reason` for a client; `has_refusal_text` if it contains a refusal."""
    if finish.reason in {"length", "context"}:
        return "length"
    if finish.reason == "filter" or (finish.reason == "refusal" and not has_refusal_text):
        return "content_filter"
    return "stop"
