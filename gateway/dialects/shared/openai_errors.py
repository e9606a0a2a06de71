"""Errors of OpenAI's APIs and compatible ones: parsed from providers, rendered for clients.

All OpenAI APIs render an error as the same JSON; a provider's error may have any of the
supported shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.canon.errors import Error
from gateway.canon.json_values import decode_or_none
from gateway.dialects.base import ErrorReply
from gateway.dialects.shared.errors import (
    MAX_MESSAGE_CHARS,
    Phrases,
    client_kind,
    context_length_message,
    kind_of_status,
    plain_error_message,
    refine_kind,
    retry_headers,
    with_response_headers,
)

Json = dict[str, Any]
_MAX_CODE_CHARS = 200

# A provider's `code`, `error_type`, `type` or `status` -> kind.
_KIND_BY_CODE: dict[str, str] = {
    "context_length_exceeded": "context_length",
    "token_limit_exceeded": "context_length",
    "max_tokens_exceeded": "context_length",
    "exceed_context_size_error": "context_length",
    "model_context_window_exceeded": "context_length",
    "model_max_prompt_tokens_exceeded": "context_length",
    "tokens_limit_reached": "context_length",
    "insufficient_quota": "quota",
    "credit_balance_exhausted": "quota",
    "organization_spend_limit_exceeded": "quota",
    "project_spend_limit_exceeded": "quota",
    "organization_usage_limit_exceeded": "quota",
    "billing_hard_limit_reached": "quota",
    "billing_error": "quota",
    "payment_required": "quota",
    "exceeded_current_quota_error": "quota",
    "arrearage": "quota",
    "postpaidbilloverdue": "quota",
    "accountoverdueerror": "quota",
    "1113": "quota",  # Zhipu
    "rate_limit_exceeded": "rate_limit",
    "rate_limit_error": "rate_limit",
    "too_many_requests": "rate_limit",
    "capacity_exceeded": "rate_limit",
    "resource_exhausted": "rate_limit",
    "throttlingexception": "rate_limit",
    "server_is_overloaded": "overloaded",
    "slow_down": "overloaded",
    "overloaded": "overloaded",
    "overloaded_error": "overloaded",
    "engine_overloaded_error": "overloaded",
    "provider_overloaded": "overloaded",
    "unavailable": "overloaded",
    "timeout": "timeout",
    "timeout_error": "timeout",
    "vector_store_timeout": "timeout",
    "deadline_exceeded": "timeout",
    "content_filter": "content_policy",
    "content_policy_violation": "content_policy",
    "responsibleaipolicyviolation": "content_policy",
    "invalid_prompt": "content_policy",
    "bio_policy": "content_policy",
    "misalignment_policy_violation": "content_policy",
    "image_content_policy_violation": "content_policy",
    "moderation_blocked": "content_policy",
    "model_not_found": "not_found",
    "deploymentnotfound": "not_found",
    "unsupported_parameter": "unsupported_param",
    "unsupported_value": "unsupported_param",
    "request_too_large": "too_large",
    "invalid_api_key": "upstream_auth",
    "authentication_error": "upstream_auth",
    "permission_error": "upstream_auth",
    "permission_denied": "upstream_auth",
    "unauthenticated": "upstream_auth",
    "tool_use_failed": "malformed_output",
}
_INVALID = "invalid_request"
# Codes that are less specific than the HTTP status; used if there is no status.
_KIND_BY_GENERIC_CODE: dict[str, str] = {
    "invalid_request_error": "invalid_request",
    "invalid_argument": "invalid_request",
    "badrequesterror": "invalid_request",
    "not_found_error": "not_found",
    # In a stream of Responses the code has no type next to it.
    "invalid_encrypted_content": "invalid_request",
    # An image of the request (`ResponseError.code` of the openai SDK).
    **dict.fromkeys(("invalid_image", "invalid_image_format", "invalid_image_mode"), _INVALID),
    **dict.fromkeys(("invalid_image_url", "invalid_base64_image", "image_parse_error"), _INVALID),
    **dict.fromkeys(("image_too_large", "image_too_small", "image_file_too_large"), _INVALID),
    **dict.fromkeys(("empty_image_file", "unsupported_image_media_type"), _INVALID),
    **dict.fromkeys(("failed_to_download_image", "image_file_not_found"), _INVALID),
}
# Groq: the capacity of the flex tier is exceeded.
_CAPACITY_EXCEEDED_STATUS = 498
# Phrases in the message that are the only sign of a kind (wire/spec.md, section 5).
_KIND_BY_PHRASE: Phrases = (
    ("is deprecated for this model", "unsupported_param"),
    ("function tools with reasoning_effort", "unsupported_param"),
)

CONTEXT_LENGTH_MARKERS = (b"context_length_exceeded",)
_TOO_LONG_OPENING = "This model's maximum context length is exceeded"
# Lower-case texts of which clients know one.
_TOO_LONG_PHRASES = (
    "this model's maximum context length is",
    "input tokens exceed the configured limit",
    "exceeds the context window",
    "exceeds the maximum number of tokens allowed",
    "prompt is too long",
)

# kind -> (status, type, code) for a client.
_CLIENT_ERRORS: dict[str, tuple[int, str, str | None]] = {
    "invalid_request": (400, "invalid_request_error", None),
    "unsupported_param": (400, "invalid_request_error", "unsupported_parameter"),
    "context_length": (400, "invalid_request_error", "context_length_exceeded"),
    "content_policy": (400, "invalid_request_error", "content_filter"),
    "too_large": (413, "invalid_request_error", "request_too_large"),
    "method_not_allowed": (405, "invalid_request_error", "method_not_allowed"),
    "gateway_auth": (401, "invalid_request_error", "invalid_api_key"),
    "not_found": (404, "invalid_request_error", "model_not_found"),
    "not_allowed": (403, "invalid_request_error", "not_allowed"),
    "client_gone": (499, "invalid_request_error", "client_gone"),
    "rate_limit": (429, "rate_limit_error", "rate_limit_exceeded"),
    "quota": (429, "insufficient_quota", "insufficient_quota"),
    "upstream_auth": (502, "server_error", "upstream_auth"),
    "overloaded": (503, "server_error", "overloaded"),
    "timeout": (504, "server_error", "timeout"),
    "upstream_error": (502, "server_error", "upstream_error"),
    "malformed_output": (502, "server_error", "malformed_model_output"),
}
# Values of `param` by which an upstream names the conversation; vLLM has the last two.
_PROMPT_PARAMS = frozenset({None, "messages", "input", "input_tokens", "input_text"})
# The gateway's own codes that are more specific than their kind.
_GATEWAY_CODES = frozenset(
    {
        "previous_response_not_found",
        "guardrail_blocked",
        "guardrail_unavailable",
        "unknown_url",
    }
)


# --- providers' errors ----------------------------------------------------------------------------


def parse_error(status: int, headers: Mapping[str, str], body: bytes) -> Error:
    """The canonical error of an upstream's error response; header names are lower case."""
    payload = decode_or_none(body)
    if isinstance(payload, dict):
        status, body, payload = _unwrap_aws(status, headers, body, payload)
    error = parse_error_payload(payload, status=status, body=body)
    return with_response_headers(error, headers, payload, "x-request-id", "request-id")


