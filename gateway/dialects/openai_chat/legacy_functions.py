"""The legacy form of calls: a client that offers `functions` receives a `function_call`.

It holds one call, without an id.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.adaptation import Adaptation, dropped
from gateway.dialects.base import ResponseContext
from gateway.dialects.openai_chat.parts import Json

FUNCTION_CALL = "function_call"
# Reported once, for all calls after the first.
ONLY_FIRST_CALL: Adaptation = dropped("tool_calls", "`functions` have room for one call: the first")

_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_EMPTY = (b"", b"null", b"[]")


def read_functions_echo(body: bytes) -> Json:
    """Echoed fields that record an offer of `functions` without `tools`; else empty."""
    if body.find(b'"functions"') < 0:
        return {}
    fields = _decoder.decode(body)
    has_functions = bytes(fields.get("functions", b"")) not in _EMPTY
    return (
        {"functions": True} if has_functions and bytes(fields.get("tools", b"")) in _EMPTY else {}
    )


def uses_functions(context: ResponseContext) -> bool:
    """Whether calls are rendered in the legacy form."""
    return bool(context.echoed_fields.get("functions"))


def offers_functions(body: dict[str, Any]) -> bool:
    """Whether a decoded request offers `functions` and no `tools`."""
    return bool(body.get("functions")) and not body.get("tools")
