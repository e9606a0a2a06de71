"""Why an answer ended, both ways. There are no calls here."""

from __future__ import annotations

from typing import Any

from gateway.canon.errors import Error
from gateway.canon.response import Finish

_FILTERED = frozenset({"filter", "refusal"})


def finish_in(word: Any) -> Finish:
    """The canonical finish."""
    match word:
        case "length" | "max_tokens":
            return Finish(reason="length")
        case "content_filter":
            return Finish(reason="filter")
        case "error":
            return Finish(reason="malformed")
        case _:
            return Finish(reason="stop")


def finish_out(finish: Finish, *, spoke: bool) -> str:
    """The `finish_reason` for a client; `spoke` says whether there are words of refusal."""
    if finish.reason in {"length", "context"}:
        return "length"
    if finish.reason == "filter" or (finish.reason == "refusal" and not spoke):
        return "content_filter"
    return "stop"


def malformed(finish: Finish) -> Error:
    """The error that stands for an answer which the model garbled."""
    message = finish.explanation or "the model's output is malformed"
    return Error(kind="malformed_output", message=message)
