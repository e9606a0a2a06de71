"""The client half of a dialect that is used with providers only."""

from __future__ import annotations

from typing import NoReturn

from gateway.canon.errors import KINDS, Error, invalid
from gateway.dialects.base import Client, ErrorReply


def render_plain_error(error: Error, request_id: str) -> ErrorReply:
    """The error as JSON, for the console's translation examples."""
    error_body = {"message": error.message, "type": error.kind}
    return ErrorReply(status=KINDS[error.kind].status, body={"error": error_body})


def provider_only_client(name: str) -> Client:
    """Refuses every call by the dialect's name, except `render_error`."""

    def refuse(*_: object) -> NoReturn:
        raise invalid(f"`{name}` is available only for providers; clients must use another dialect")

    return Client(
        parse_request=refuse,
        render_response=refuse,
        stream_renderer=refuse,
        render_error=render_plain_error,
        render_count=refuse,
    )
