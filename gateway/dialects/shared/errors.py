"""What the error responses of all dialects have in common, from providers and for clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.canon.errors import Error
from gateway.canon.json_values import decode_or_none
from gateway.dialects.shared.retry_after import retry_after, should_retry

MAX_MESSAGE_CHARS = 2000

# HTTP status -> kind, where the status says more than its class. 529 is Anthropic's; 522 and 524
# are Cloudflare's (developers.cloudflare.com/support/troubleshooting/http-status-codes), 598 is a
# proxy's. 405, 421, 423, 425 and 451 are about the address, the connection or the region, which
# the client does not choose.
KIND_BY_STATUS: dict[int, str] = {
    401: "upstream_auth",
    402: "quota",
    403: "upstream_auth",
    404: "not_found",
    405: "upstream_error",
    407: "upstream_auth",
    408: "timeout",
    409: "upstream_error",
    410: "not_found",
    413: "too_large",
    421: "upstream_error",
    423: "upstream_error",
    424: "upstream_error",
    425: "upstream_error",
    429: "rate_limit",
    451: "upstream_error",
    499: "upstream_error",
    503: "overloaded",
    504: "timeout",
    522: "timeout",
    524: "timeout",
    529: "overloaded",
    598: "timeout",
}
# Kinds that say so little that the message may tell more.
_KINDS_REFINED_BY_PHRASE = frozenset({"invalid_request", "upstream_error", "too_large"})
# Kinds that can also stand for an account without credit.
_KINDS_OF_UNPAID_ACCOUNTS = _KINDS_REFINED_BY_PHRASE | {"rate_limit", "upstream_auth"}
# (phrase in lower case, kind); the first one in the message decides.
Phrases = tuple[tuple[str, str], ...]
# Lower-case phrases by which providers say that a request exceeds the context. Most have no
# code for it, and any model may be behind any API.
_CONTEXT_LENGTH_PHRASES = (
    "prompt is too long",  # Anthropic, Fireworks, z.ai
    "prompt too long",  # Ollama
    "input is too long",  # Amazon Bedrock
    "too many input tokens",
    "exceed context limit",  # Anthropic: input and max_tokens together
    "maximum context length",  # OpenAI, vLLM, SGLang, DeepSeek, OpenRouter
    "maximum model length",  # vLLM
    "too long and exceeds limit",  # vLLM
    "too long to fit into the model",  # vLLM, with images
    "longer than the model's context length",  # SGLang, Together
    "exceeds the context window",  # OpenAI Responses
    "exceeds the maximum number of tokens",  # Gemini
    "but model only supports up to",  # Vertex AI
    "exceeds the available context",  # llama.cpp
    "context size has been exceeded",  # llama.cpp, LM Studio
    "greater than the context length",  # LM Studio
    "context length of only",  # LM Studio
    "exceeds context",
    "exceeds maximum context",
    "input length exceeds",
    "input tokens exceed",  # OpenAI
    "too large for model with",  # Mistral
    "maximum prompt length",  # xAI
    "maximum allowed input length",  # Poolside
    "reduce the length of the messages",  # Groq, Cerebras
    "context window exceeds limit",  # MiniMax
    "exceeded model token limit",  # Moonshot
    "prompt exceeds max length",  # Zhipu
    "range of input length should be",  # Alibaba Cloud
    "must be less than max_seq_len",  # SiliconFlow
    "exceed max message tokens",  # Volcengine
    "exceeded this model context window limit",  # Cloudflare
    "cannot exceed the total tokens limit",  # IBM watsonx
    "`inputs` must have less than",  # TGI
    "`inputs` tokens + `max_new_tokens` must be",  # TGI, Together
)
# Lower-case phrases by which providers say that they refuse the content. Some send them with a
# status that otherwise means a rejected credential, and would put the target into a cooldown.
_CONTENT_POLICY_PHRASES = (
    "content violates usage guidelines",  # xAI, with status 403
    "your input was flagged for",  # OpenRouter, with status 403
    "content exists risk",  # DeepSeek
    "considered high risk",  # Moonshot
    "data may contain inappropriate content",  # Alibaba Cloud
    "text may contain sensitive information",  # Volcengine
    "blocked by our content filters",  # Amazon Bedrock
)
# Lower-case phrases by which providers say that an account or key has no credit left. Without a
# code of its own this looks like a rate limit (429) or a rejected credential (403).
_QUOTA_PHRASES = (
    "used all available credits",  # xAI
    "doesn't have any credits",  # xAI
    "run out of credits",  # xAI
    "insufficient balance",  # Zhipu, z.ai, DeepSeek
    "余额不足",  # Zhipu, in Chinese
    "账户已欠费",  # Zhipu, in Chinese
    "balance is insufficient",  # SiliconFlow
    "not enough balance",  # Novita
    "key limit exceeded",  # OpenRouter
    "credit balance is too low",  # Anthropic
    "monthly spend",  # Anthropic ("limit"), with a time to retry; Google ("ing cap")
    "failure to pay past invoices",  # Fireworks, with status 412
)
# Phrases of Claude's errors, from whichever provider serves it (wire/spec.md, section 5).
CLAUDE_PHRASES: Phrases = (
    ("content filtering policy", "content_policy"),
    ("is deprecated for this model", "unsupported_param"),
    ("extra inputs are not permitted", "unsupported_param"),
)
# The SDKs of OpenAI and Anthropic retry every 408, 409, 429 and 5xx unless `x-should-retry`
# says otherwise.
_SHOULD_RETRY: dict[str, bool] = {"quota": False, "upstream_auth": False, "overloaded": True}


# --- providers' errors ----------------------------------------------------------------------------


def kind_of_status(status: int | None) -> str:
    """The kind of a failure with this HTTP status; `upstream_error` without one."""
    if status is None:
        return "upstream_error"
    return KIND_BY_STATUS.get(status) or (
        "invalid_request" if 400 <= status < 500 else "upstream_error"
    )


def refine_kind(kind: str, message: str, phrases: Phrases = ()) -> str:
    """The kind that phrases in the message imply, if `kind` is unspecific; else `kind`.

    `phrases` are the dialect's own; those about credit, the context's length and the content are
    the same for all.
    """
    if kind not in _KINDS_OF_UNPAID_ACCOUNTS:
        return kind
    text = message.lower()
    if any(phrase in text for phrase in _QUOTA_PHRASES):
        return "quota"
    if kind == "rate_limit":
        return kind
    if any(phrase in text for phrase in _CONTENT_POLICY_PHRASES):
        return "content_policy"
    if kind == "upstream_auth":
        return kind
    if any(phrase in text for phrase in _CONTEXT_LENGTH_PHRASES):
        return "context_length"
    return next((phrase_kind for phrase, phrase_kind in phrases if phrase in text), kind)


def with_response_headers(
    error: Error, headers: Mapping[str, str], payload: Any, *ids: str
) -> Error:
    """The error with what the response's headers (names in lower case) say about it.

    That is when to retry, and the upstream's id: the first of the headers `ids` that is sent.
    """
    return msgspec.structs.replace(
        error,
        retry_after_s=retry_after(headers, payload),
        should_retry=should_retry(headers),
        upstream_id=next((headers[name] for name in ids if headers.get(name)), None),
    )


def plain_error_message(body: bytes, status: int | None) -> str:
    """The message for a body without a known message field: its text, or a description."""
    value = decode_or_none(body)
    text = value[:500] if isinstance(value, str) else body[:500].decode("utf-8", "replace").strip()
    number = f" {status}" if status is not None else ""
    if not text:
        return f"the upstream responded{number} without an error message"
    if text.startswith("<"):
        return f"the upstream responded{number} with an HTML page instead of an API response"
    return text


# --- errors for clients ---------------------------------------------------------------------------


def client_kind(error: Error) -> str:
    """The kind that decides a client's status: a spent budget of the gateway is a quota."""
    is_spent_budget = error.kind == "not_allowed" and error.code == "insufficient_quota"
    return "quota" if is_spent_budget else error.kind


def context_length_message(error: Error, opening: str, *known: str) -> str:
    """The error's message; begins with `opening` if the prompt is too long.

    Many clients shorten the conversation, or raise an exception for it, only if the message has a
    text that they know: one in `known` (lower case) suffices.
    """
    if error.kind != "context_length" or any(text in error.message.lower() for text in known):
        return error.message
    return f"{opening}: {error.message}"


def retry_after_header(error: Error) -> dict[str, str]:
    """`retry-after`, if the wait is known."""
    return {} if error.retry_after_s is None else {"retry-after": str(error.retry_after_s)}


def retry_headers(error: Error) -> dict[str, str]:
    """`retry-after` and `x-should-retry`, for the SDKs that read both."""
    retry = error.should_retry if error.should_retry is not None else _SHOULD_RETRY.get(error.kind)
    flag = {} if retry is None else {"x-should-retry": "true" if retry else "false"}
    return retry_after_header(error) | flag
