"""Token counts and durations at the end of an answer, both ways."""

from __future__ import annotations

from typing import Any

from gateway.canon.response import Usage
from gateway.dialects.ollama.names import DURATIONS, Json

_COUNTS = ("prompt_eval_count", "eval_count")


def parse_usage(last_object: Json) -> Usage | None:
    """The counts of an answer's last object; a prompt that was cached may have none."""
    prompt, output = (_count(last_object.get(name)) for name in _COUNTS)
    if prompt is None and output is None:
        return None
    native = {
        name: last_object[name] for name in (*_COUNTS, *DURATIONS) if _count(last_object.get(name))
    }
    return Usage(input=prompt, output=output, native=native)


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def render_usage(usage: Usage | None) -> Json:
    """The fields of the last object; durations only where an Ollama measured them."""
    if usage is None:
        return {}
    out: Json = {name: usage.native[name] for name in DURATIONS if name in usage.native}
    for name, count in zip(_COUNTS, (usage.prompt_tokens, usage.output), strict=True):
        if count is not None:
            out[name] = count
    return out
