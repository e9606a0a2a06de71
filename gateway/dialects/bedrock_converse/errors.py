"""Errors: a provider's refusal or an exception in its stream -> canonical, and for clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.canon.errors import Error
from gateway.canon.json_values import decode_or_none
from gateway.dialects.base import ErrorReply
from gateway.dialects.bedrock_converse.context import Json
from gateway.dialects.shared.errors import (
    CLAUDE_PHRASES,
    MAX_MESSAGE_CHARS,
    Phrases,
    context_length_message,
    kind_of_status,
    plain_error_message,
    refine_kind,
    retry_after_header,
    with_response_headers,
)

# The exception's name, in lower case and without `exception` -> kind.
_KIND_BY_EXCEPTION: dict[str, str] = {
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
# Statuses of a model behind the service that say whether and when to retry.
_TRANSIENT_MODEL_STATUSES = frozenset({408, 429, 503, 504})
# Phrases in the message that are the only sign of a kind (wire/spec.md, section 5).
_KIND_BY_PHRASE: Phrases = (("model identifier is invalid", "not_found"), *CLAUDE_PHRASES)


def parse_error(status: int, headers: Mapping[str, str], body: bytes) -> Error:
    """The canonical error of an upstream's error response; headers have lower-case names."""
    payload = decode_or_none(body)
    fields = payload if isinstance(payload, dict) else {}
    exception_name = headers.get("x-amzn-errortype") or fields.get("__type")
    error = parse_error_payload(
        exception_name if isinstance(exception_name, str) else "", fields, status=status, body=body
    )
    return with_response_headers(error, headers, payload, "x-amzn-requestid")


def parse_error_payload(
    name: str, fields: Json, *, status: int | None = None, body: bytes = b""
) -> Error:
    """The error of an exception; without a message in the fields, the text of `body`."""
    # `ValidationException:http://…` and `com.amazon.coral#ValidationException` are equal.
    name = name.partition(":")[0].rpartition("#")[2]
    message = _error_message(fields) or plain_error_message(
        b"" if body.strip() == b"{}" else body, status
    )
    # For a model failure, the model's own status is more specific.
    model_status = fields.get("originalStatusCode")
    is_model_failure = type(model_status) is int and model_status in _TRANSIENT_MODEL_STATUSES
    return Error(
        kind=_classify_error(model_status if is_model_failure else status, name, message),
        message=message[:MAX_MESSAGE_CHARS],
        code=name or None,
        status=status,
    )


def _error_message(fields: Json) -> str:
    candidates: list[Any] = [fields.get(key) for key in ("message", "Message", "originalMessage")]
    return next((message for message in candidates if isinstance(message, str) and message), "")


def _classify_error(status: int | None, name: str, message: str) -> str:
    kind = _KIND_BY_EXCEPTION.get(name.lower().removesuffix("exception")) or kind_of_status(status)
    return refine_kind(kind, message, _KIND_BY_PHRASE)


# --- errors for clients ---------------------------------------------------------------------------
#
# The SDKs select the class of an exception by its name. Its status is the one in AWS's model of
# the service, as the SDKs decide by it whether to retry.

_EXCEPTIONS: dict[str, tuple[str, int]] = {
    "gateway_auth": ("AccessDeniedException", 403),
    "not_allowed": ("AccessDeniedException", 403),
    "not_found": ("ResourceNotFoundException", 404),
    "method_not_allowed": ("UnknownOperationException", 405),
    "too_large": ("ValidationException", 413),
    "rate_limit": ("ThrottlingException", 429),
    "quota": ("ServiceQuotaExceededException", 400),
    "overloaded": ("ServiceUnavailableException", 503),
    "timeout": ("ModelTimeoutException", 408),
    "upstream_auth": ("InternalServerException", 500),
    "upstream_error": ("InternalServerException", 500),
    "malformed_output": ("ModelErrorException", 424),
    "client_gone": ("InternalServerException", 499),
}
_INVALID = ("ValidationException", 400)
# The exceptions that a stream may contain; others are failures of the model.
_STREAM_EXCEPTIONS = frozenset(
    {
        "InternalServerException",
        "ValidationException",
        "ThrottlingException",
        "ServiceUnavailableException",
    }
)
_MODEL_STREAM_ERROR = "modelStreamErrorException"
# LangChain, LiteLLM and Strands Agents recognize a prompt that is too long by one of them.
_TOO_LONG_PHRASES = ("input is too long", "prompt is too long")


def render_error(error: Error, request_id: str) -> ErrorReply:
    """The error before the first byte of a response."""
    name, status = _EXCEPTIONS.get(error.kind, _INVALID)
    headers = {"x-amzn-errortype": name, "x-amzn-requestid": request_id}
    headers |= retry_after_header(error)
    return ErrorReply(status=status, body={"message": client_message(error)}, headers=headers)


def client_message(error: Error) -> str:
    """The message of an exception, in a response or in a stream."""
    opening = "Input is too long for requested model"
    return context_length_message(error, opening, *_TOO_LONG_PHRASES)


def stream_exception_name(error: Error) -> str:
    """The name of an exception in a stream."""
    name = _EXCEPTIONS.get(error.kind, _INVALID)[0]
    return name[0].lower() + name[1:] if name in _STREAM_EXCEPTIONS else _MODEL_STREAM_ERROR
