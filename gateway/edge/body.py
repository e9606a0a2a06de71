"""Reads a request's body: bounded in bytes and time, decoded one level deep."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import msgspec

from gateway.canon.errors import Error, GatewayError, invalid

Receive = Callable[[], Awaitable[dict[str, Any]]]
_shallow = msgspec.json.Decoder(dict[str, msgspec.Raw])
# Past the limit the rest is read and thrown away, or the client sees a reset
# instead of the 413; but not for ever.
_DISCARD_BYTES = 256 * 1024 * 1024


class ClientGone(Exception):
    """The client left before its request was whole."""


async def read(receive: Receive, headers: Mapping[str, str], limit: int) -> bytes:
    """The whole body. Raises GatewayError (413) or ClientGone; the caller has the deadline."""
    message = await _next(receive)
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > limit:
            raise _too_large(limit)
        return body
    return b"".join([part async for part in _rest(receive, message, headers, limit)])


async def pieces(receive: Receive, headers: Mapping[str, str], limit: int) -> AsyncIterator[bytes]:
    """The body as it comes. Raises as `read`, when all of it has been read."""
    async for part in _rest(receive, await _next(receive), headers, limit):
        yield part


async def _rest(
    receive: Receive, message: dict[str, Any], headers: Mapping[str, str], limit: int
) -> AsyncIterator[bytes]:
    """What this message and those after it bring, but for what is too much."""
    declared = headers.get("content-length", "")
    hopeless = declared.isdigit() and int(declared) > _DISCARD_BYTES
    size = 0
    while True:
        data = message.get("body", b"")
        size += len(data)
        if size <= limit:
            yield data
        elif size > _DISCARD_BYTES or hopeless:
            raise _too_large(limit)
        if not message.get("more_body", False):
            break
        message = await _next(receive)
    if size > limit:
        raise _too_large(limit)


async def _next(receive: Receive) -> dict[str, Any]:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message


def _too_large(limit: int) -> GatewayError:
    message = f"the request body is larger than {limit} bytes"
    return GatewayError(Error(kind="too_large", message=message))


def decode(body: bytes) -> dict[str, msgspec.Raw]:
    """The top level of a JSON object, values as they were written. Raises GatewayError."""
    try:
        if not body.isascii():
            body.decode()  # values are not looked into here, so their encoding is checked apart
        return _shallow.decode(body)
    except msgspec.ValidationError:
        raise invalid("the request body must be a JSON object") from None
    except RecursionError:
        raise invalid("the request body is nested too deeply") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise invalid(f"the request body is not valid JSON: {error}") from None


def field(fields: dict[str, msgspec.Raw], name: str, kind: type, *, default: Any) -> Any:
    """One top-level value of the given type. Raises GatewayError naming it."""
    raw = fields.get(name)
    if raw is None or bytes(raw) == b"null":
        return default
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        wanted = {str: "a string", bool: "true or false"}[kind]
        raise invalid(f"{name} must be {wanted}", name) from None
