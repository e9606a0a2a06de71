"""Reads a request's body: bounded in bytes and time, decoded one level deep."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import msgspec

from gateway.canon.errors import Error, GatewayError, invalid
from gateway.edge import field_names
from gateway.relay.event_loop import offload

Receive = Callable[[], Awaitable[dict[str, Any]]]
_fields_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
# Past the limit the rest is read and thrown away, or the client sees a reset
# instead of the 413; but not for ever.
_MAX_DISCARDED_BYTES = 256 * 1024 * 1024


class ClientGone(Exception):
    """The client left before its request was whole."""


async def read(receive: Receive, headers: Mapping[str, str], limit: int) -> bytes:
    """The whole body. Raises GatewayError (413) or ClientGone; the caller has the deadline."""
    message = await _next_message(receive)
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > limit:
            raise _too_large(limit)
        return body
    chunks = [chunk async for chunk in _bounded_chunks(receive, message, headers, limit)]
    return await offload.scan(sum(map(len, chunks)), b"".join, chunks)


async def read_chunks(
    receive: Receive, headers: Mapping[str, str], limit: int
) -> AsyncIterator[bytes]:
    """The body as it comes. Raises as `read`, when all of it has been read."""
    async for chunk in _bounded_chunks(receive, await _next_message(receive), headers, limit):
        yield chunk


async def _bounded_chunks(
    receive: Receive, message: dict[str, Any], headers: Mapping[str, str], limit: int
) -> AsyncIterator[bytes]:
    """What this message and those after it bring, but for what is too much."""
    declared = headers.get("content-length", "")
    exceeds_discard_limit = declared.isdigit() and int(declared) > _MAX_DISCARDED_BYTES
    size = 0
    while True:
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= limit:
            yield chunk
        elif size > _MAX_DISCARDED_BYTES or exceeds_discard_limit:
            raise _too_large(limit)
        if not message.get("more_body", False):
            break
        message = await _next_message(receive)
    if size > limit:
        raise _too_large(limit)


async def _next_message(receive: Receive) -> dict[str, Any]:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message


def _too_large(limit: int) -> GatewayError:
    message = f"the request body is larger than {limit} bytes"
    return GatewayError(Error(kind="too_large", message=message))


def decode(body: bytes) -> dict[str, msgspec.Raw]:
    """The top level of a JSON object, values as they were written. Raises GatewayError.

    Refused too: a field that stands there twice, or in another case (`field_names`).
    """
    try:
        offload.check_fields(body)
        if not body.isascii():
            # Values are not looked into here, so their encoding is checked apart.
            offload.check_utf8(body)
        fields = _fields_decoder.decode(body)
    except msgspec.ValidationError:
        raise invalid("the request body must be a JSON object") from None
    except RecursionError:
        raise invalid("the request body is nested too deeply") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise invalid(f"the request body is not valid JSON: {error}") from None
    field_names.check(body, fields)
    return fields


def field(fields: dict[str, msgspec.Raw], name: str, field_type: type, *, default: Any) -> Any:
    """One top-level value of the given type. Raises GatewayError naming it."""
    raw = fields.get(name)
    if raw is None or bytes(raw) == b"null":
        return default
    try:
        return msgspec.json.decode(raw, type=field_type)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        expected = {str: "a string", bool: "true or false"}[field_type]
        raise invalid(f"{name} must be {expected}", name) from None
