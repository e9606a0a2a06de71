"""Features of a request that routing and token estimates need.

Sessions and tags are read only for routes that depend on them. Neither is trusted: a session is
a hint for which target has the conversation cached, a tag selects among targets that the key may
use.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import msgspec

from gateway.canon.errors import GatewayError
from gateway.canon.request import Audio, Document, Image
from gateway.dialects.shared.web_search import NAME as WEB_SEARCH
from gateway.relay.exchange.call import Exchange
from gateway.relay.exchange.usage import BYTES_PER_TOKEN
from gateway.routing.candidates import (
    RequestFeatures,
    depends_on_complexity,
    depends_on_content,
    features_of,
)
from gateway.routing.complexity import complexity_of
from gateway.routing.snapshot import Route

# --- session, tags and caller -----------------------------------------------------------

# Headers that identify the conversation, of this gateway, Claude Code, Codex and LiteLLM; the
# first one present is used.
SESSION_HEADERS = (
    "x-dragoman-session",
    "x-claude-code-session-id",
    "session-id",
    "session_id",
    "x-session-id",
    "x-litellm-session-id",
    "x-litellm-trace-id",
)
# Body fields that identify the conversation; as a fallback, fields that identify the user.
_SESSION_FIELDS = ("prompt_cache_key", "session_id")
_FALLBACK_SESSION_FIELDS = ("safety_identifier", "user")
_METADATA_SESSION_FIELDS = ("session_id", "litellm_session_id", "user_id")
TAG_HEADERS = ("x-dragoman-tags", "x-litellm-tags")
MAX_TAGS = 50
# Fields that may name the end user.
END_USER_FIELDS = frozenset(
    {"user", "safety_identifier", "metadata", "litellm_metadata", "requestMetadata"}
)
MAX_END_USER_CHARS = 128
# Fields that may contain tags.
TAG_FIELDS = frozenset({"tags", "metadata", "litellm_metadata"})
# A request without any of these has no session, no end user, and only the tags of its key.
ATTRIBUTION_FIELDS = END_USER_FIELDS | TAG_FIELDS
_ATTRIBUTION_HEADERS = frozenset({*SESSION_HEADERS, *TAG_HEADERS})
_NO_TAGS: frozenset[str] = frozenset()
_MAX_SESSION_CHARS = 512
# Larger fields are ignored: they would take long to decode.
_MAX_FIELD_BYTES = 64 * 1024


@lru_cache(maxsize=64)
def attribution_headers(*configured_names: tuple[str, ...]) -> frozenset[str]:
    """The headers that name a session, an end user or tags, including the configured ones."""
    return _ATTRIBUTION_HEADERS.union(*configured_names)


def session_header(exchange: Exchange) -> str:
    """The session id in the request's headers; empty if none is sent."""
    values = (exchange.headers.get(name) for name in SESSION_HEADERS)
    return next((value[:128] for value in values if value), "")


def session_of(exchange: Exchange) -> str:
    """The session id that the requests of one conversation share; empty if none is sent."""
    for name in SESSION_HEADERS:
        if session := exchange.headers.get(name):
            return session[:_MAX_SESSION_CHARS]
    metadata = _request_metadata(exchange)
    candidates = (
        *(_decode_field(exchange, name) for name in _SESSION_FIELDS),
        *(metadata.get(name) for name in _METADATA_SESSION_FIELDS),
        *(_decode_field(exchange, name) for name in _FALLBACK_SESSION_FIELDS),
    )
    for candidate in candidates:
        if isinstance(candidate, str) and candidate:
            return candidate[:_MAX_SESSION_CHARS]
    return ""


def tags_of(exchange: Exchange) -> frozenset[str]:
    """The tags of a request and of its key."""
    key, fields = exchange.key, exchange.fields
    headers = exchange.headers
    has_no_tag_header = TAG_HEADERS[0] not in headers and TAG_HEADERS[1] not in headers
    header_names = exchange.snapshot.tag_headers
    has_no_tag_header = has_no_tag_header and (
        not header_names or headers.keys().isdisjoint(header_names)
    )
    if has_no_tag_header and TAG_FIELDS.isdisjoint(fields):
        return frozenset(key.tags) if key is not None and key.tags else _NO_TAGS
    names: list[str] = []
    for name in TAG_HEADERS:
        names += headers.get(name, "").split(",")
    # As LiteLLM writes the tags of `extra_spend_tag_headers`.
    names += [f"{name}: {headers[name][:128]}" for name in header_names if headers.get(name)]
    for value in (_request_metadata(exchange).get("tags"), _decode_field(exchange, "tags")):
        names += _tag_names(value)
    request_tags = {tag.strip() for tag in names[:MAX_TAGS]} - {""}
    return frozenset(request_tags) if key is None else frozenset(request_tags.union(key.tags))


