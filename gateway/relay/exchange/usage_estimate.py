"""Estimates the usage of a call whose provider does not report it.

    estimated        from the text (`token_count.estimate_text_tokens`), a few percent off
    estimated_size   from the bytes: for long requests, which would block the event loop, and
                     for requests that the gateway cannot parse

Reservations before a call use upper bounds instead (`limits.max_rates`).
"""

from __future__ import annotations

import msgspec

from gateway.canon.errors import GatewayError
from gateway.canon.response import Usage
from gateway.relay.exchange.call import Call
from gateway.relay.exchange.request_features import TOKENS_PER_IMAGE, estimate_tokens
from gateway.relay.exchange.token_count import estimate_request_tokens
from gateway.relay.exchange.usage import BYTES_PER_TOKEN

REPORTED, BY_TEXT, BY_SIZE = "reported", "estimated", "estimated_size"
# A body of this size is counted in half a millisecond (measured 2026-11).
MAX_COUNTED_BYTES = 32 * 1024
# Text before a file's base64: in a URL, and in Anthropic's and Google's fields.
_BASE64_PREFIXES = (b";base64,", b'"data":"', b'"data": "')
_MIN_MEDIA_BYTES = 1024


def usage_of(call: Call) -> tuple[Usage, str]:
    """The usage to bill a call by, and its source: one of the three names above."""
    tap = call.attempt.tap
    reported_usage = tap.usage
    estimated_output = -(-tap.output_bytes // BYTES_PER_TOKEN)
    if (
        reported_usage is not None
        and tap.finish is None
        and estimated_output > (reported_usage.output or 0)
    ):
        # It broke off: Messages counts a few tokens in its first event, the rest at the end.
        reported_usage = msgspec.structs.replace(reported_usage, output=None)
    if (
        reported_usage is not None
        and reported_usage.output is not None
        and reported_usage.prompt_tokens is not None
    ):
        return reported_usage, BY_SIZE if reported_usage.estimated else REPORTED
    partial_usage, source = reported_usage or Usage(), BY_TEXT
    changes: dict[str, object] = {"estimated": True}
    if partial_usage.output is None:
        changes["output"] = estimated_output
    if partial_usage.prompt_tokens is None:
        prompt_tokens, source = _estimate_prompt(call)
        # Each of several upstream calls is billed its prompt.
        calls = call.attempts[-1].calls if call.attempts else ()
        changes["input"] = prompt_tokens * max(1, len(calls))
    return msgspec.structs.replace(partial_usage, **changes), source


def _estimate_prompt(call: Call) -> tuple[int, str]:
    exchange = call.exchange
    size = len(exchange.body)
    if exchange.verb == "generate":
        try:
            if size <= MAX_COUNTED_BYTES:
                return estimate_request_tokens(exchange.request), BY_TEXT
            if exchange.is_parsed:
                return estimate_tokens(exchange), BY_SIZE
        except GatewayError:
            pass  # passed through: only the provider could parse it
    file_count, media_bytes = _count_base64_files(exchange.body)
    return -(-(size - media_bytes) // BYTES_PER_TOKEN) + file_count * TOKENS_PER_IMAGE, BY_SIZE


def _count_base64_files(body: bytes) -> tuple[int, int]:
    """The number and total size of base64 files in a body, without parsing it."""
    count = size = 0
    for prefix in _BASE64_PREFIXES:
        offset = body.find(prefix)
        while offset >= 0:
            start = offset + len(prefix)
            end = body.find(b'"', start)
            if end < 0:
                break
            if end - start >= _MIN_MEDIA_BYTES:
                count, size = count + 1, size + end - start
            offset = body.find(prefix, end)
    return count, size
