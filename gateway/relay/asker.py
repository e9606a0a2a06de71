"""Who asks: the session and the tags of a request, where its client says them.

Read only for routes that go by them. Nothing here is trusted: a session is a hint for
which target knows the conversation, a tag chooses among targets that the key may use.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.relay.call import Call

# Where clients say which conversation a request belongs to: Claude Code, Codex, and those
# of LiteLLM and this gateway; the first that is there counts.
SESSION_HEADERS = (
    "x-dragoman-session",
    "x-claude-code-session-id",
    "session-id",
    "session_id",
    "x-session-id",
    "x-litellm-session-id",
    "x-litellm-trace-id",
)
# The same in bodies. A user is no conversation, but more than nothing.
_SESSION_FIELDS = ("prompt_cache_key", "session_id")
_LATE_FIELDS = ("safety_identifier", "user")
_METADATA = ("session_id", "litellm_session_id", "user_id")
TAG_HEADERS = ("x-dragoman-tags", "x-litellm-tags")
MOST_TAGS = 50
# The fields that may hold tags.
_TAGGED = frozenset({"tags", "metadata", "litellm_metadata"})
_NONE: frozenset[str] = frozenset()
_MOST = 512


def session_of(call: Call) -> str:
    """What the requests of one conversation have in common; empty if nothing is said."""
    for name in SESSION_HEADERS:
        if found := call.headers.get(name):
            return found[:_MOST]
    metadata = _metadata(call)
    places = (
        *(_field(call, name) for name in _SESSION_FIELDS),
        *(metadata.get(name) for name in _METADATA),
        *(_field(call, name) for name in _LATE_FIELDS),
    )
    for value in places:
        if isinstance(value, str) and value:
            return value[:_MOST]
    return ""


def tags_of(call: Call) -> frozenset[str]:
    """The tags of a request and of its key."""
    key, fields = call.key, call.fields
    headers = call.headers
    untagged = TAG_HEADERS[0] not in headers and TAG_HEADERS[1] not in headers
    if untagged and _TAGGED.isdisjoint(fields):
        return frozenset(key.tags) if key is not None and key.tags else _NONE
    found: list[str] = []
    for name in TAG_HEADERS:
        found += call.headers.get(name, "").split(",")
    for value in (_metadata(call).get("tags"), _field(call, "tags")):
        found += _texts(value)
    own = {tag.strip() for tag in found[:MOST_TAGS]} - {""}
    return frozenset(own) if key is None else frozenset(own.union(key.tags))


def who(call: Call) -> str:
    """The key that asks; empty if there is none."""
    if call.key is None:
        return ""
    return f"key:{call.key.id}" if call.key.id else call.key.prefix


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return value.split(",")
    if isinstance(value, list):
        return [item for item in value if isinstance(item, str)]
    return []


def _metadata(call: Call) -> dict[str, Any]:
    for name in ("metadata", "litellm_metadata"):
        value = _field(call, name)
        if isinstance(value, dict):
            return value
    return {}


def _field(call: Call, name: str) -> Any:
    raw = call.fields.get(name)
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw)
    except msgspec.MsgspecError:
        return None
