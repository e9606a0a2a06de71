"""A model's response to a case, as assertions see it."""

from __future__ import annotations

from typing import Any

import msgspec


class Call(msgspec.Struct, frozen=True):
    """A tool call; `arguments` is text if the model sent invalid JSON."""

    name: str
    arguments: Any


class ModelResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The response of one model, or why there is none.

    Attributes:
        error: the error message of a request that failed; empty if there is a response.
        latency_ms: milliseconds from the request to the complete response.
        cost_usd: US dollars; None if the price or the usage is unknown.
        request_id: the request's id in the log.
    """

    text: str = ""
    calls: tuple[Call, ...] = ()
    error: str = ""
    latency_ms: float = 0.0
    cost_usd: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    request_id: str = ""
