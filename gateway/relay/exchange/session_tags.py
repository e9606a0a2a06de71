"""The session, the tags and the caller of a request, as its client declares them.

Read only for routes that go by them. Nothing here is trusted: a session is a hint for
which target knows the conversation, a tag chooses among targets that the key may use.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.relay.exchange.call import Call

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
_FALLBACK_SESSION_FIELDS = ("safety_identifier", "user")
_METADATA_SESSION_FIELDS = ("session_id", "litellm_session_id", "user_id")
TAG_HEADERS = ("x-dragoman-tags", "x-litellm-tags")
MAX_TAGS = 50
# The fields that may hold tags.
_TAG_FIELDS = frozenset({"tags", "metadata", "litellm_metadata"})
_NO_TAGS: frozenset[str] = frozenset()
_MAX_SESSION_CHARS = 512
# A larger field holds no tag or session, and would take long to decode.
_MAX_FIELD_BYTES = 64 * 1024


def session_of(call: Call) -> str:
    """The session id that the requests of one conversation share; empty if none is sent."""
    for name in SESSION_HEADERS:
        if session := call.headers.get(name):
            return session[:_MAX_SESSION_CHARS]
    metadata = _metadata(call)
    candidates = (
        *(_field(call, name) for name in _SESSION_FIELDS),
        *(metadata.get(name) for name in _METADATA_SESSION_FIELDS),
        *(_field(call, name) for name in _FALLBACK_SESSION_FIELDS),
    )
    for candidate in candidates:
        if isinstance(candidate, str) and candidate:
            return candidate[:_MAX_SESSION_CHARS]
    return ""


def tags_of(call: Call) -> frozenset[str]:
    """The tags of a request and of its key."""
    key, fields = call.key, call.fields
    headers = call.headers
    has_no_tag_header = TAG_HEADERS[0] not in headers and TAG_HEADERS[1] not in headers
    if has_no_tag_header and _TAG_FIELDS.isdisjoint(fields):
        return frozenset(key.tags) if key is not None and key.tags else _NO_TAGS
    names: list[str] = []
    for name in TAG_HEADERS:
        names += call.headers.get(name, "").split(",")
    for value in (_metadata(call).get("tags"), _field(call, "tags")):
        names += _tag_names(value)
    request_tags = {tag.strip() for tag in names[:MAX_TAGS]} - {""}
    return frozenset(request_tags) if key is None else frozenset(request_tags.union(key.tags))


def caller_id(call: Call) -> str:
    """The id of the caller's API key; empty if there is none."""
    if call.key is None:
        return ""
    return f"key:{call.key.id}" if call.key.id else call.key.prefix


def _tag_names(value: Any) -> list[str]:
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
        return msgspec.json.decode(raw) if len(memoryview(raw)) <= _MAX_FIELD_BYTES else None
    except msgspec.MsgspecError:
        return None
