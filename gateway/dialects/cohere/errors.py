"""Errors: a provider's refusal -> canonical."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.canon.errors import Error
from gateway.dialects.retry import retry_after, should_retry

_LONGEST = 2000

_STATUSES: dict[int, str] = {
    401: "upstream_auth",
    402: "quota",
    403: "upstream_auth",
    404: "not_found",
    408: "timeout",
    413: "too_large",
    429: "rate_limit",
    498: "upstream_auth",
    499: "upstream_error",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}
# Wordings that are the only sign of a kind.
_PHRASES: tuple[tuple[str, str], ...] = (
    ("too many tokens", "context_length"),
    ("maximum context length", "context_length"),
    ("model not found", "not_found"),
    ("blocked output", "content_policy"),
    ("blocked input", "content_policy"),
)
_PHRASED = frozenset({"invalid_request", "upstream_error"})
# A trial key's month is over: waiting a few seconds does not help.
_SPENT = ("/ month", "per month", "billing")


def parse_error(status: int, headers: Mapping[str, str], body: bytes) -> Error:
    """What the upstream's refusal means; headers have lower-case names."""
    payload: Any
    try:
        payload = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        payload = None
    message = message_in(payload) or _plain(body, status)
    return Error(
        kind=_kind(status, message),
        message=message[:_LONGEST],
        status=status,
        retry_after_s=retry_after(headers, payload),
        should_retry=should_retry(headers),
        upstream_id=headers.get("x-debug-trace-id") or _id(payload),
    )


def _id(payload: Any) -> str | None:
    told = payload.get("id") if isinstance(payload, dict) else None
    return told if isinstance(told, str) else None


def message_in(payload: Any) -> str:
    """The words of an error; empty where it has none."""
    if not isinstance(payload, dict):
        return ""
    inner = payload.get("error")
    candidates = (payload.get("message"), inner, _deep(inner), _deep(payload.get("data")))
    return next((words for words in candidates if isinstance(words, str) and words), "")


def _deep(value: Any) -> Any:
    return value.get("message") if isinstance(value, dict) else None


def _plain(raw: bytes, status: int) -> str:
    text = raw[:500].decode("utf-8", "replace").strip()
    if not text:
        return f"the upstream failed {status} without a message"
    if text.startswith("<"):
        return f"the upstream answered {status} with an HTML page, not with its API"
    return text


def _kind(status: int, message: str) -> str:
    kind = _STATUSES.get(status)
    if kind is None:
        kind = "invalid_request" if 400 <= status < 500 else "upstream_error"
    told = message.lower()
    if kind == "rate_limit" and any(words in told for words in _SPENT):
        return "quota"
    if kind not in _PHRASED:
        return kind
    return next((known for phrase, known in _PHRASES if phrase in told), kind)