def end_user_of(exchange: Exchange) -> str:
    """The end user that a request is made for; empty if the client names none.

    Taken from the first of the snapshot's `end_user_headers`, else from the body. It is what the
    client says, and as trustworthy as its key.
    """
    for name in exchange.snapshot.end_user_headers:
        if value := exchange.headers.get(name):
            return value[:MAX_END_USER_CHARS]
    candidates = (
        *(_decode_field(exchange, name) for name in ("user", "safety_identifier")),
        _request_metadata(exchange).get("user_id"),
        _converse_labels(exchange).get("user"),
    )
    for candidate in candidates:
        if isinstance(candidate, str) and candidate:
            return _without_session(candidate)[:MAX_END_USER_CHARS]
    return ""


def _without_session(user_id: str) -> str:
    """Claude Code's `user_id` names a new session each time; the rest of it names the user."""
    if not user_id.startswith("{"):
        return user_id.partition("_session_")[0] or user_id
    try:
        user_fields = msgspec.json.decode(user_id, type=dict[str, Any])
    except msgspec.MsgspecError:
        return user_id
    account = user_fields.get("account_uuid") or user_fields.get("device_id")
    return account if isinstance(account, str) else user_id


def caller_id(exchange: Exchange) -> str:
    """The id of the caller's API key; empty if there is none."""
    if exchange.key is None:
        return ""
    return f"key:{exchange.key.id}" if exchange.key.id else exchange.key.prefix


def _tag_names(value: Any) -> list[str]:
    if isinstance(value, str):
        return value.split(",")
    if isinstance(value, list):
        return [item for item in value if isinstance(item, str)]
    return []


def _request_metadata(exchange: Exchange) -> dict[str, Any]:
    for name in ("metadata", "litellm_metadata"):
        value = _decode_field(exchange, name)
        if isinstance(value, dict):
            return value
    return {}


def _converse_labels(exchange: Exchange) -> dict[str, Any]:
    value = _decode_field(exchange, "requestMetadata")
    return value if isinstance(value, dict) else {}


def _decode_field(exchange: Exchange, name: str) -> Any:
    raw = exchange.fields.get(name)
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw) if len(memoryview(raw)) <= _MAX_FIELD_BYTES else None
    except (msgspec.MsgspecError, RecursionError):
        return None


# An image of about a megapixel, as OpenAI and Anthropic count it.
TOKENS_PER_IMAGE = 1600
TOKENS_PER_DOCUMENT = 3000


def request_features(exchange: Exchange) -> RequestFeatures:
    """The features of a call; for a call that cannot be parsed, only its size.

    A request that its dialect cannot parse may still be passed through.
    """
    try:
        return features_of(exchange.request, estimate_tokens(exchange))
    except GatewayError:
        return RequestFeatures(estimated_tokens=max(1, len(exchange.body) // BYTES_PER_TOKEN))


def routing_features(
    exchange: Exchange, routes: Iterable[Route], *, gateway_searches: bool
) -> RequestFeatures:
    """The features for the choice among these routes; parses the body only if they need it.

    `gateway_searches`: whether the gateway runs web searches for targets that have none, which
    then need not be preferred.
    """
    routes = list(routes)
    parsed_features = (
        request_features(exchange) if depends_on_content(routes) else RequestFeatures()
    )
    complexity = ""
    if depends_on_complexity(routes):
        with contextlib.suppress(GatewayError):  # a request that may only be passed through
            complexity = complexity_of(exchange.request)
    return RequestFeatures(
        parsed_features.used,
        parsed_features.estimated_tokens,
        session_of(exchange),
        caller_id(exchange),
        tags_of(exchange),
        exchange.started_at,
        complexity,
        parsed_features.built_in_tools - ({WEB_SEARCH} if gateway_searches else set()),
    )


def _document_tokens(document: Document) -> int:
    if document.text is not None:
        return 0
    if document.data is not None and (document.media_type or "").startswith("text/"):
        return len(document.data) * 3 // 4 // BYTES_PER_TOKEN  # base64
    return TOKENS_PER_DOCUMENT


def estimate_tokens(exchange: Exchange) -> int:
    """Tokens by the bytes of the text, and a fixed number for each image and document."""
    request = exchange.request
    media_tokens = 0
    media_bytes = 0
    for turn in request.turns:
        for part in turn.parts:
            match part:
                case Image():
                    media_tokens += TOKENS_PER_IMAGE
                    media_bytes += len(part.data or "")
                case Document():
                    media_tokens += _document_tokens(part)
                    media_bytes += len(part.data or "")
                case Audio():
                    media_bytes += len(part.data) // 2
                case _:
                    pass
    return max(1, (len(exchange.body) - media_bytes) // BYTES_PER_TOKEN + media_tokens)