def _unwrap_aws(
    status: int, headers: Mapping[str, str], body: bytes, payload: Json
) -> tuple[int, bytes, Any]:
    """Status, body and payload of a container's error inside one of Amazon SageMaker.

    Any other error is returned unchanged, with AWS's error type."""
    original = payload.get("OriginalStatusCode")
    if type(original) is int and 400 <= original <= 599:
        body = str(payload.get("OriginalMessage") or payload.get("Message") or "").encode()
        return original, body, decode_or_none(body)
    kind = headers.get("x-amzn-errortype", "").partition(":")[0]
    if kind and "Message" in payload:
        return status, body, {"message": payload["Message"], "type": kind}
    return (status, body, {"type": kind, **payload}) if kind else (status, body, payload)


def is_error(payload: Any) -> bool:
    """Whether JSON that came with status 200 is nevertheless an error."""
    if isinstance(payload, list):
        return len(payload) == 1 and is_error(payload[0])
    if not isinstance(payload, dict):
        return False
    if payload.get("error"):
        return True
    if payload.get("choices"):
        return False
    if payload.get("object") == "error" or payload.get("type") == "error":
        return True
    return isinstance(payload.get("message"), str) or bool(payload.get("detail"))


def parse_error_payload(payload: Any, *, status: int | None = None, body: bytes = b"") -> Error:
    """The error in a payload of any supported shape; without a message, the text of `body`."""
    fields = _error_fields(payload)
    message = _error_message(fields, payload) or plain_error_message(body, status)
    code = fields.get("code")
    if status is None:
        status = _status_from_code(code)
    labels = [fields.get(name) for name in ("code", "error_type", "type", "status")]
    return Error(
        kind=_error_kind(
            status, [label.lower() for label in labels if isinstance(label, str)], message
        ),
        message=message[:MAX_MESSAGE_CHARS],
        param=_error_param(fields),
        code=str(code)[:_MAX_CODE_CHARS] if isinstance(code, str | int) else None,
        status=status,
    )


