"""Shortens other providers' tool call ids in a passthrough body for OpenAI's Chat.

In a translated body they are shortened when its messages are rendered (`canon.naming`). Here
a search in the bytes determines whether any id is too long.
"""

from __future__ import annotations

import msgspec

from gateway.canon.adaptation import Adaptation
from gateway.canon.traits import Traits
from gateway.providers.edits import apply_raw
from gateway.providers.profile import Edit

_LIMIT = 40
_REASON = f"OpenAI limits call IDs to {_LIMIT} characters"
_EDITS = (
    Edit(op="shorten", path="messages[].tool_calls[].id", value=_LIMIT, reason=_REASON),
    Edit(op="shorten", path="messages[].tool_call_id", value=_LIMIT, reason=_REASON),
)
# Each call has a result with the call's id.
_RESULT = b'"tool_call_id"'


def shorten_call_ids(
    fields: dict[str, msgspec.Raw], traits: Traits
) -> tuple[dict[str, msgspec.Raw], tuple[Adaptation, ...]]:
    """Return the fields with call ids that OpenAI accepts; the same object if all of them fit."""
    messages = fields.get("messages")
    if messages is None or traits.tool_id_rule != "any64" or "tools" not in fields:
        return fields, ()
    if not _has_long_id(memoryview(messages).tobytes()):
        return fields, ()
    fields, report = apply_raw(_EDITS, fields)
    return fields, tuple(report)


def _has_long_id(text: bytes) -> bool:
    position = text.find(_RESULT)
    while position >= 0:
        start = text.find(b'"', position + len(_RESULT)) + 1
        end = text.find(b'"', start)
        if start == 0 or end < 0:
            return False
        if end - start > _LIMIT:
            return True
        position = text.find(_RESULT, end)
    return False
