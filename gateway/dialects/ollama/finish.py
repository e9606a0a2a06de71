"""Why an answer ended: `done_reason`, both ways."""

from __future__ import annotations

from typing import Any

from gateway.canon.errors import Error
from gateway.canon.response import Finish

_LOADED = {
    "load": "the upstream loaded the model and did not answer",
    "unload": "the upstream unloaded the model and did not answer",
}


def finish_in(word: Any, *, calls: bool) -> Finish:
    """The canonical finish; `stop` is said of calls too."""
    if isinstance(word, str) and word in _LOADED:
        return Finish(reason="malformed", explanation=_LOADED[word])
    if word == "length":
        return Finish(reason="length")
    return Finish(reason="tool" if calls else "stop")


def finish_out(finish: Finish) -> str:
    """The `done_reason` for a client."""
    return "length" if finish.reason in {"length", "context"} else "stop"


def malformed(finish: Finish) -> Error:
    """The error that stands for an answer which the model garbled."""
    message = finish.explanation or "the model's output is malformed"
    return Error(kind="malformed_output", message=message)
