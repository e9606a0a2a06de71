"""Errors: a provider's refusal -> canonical, and back for a client."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.canon.errors import Error
from gateway.canon.json_values import decode_or_none
from gateway.dialects.anthropic_messages.context import Json
from gateway.dialects.base import ErrorReply
from gateway.dialects.shared.errors import (
    CLAUDE_PHRASES,
    KIND_BY_STATUS,
    MAX_MESSAGE_CHARS,
    Phrases,
    client_kind,
    kind_of_status,
    plain_error_message,
    refine_kind,
    retry_headers,
    with_response_headers,
)

_TOO_LONG_PREFIX = "prompt is too long"
# Claude Code also lowers max_tokens when it reads Anthropic's second text.
CONTEXT_LENGTH_MARKERS = (_TOO_LONG_PREFIX.encode(), b"exceed context limit")

# The provider's type of a failure -> kind.
_KIND_BY_TYPE: dict[str, str] = {
    "authentication_error": "upstream_auth",
    "permission_error": "upstream_auth",
    "billing_error": "quota",
    "1113": "quota",  # Zhipu
    "not_found_error": "not_found",
    "request_too_large": "too_large",
    "rate_limit_error": "rate_limit",
    "overloaded_error": "overloaded",
    "timeout_error": "timeout",
    "invalid_request_error": "invalid_request",
    "api_error": "upstream_error",
}
# `details.error_code` -> kind, where the type is less specific.
_KIND_BY_ERROR_CODE: dict[str, str] = {
    "contract_spend_limit_reached": "quota",
    "enforced_spend_limit_reached": "quota",
    "linked_organization_billing_unavailable": "quota",
    "linked_organization_spend_limit_reached": "quota",
    "request_body_too_large_after_decoding": "too_large",
}
# Phrases in the message that are the only sign of a kind (wire/spec.md, section 5).
_KIND_BY_PHRASE: Phrases = (
    ("reached your specified api usage limits", "quota"),
    *CLAUDE_PHRASES,
)
# Lower-case phrases of a rate limit that ends by itself.
_THROTTLE_PHRASES = ("rate limit", "increase rate", "too many requests", "concurren", "slow down")
_REQUEST_ID_PREFIX = "req_"
# How providers write both counts.
_PROMPT, _LIMIT = r"(?P<prompt>[\d,]{1,12})", r"(?P<limit>[\d,]{1,12})"
_TOKEN_COUNT_PATTERNS = tuple(
    re.compile(template.replace("PROMPT", _PROMPT).replace("LIMIT", _LIMIT))
    for template in (
        # vLLM names the output's tokens first
        r"maximum context length is LIMIT.{1,160}for a total of (?:at least )?PROMPT",
        r"maximum context length is LIMIT tokens and your request has PROMPT input tokens",
        # OpenAI, vLLM, OpenRouter, DeepSeek, Groq
        r"maximum context length is LIMIT[^\d]{1,80}(?:requested|resulted in)[^\d]{0,40}PROMPT",
        # Gemini
        r"token count \(?PROMPT\)? exceeds the maximum number of tokens allowed \(?LIMIT",
        # Mistral
        r"[Pp]rompt contains PROMPT tokens.{1,60}too large for model with LIMIT",
        # Claude behind another provider
        r"prompt is too long: PROMPT tokens > LIMIT",
        # llama.cpp
        r"request \(PROMPT tokens\) exceeds the available context size \(LIMIT",
        # SGLang, Together
        r"input \(PROMPT tokens\) is longer than the model's context length \(LIMIT",
        # xAI
        r"maximum prompt length is LIMIT but the request contains PROMPT tokens",
        # Moonshot
        r"exceeded model token limit: LIMIT \(requested: PROMPT",
    )
)

# kind -> (status, type) for a client.
_CLIENT_STATUS_AND_TYPE: dict[str, tuple[int, str]] = {
    "invalid_request": (400, "invalid_request_error"),
    "unsupported_param": (400, "invalid_request_error"),
    "context_length": (400, "invalid_request_error"),
    "content_policy": (400, "invalid_request_error"),
    "too_large": (413, "request_too_large"),
    "method_not_allowed": (405, "invalid_request_error"),
    "gateway_auth": (401, "authentication_error"),
    "not_found": (404, "not_found_error"),
    "not_allowed": (403, "permission_error"),
    "client_gone": (499, "api_error"),
    "rate_limit": (429, "rate_limit_error"),
    "quota": (402, "billing_error"),
    "upstream_auth": (500, "api_error"),
    "overloaded": (529, "overloaded_error"),
    "timeout": (504, "timeout_error"),
    "upstream_error": (500, "api_error"),
    "malformed_output": (500, "api_error"),
}


# --- a provider's error ---------------------------------------------------------------------------


def parse_error(status: int, headers: Mapping[str, str], body: bytes) -> Error:
    """The canonical error of an upstream's error response; headers have lower-case names."""
    payload = decode_or_none(body)
    error = parse_error_payload(payload, status=status, body=body)
    error = with_response_headers(error, headers, payload, "request-id", "x-request-id")
    if (status, error.code) == (429, "rate_limit_error") and _is_spend_cap(error):
        return msgspec.structs.replace(error, kind="quota")
    return error


