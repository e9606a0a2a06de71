"""Refusals before a request is parsed, in the caller's dialect."""

from __future__ import annotations

import itertools
import uuid
from typing import Any

import msgspec

from gateway.canon.errors import Error, GatewayError
from gateway.dialects import DIALECTS
from gateway.edge import endpoints
from gateway.framing.headers import JSON_HEADER
from gateway.relay.exchange.call import Client, Send

_RUN_ID = uuid.uuid4().hex[:12]
_REQUEST_NUMBERS = itertools.count(1)


def render_refusal(
    path: str, headers: list[tuple[bytes, bytes]], error: Error
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, headers and body of an error in the dialect of the path."""
    text_headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in headers}
    request_id = f"req_{_RUN_ID}{next(_REQUEST_NUMBERS):010x}"
    reply = DIALECTS[endpoints.dialect_of(path, text_headers)].client.render_error(
        error, request_id
    )
    reply_headers = {"x-request-id": request_id, **reply.headers}
    header_lines = [
        (k.encode("ascii"), v.encode("ascii", "replace")) for k, v in reply_headers.items()
    ]
    return reply.status, [JSON_HEADER, *header_lines], msgspec.json.encode(reply.body)


async def send_refusal(scope: dict[str, Any], send: Send, error: Error) -> None:
    """Respond to a request with an error."""
    await Client(send).reply(*render_refusal(scope["path"], scope["headers"], error))


def realtime_refusal(endpoint: endpoints.Endpoint) -> GatewayError:
    """The error for HTTP requests to the Realtime API."""
    if endpoint.name == "/v1/realtime":
        message = "this is a WebSocket: connect to `wss://.../v1/realtime?model=NAME`"
        return GatewayError(Error(kind="invalid_request", message=message))
    message = (
        "the gateway does not issue credentials for the Realtime API or create calls: with those "
        "of a provider, a client would bypass its keys, limits and log. Use the WebSocket "
        "/v1/realtime?model=NAME with a gateway key"
    )
    return GatewayError(Error(kind="not_found", message=message))
