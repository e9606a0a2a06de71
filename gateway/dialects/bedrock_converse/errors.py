"""Errors: a provider's refusal, or an exception in its stream -> canonical."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.canon.errors import Error
from gateway.dialects.bedrock_converse.names import Json
from gateway.dialects.retry import retry_after, should_retry

_LONGEST = 2000

# The exception's name, in lower case and without `exception` -> kind.
_NAMES: dict[str, str] = {
    "validation": "invalid_request",
    "servicequotaexceeded": "quota",
    "accessdenied": "upstream_auth",
    "unrecognizedclient": "upstream_auth",
    "invalidsignature": "upstream_auth",
    "incompletesignature": "upstream_auth",
    "missingauthenticationtoken": "upstream_auth",
    "expiredtoken": "upstream_auth",
    "resourcenotfound": "not_found",
    "unknownoperation": "not_found",
    "modeltimeout": "timeout",
    "throttling": "rate_limit",
    "toomanyrequests": "rate_limit",
    "modelnotready": "rate_limit",
    "internalserver": "upstream_error",
    "internalfailure": "upstream_error",
    "serviceunavailable": "overloaded",
}
_STATUSES: dict[int, str] = {
    401: "upstream_auth",
    402: "quota",
    403: "upstream_auth",
    404: "not_found",
    408: "timeout",
    413: "too_large",
    424: "upstream_error",
    429: "rate_limit",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}
# Statuses of a model behind the service that tell whether and when to try again.
_TRANSIENT = frozenset({408, 429, 503, 504})
# Wordings that are the only sign of a kind (wire/spec.md, section 5).
_PHRASES: tuple[tuple[str, str], ...] = (
    ("input is too long", "context_length"),
    ("too many input tokens", "context_length"),
    ("prompt is too long", "context_length"),
    ("exceed context limit", "context_length"),
    ("maximum context length", "context_length"),
    ("model identifier is invalid", "not_found"),
    ("content filtering policy", "content_policy"),
    ("is deprecated for this model", "unsupported_param"),
    ("extra inputs are not permitted", "unsupported_param"),
)
_PHRASED = frozenset({"invalid_request", "upstream_error"})
_SPENT = ("tokens per day", "daily")


def parse_error(status: int, headers: Mapping[str, str], body: bytes) -> Error:
    """What the upstream's refusal means; headers have lower-case names."""
    try:
        payload = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        payload = None
    fields = payload if isinstance(payload, dict) else {}
    told = headers.get("x-amzn-errortype") or fields.get("__type")
    error = error_in(told if isinstance(told, str) else "", fields, status=status, raw=body)
    return msgspec.structs.replace(
        error,
        retry_after_s=retry_after(headers, payload),
        should_retry=should_retry(headers),
        upstream_id=headers.get("x-amzn-requestid"),
    )


def error_in(name: str, fields: Json, *, status: int | None = None, raw: bytes = b"") -> Error:
    """The error of an exception's name and its fields; `raw` is shown where it has no words."""
    # `ValidationException:http://…` and `com.amazon.coral#ValidationException` are one.
    name = name.partition(":")[0].rpartition("#")[2]
    message = _message(fields) or _plain(raw, status)
    # Of a model's own failure its status says more than the exception's.
    told = fields.get("originalStatusCode")
    behind = type(told) is int and told in _TRANSIENT
    return Error(
        kind=_kind(told if behind else status, name, message),
        message=message[:_LONGEST],
        code=name or None,
        status=status,
    )


def _message(fields: Json) -> str:
    candidates: list[Any] = [fields.get(key) for key in ("message", "Message", "originalMessage")]
    return next((words for words in candidates if isinstance(words, str) and words), "")


def _plain(raw: bytes, status: int | None) -> str:
    text = raw[:500].decode("utf-8", "replace").strip()
    number = f" {status}" if status is not None else ""
    if not text or text == "{}":
        return f"the upstream failed{number} without a message"
    if text.startswith("<"):
        return f"the upstream answered{number} with an HTML page, not with its API"
    return text


def _kind(status: int | None, name: str, message: str) -> str:
    kind = _NAMES.get(name.lower().removesuffix("exception")) or _STATUSES.get(status or 0)
    if kind is None:
        wrong = status is not None and 400 <= status < 500
        kind = "invalid_request" if wrong else "upstream_error"
    told = message.lower()
    if kind == "rate_limit" and any(words in told for words in _SPENT):
        return "quota"
    if kind not in _PHRASED:
        return kind
    return next((known for phrase, known in _PHRASES if phrase in told), kind)