def _error_fields(payload: Any) -> Json:
    """The object with the message."""
    if isinstance(payload, list) and payload:
        payload = payload[0]
    if not isinstance(payload, dict):
        return {}
    error = payload.get("error")
    if error is None and "message" not in payload:  # Cloudflare, IBM watsonx
        error = payload.get("errors")
    if isinstance(error, list) and error:
        error = error[0]
    if not isinstance(error, dict):
        return payload
    metadata = error.get("metadata")
    if isinstance(metadata, dict) and "flagged_input" in metadata:  # OpenRouter's moderation
        return {**error, "error_type": "content_policy_violation"}
    if isinstance(metadata, dict) and isinstance(metadata.get("error_type"), str):
        return {**error, "error_type": metadata["error_type"]}
    return error


def _error_message(fields: Json, payload: Any) -> str | None:
    detail = fields.get("detail")
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        detail = detail[0].get("msg")
    error = isinstance(payload, dict) and payload.get("error")
    for message in (fields.get("message"), detail, error):
        if isinstance(message, str) and message:
            return _with_provider_message(message, fields)
    return None


def _with_provider_message(message: str, fields: Json) -> str:
    """OpenRouter puts the original provider's message into the metadata."""
    metadata = fields.get("metadata")
    origin = metadata.get("raw") if isinstance(metadata, dict) else None
    return f"{message}: {origin[:500]}" if isinstance(origin, str) and origin else message


def _status_from_code(code: Any) -> int | None:
    """The HTTP status that some providers put into `code`, as a number or a string."""
    if isinstance(code, str) and code.isascii() and code.isdigit():
        code = int(code[:4])
    return code if type(code) is int and 400 <= code <= 599 else None


def _error_kind(status: int | None, labels: list[str], message: str) -> str:
    if status == 402:
        return "quota"
    kind = next((_KIND_BY_CODE[label] for label in labels if label in _KIND_BY_CODE), None)
    if kind is None and status is not None:
        is_capacity = status == _CAPACITY_EXCEEDED_STATUS
        kind = "rate_limit" if is_capacity else kind_of_status(status)
    if kind is None:
        kind = next(
            (_KIND_BY_GENERIC_CODE[label] for label in labels if label in _KIND_BY_GENERIC_CODE),
            "upstream_error",
        )
    return refine_kind(kind, message, _KIND_BY_PHRASE)


def _error_param(fields: Json) -> str | None:
    param = fields.get("param")
    if isinstance(param, str):
        return param[:_MAX_CODE_CHARS]
    detail = fields.get("detail")
    first = detail[0] if isinstance(detail, list) and detail else None
    loc = first.get("loc") if isinstance(first, dict) else None
    if not isinstance(loc, list):
        return None
    steps = [step for step in loc if step != "body"]
    path = "".join(f"[{step}]" if type(step) is int else f".{step}" for step in steps)
    return path.lstrip(".") or None


# --- errors for clients ---------------------------------------------------------------------------


def render_error_body(error: Error, prompt: str = "messages") -> Json:
    """The JSON of an error, before the first byte and within a Chat stream alike.

    `prompt` is the name of the field with the conversation.
    """
    _, kind, code = _CLIENT_ERRORS[error.kind]
    if error.code is not None and (error.kind == "not_allowed" or error.code in _GATEWAY_CODES):
        code = error.code
    elif error.kind == "not_found" and not _names_model(error):
        code = None
    param = error.param
    if error.kind == "context_length" and param in _PROMPT_PARAMS:
        param = prompt
    message = client_message(error)
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def client_message(error: Error) -> str:
    """The message for a client. LiteLLM reads it, not the code, for a prompt that is too long."""
    return context_length_message(error, _TOO_LONG_OPENING, *_TOO_LONG_PHRASES)


def _names_model(error: Error) -> bool:
    """Whether a 404 is about the model: a provider's is, unless it names another field."""
    if error.param is None:
        return error.status is not None
    return error.param.rpartition(".")[2] == "model"


def render_error(error: Error, request_id: str, prompt: str = "messages") -> ErrorReply:
    """The error response, sent before the first byte of a response."""
    status, _, _ = _CLIENT_ERRORS[client_kind(error)]
    headers = {"x-request-id": request_id, **retry_headers(error)}
    return ErrorReply(status=status, body=render_error_body(error, prompt), headers=headers)
