"""The request settings that a response echoes."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.dialects.openai_responses.names import Json

# In the order of the official response object; the values are the API's defaults.
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


def read_echo(body: bytes) -> Json:
    """The settings of the request, as the client wrote them, for the response."""
    fields = _decoder.decode(body)
    return {
        name: _value_or_default(fields.get(name), default) for name, default in _DEFAULTS.items()
    }


def _value_or_default(raw: msgspec.Raw | None, default: Any) -> Any:
    value = msgspec.json.decode(raw) if raw is not None else None
    return default if value is None else value