def _is_spend_cap(error: Error) -> bool:
    """Whether a 429 of Anthropic means a reached spend cap: it has no time to retry.

    Throttled requests may have none either, but say so in the message. Other servers of this
    API may never send a time; they lack Anthropic's request id.
    https://platform.claude.com/docs/en/api/rate-limits (2026-11)
    """
    message = error.message.lower()
    return (
        error.retry_after_s is None
        and error.should_retry is not True
        and (error.upstream_id or "").startswith(_REQUEST_ID_PREFIX)
        and not any(phrase in message for phrase in _THROTTLE_PHRASES)
    )


def parse_error_payload(payload: Any, *, status: int | None = None, body: bytes = b"") -> Error:
    """The error in a payload; without a message in it, the text of `body`."""
    fields = _error_fields(payload)
    code = fields.get("type") if fields.get("type") != "error" else None
    code = code if isinstance(code, str) else None
    message = _error_message(fields, payload) or plain_error_message(body, status)
    details = fields.get("details")
    details = details if isinstance(details, dict) else None
    error_code = (details or {}).get("error_code")
    return Error(
        kind=_KIND_BY_ERROR_CODE.get(str(error_code)) or _classify_error(status, code, message),
        message=message[:MAX_MESSAGE_CHARS],
        code=error_code if isinstance(error_code, str) else code,
        status=status,
        details=details,
    )


def is_error(payload: Any) -> bool:
    """Whether JSON with status 200 is an error."""
    return isinstance(payload, dict) and (payload.get("type") == "error" or "error" in payload)


def _error_fields(payload: Any) -> Json:
    """The object with type and message."""
    if not isinstance(payload, dict):
        return {}
    error_payload = payload.get("error")
    return error_payload if isinstance(error_payload, dict) else payload


def _error_message(fields: Json, payload: Any) -> str | None:
    detail = fields.get("detail")
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        detail = detail[0].get("msg")
    error_message = payload.get("error") if isinstance(payload, dict) else None
    candidates = (fields.get("message"), detail, error_message)
    return next((message for message in candidates if isinstance(message, str) and message), None)


def _classify_error(status: int | None, code: str | None, message: str) -> str:
    kind = KIND_BY_STATUS.get(status or 0)
    # The type is more specific than no status, and than one whose cause is the bill.
    if kind is None or (kind in {"upstream_auth", "rate_limit"} and code == "billing_error"):
        kind = _KIND_BY_TYPE.get(code or "", kind)
    return refine_kind(kind or kind_of_status(status), message, _KIND_BY_PHRASE)


# --- a client's error -----------------------------------------------------------------------------


def render_error_body(error: Error) -> Json:
    """The JSON of an error in the middle of a stream."""
    _, error_type = _CLIENT_STATUS_AND_TYPE[client_kind(error)]
    message = error.message
    # Claude Code compacts the conversation when it reads this text.
    if error.kind == "context_length" and not message.lower().startswith(_TOO_LONG_PREFIX):
        message = f"{_TOO_LONG_PREFIX}: {_describe_token_counts(message)}{message}"
    fields: Json = {"type": error_type, "message": message}
    if error.details is not None:
        fields["details"] = error.details
    return {"type": "error", "error": fields}


def _describe_token_counts(message: str) -> str:
    """The text `N tokens > M maximum: `, which Claude Code parses; empty if a count is unknown."""
    for pattern in _TOKEN_COUNT_PATTERNS:
        if match := pattern.search(message[:MAX_MESSAGE_CHARS]):
            prompt_tokens, max_tokens = (
                int(match[name].replace(",", "")) for name in ("prompt", "limit")
            )
            return (
                f"{prompt_tokens} tokens > {max_tokens} maximum: "
                if prompt_tokens > max_tokens
                else ""
            )
    return ""


def render_error(error: Error, request_id: str) -> ErrorReply:
    """The error before the first byte of a response."""
    headers = {"request-id": request_id, **retry_headers(error)}
    status, _ = _CLIENT_STATUS_AND_TYPE[client_kind(error)]
    body = {**render_error_body(error), "request_id": request_id}
    return ErrorReply(status=status, body=body, headers=headers)
