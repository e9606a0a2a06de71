"""What an answer tells back of its request, as far as the client sent it."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.dialects.openai_responses.names import Json

# In the order of the official response object; what is missing has the API's own default.
_DEFAULTS: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "store": True,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


def echo(body: bytes) -> Json:
    """The settings of the request, for the answer. Values stay as the client wrote them."""
    told = _decoder.decode(body)
    return {name: _told(told.get(name), default) for name, default in _DEFAULTS.items()}


def _told(raw: msgspec.Raw | None, default: Any) -> Any:
    value = msgspec.json.decode(raw) if raw is not None else None
    return default if value is None else value
