"""The kinds of failures; each dialect renders them in its own form.

    GatewayError (raised)  carries one  Error (value) of one kind of KINDS

Callers act on fields of the value: `retryable` is whether another target may be tried,
`retry_after_s` is when the client may retry.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Kind(msgspec.Struct, frozen=True):
    """A kind of failure: its default status, and whether to try another target."""

    status: int
    retryable: bool


KINDS: dict[str, Kind] = {
    "invalid_request": Kind(400, retryable=False),
    "unsupported_param": Kind(400, retryable=False),
    "context_length": Kind(400, retryable=False),
    "content_policy": Kind(400, retryable=False),
    "too_large": Kind(413, retryable=False),
    "method_not_allowed": Kind(405, retryable=False),
    "gateway_auth": Kind(401, retryable=False),
    "not_found": Kind(404, retryable=False),
    "not_allowed": Kind(403, retryable=False),
    "client_gone": Kind(499, retryable=False),
    "rate_limit": Kind(429, retryable=True),
    "quota": Kind(429, retryable=True),
    "upstream_auth": Kind(502, retryable=True),
    "overloaded": Kind(503, retryable=True),
    "timeout": Kind(504, retryable=True),
    "upstream_error": Kind(502, retryable=True),
    "malformed_output": Kind(502, retryable=True),
}


class Error(msgspec.Struct, frozen=True, kw_only=True):
    """One failure, independent of any dialect.

    Attributes:
        kind: a key of KINDS.
        message: text that may be shown to the client; never contains a secret or an address.
        param: the client's field at fault, dotted path.
        code: the upstream's own code, where it has one.
        status: the upstream's HTTP status; None when the failure is the gateway's own.
        retry_after_s: whole seconds to wait before a retry; None if unknown.
        should_retry: the upstream's `x-should-retry`, or None.
        upstream_id: the upstream's request id, for the log only.
        details: Anthropic's machine-readable cause (`error_code` and its fields), for clients
            of the same dialect; None if absent.
    """

    kind: str
    message: str
    param: str | None = None
    code: str | None = None
    status: int | None = None
    retry_after_s: int | None = None
    should_retry: bool | None = None
    upstream_id: str | None = None
    details: dict[str, Any] | None = None

    @property
    def retryable(self) -> bool:
        """Whether another target may be tried for the same request."""
        return KINDS[self.kind].retryable


class GatewayError(Exception):
    """Raised inside the gateway for a failure that is reported to the client."""

    def __init__(self, error: Error) -> None:
        super().__init__(error.message)
        self.error = error


def invalid(message: str, param: str | None = None) -> GatewayError:
    """The error for a request whose field `param` is wrong; nothing is sent upstream."""
    return GatewayError(Error(kind="invalid_request", message=message, param=param))


def unsupported(path: str, reason: str) -> GatewayError:
    """The error for a value of a request that the target does not accept in any form."""
    return GatewayError(Error(kind="unsupported_param", message=f"{path}: {reason}", param=path))


def bad_upstream(message: str) -> GatewayError:
    """The error for an upstream response that violates its dialect."""
    return GatewayError(Error(kind="upstream_error", message=message))
