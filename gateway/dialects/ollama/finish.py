"""Why an answer ended: `done_reason`, both ways."""

from __future__ import annotations

from typing import Any

from gateway.canon.response import Finish

_LOAD_EXPLANATIONS = {
    "load": "the upstream loaded the model and did not answer",
    "unload": "the upstream unloaded the model and did not answer",
}


def parse_finish(done_reason: Any, *, has_tool_call: bool) -> Finish:
    """The canonical finish; Ollama reports `stop` for tool calls too."""
    if isinstance(done_reason, str) and done_reason in _LOAD_EXPLANATIONS:
        return Finish(reason="malformed", explanation=_LOAD_EXPLANATIONS[done_reason])
    if done_reason == "length":
        return Finish(reason="length")
    return Finish(reason="tool" if has_tool_call else "stop")


def render_finish(finish: Finish) -> str:
    """The `done_reason` for a client."""
    return "length" if finish.reason in {"length", "context"} else "stop"
