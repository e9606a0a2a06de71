"""Reads a request's body: bounded in bytes and time, decoded one level deep.

An object that two parsers could read differently is rejected: of a duplicate name some
parsers use the first value, others the last, and parsers in Go (Ollama, LocalAI) also
accept `Model` for `model`. Routing, limits and price here would then differ from what
the upstream processes.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any

import msgspec

from gateway.canon.errors import Error, GatewayError, invalid
from gateway.relay.event_loop import offload

Receive = Callable[[], Awaitable[dict[str, Any]]]
_fields_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
# Beyond the limit, up to this many bytes are read and discarded, because otherwise the
# client sees a connection reset instead of the 413.
_MAX_DISCARDED_BYTES = 256 * 1024 * 1024


class ClientGone(Exception):
    """The client disconnected before its request was complete."""


async def read(receive: Receive, headers: Mapping[str, str], limit: int) -> bytes:
    """The whole body. Raises GatewayError (413) or ClientGone; the caller sets the deadline."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
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
    """The body in chunks. Raises GatewayError (413) after the last chunk, or ClientGone."""
    async for chunk in _bounded_chunks(receive, await _next_message(receive), headers, limit):
        yield chunk


async def _bounded_chunks(
    receive: Receive, message: dict[str, Any], headers: Mapping[str, str], limit: int
) -> AsyncIterator[bytes]:
    """Chunks of the body from `message` on, up to `limit` bytes. Raises GatewayError (413)."""
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
    """The top level of a JSON object, with values as raw JSON. Raises GatewayError.

    Also rejects duplicate fields and fields in another case (`check_field_names`).
    """
    try:
        if len(body) >= offload.LARGE_BYTES:
            offload.check_fields(body)
        if not body.isascii():
            # Values are not decoded here, so their encoding is checked separately.
            offload.check_utf8(body)
        fields = _fields_decoder.decode(body)
    except msgspec.ValidationError:
        raise invalid("the request body must be a JSON object") from None
    except RecursionError:
        raise invalid("the request body is nested too deeply") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise invalid(f"the request body is not valid JSON: {error}") from None
    check_field_names(body, fields)
    return fields


def field(fields: dict[str, msgspec.Raw], name: str, field_type: type, *, default: Any) -> Any:
    """One top-level value of type `field_type`. Raises GatewayError naming it."""
    raw = fields.get(name)
    if raw is None or bytes(raw) == b"null":
        return default
    try:
        return msgspec.json.decode(raw, type=field_type)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        expected = {str: "a string", bool: "true or false"}[field_type]
        raise invalid(f"{name} must be {expected}", name) from None


# --- field names ------------------------------------------------------------------------

# Top-level fields of all dialects that affect routing, limits, price or the response format.
INTERPRETED_FIELDS = frozenset(
    {
        *("model", "name", "stream", "stream_options", "messages", "input", "prompt", "suffix"),
        *("system", "instructions", "tools", "tool_choice", "functions", "function_call"),
        *("max_tokens", "max_completion_tokens", "max_output_tokens", "n", "best_of", "options"),
        *("temperature", "top_p", "top_k", "stop", "seed", "format", "response_format", "think"),
        *("thinking", "reasoning", "reasoning_effort", "service_tier", "user", "metadata"),
        *("previous_response_id", "conversation", "store", "background", "generate", "type"),
        *("input_file_id", "requests", "query", "documents", "images", "keep_alive", "raw"),
        *("contents", "content", "generateContentRequest", "generationConfig", "serviceTier"),
        *("systemInstruction", "toolConfig", "safetySettings", "cachedContent"),
        *("session_id", "tags", "cache"),
    }
)
_CANONICAL_SPELLINGS = {name.casefold(): name for name in INTERPRETED_FIELDS}
_WHITESPACE = re.compile(rb"[ \t\r\n]*")
_NAME = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def check_field_names(body: bytes, fields: Mapping[str, msgspec.Raw]) -> None:
    """Raises GatewayError (400) naming a field that is duplicate or in another case.

    `fields` is the top level of `body`. Fast path: if a compact body is exactly as long as its
    fields and their punctuation, it contains no other field.
    """
    names = "".join(fields)
    if not (names.isascii() and names.islower()):
        check_case(fields)
    size = len(names) + sum(map(len, fields.values())) + 4 * len(fields) + 1
    if size != len(body) and fields and not _has_python_encoding(body, fields):
        _check_duplicates(body, fields)


def _has_python_encoding(body: bytes, fields: Mapping[str, msgspec.Raw]) -> bool:
    """Whether Python's `json.dumps` wrote the object, so that no name can be duplicate."""
    offset = 0
    for name, raw in fields.items():
        start = b'%b"%b": ' % (b", " if offset else b"{", name.encode())
        if not body.startswith(start, offset) or not body.startswith(raw, offset + len(start)):
            return False
        offset += len(start) + len(raw)
    return len(body) == offset + 1 and body.endswith(b"}")


def check_case(names: Iterable[str]) -> None:
    """Raises GatewayError (400) for names that differ, or differ from a known one, only in case."""
    spellings: dict[str, str] = {}
    for name in names:
        folded = name.casefold()
        first_spelling = spellings.setdefault(folded, name)
        if first_spelling == name:
            first_spelling = _CANONICAL_SPELLINGS.get(folded, name)
        if first_spelling != name:
            message = (
                f"`{name[:80]}` differs from `{first_spelling[:80]}` only in case; send one of them"
            )
            if name not in INTERPRETED_FIELDS and folded in _CANONICAL_SPELLINGS:
                message = f"`{name[:80]}` must be written `{_CANONICAL_SPELLINGS[folded]}`"
            raise invalid(message, name[:80])


def _check_duplicates(body: bytes, fields: Mapping[str, msgspec.Raw]) -> None:
    """Walks the top level: it must consist of exactly `fields`, in order."""
    offset = _skip_whitespace(body, body.index(b"{") + 1)
    last_index = len(fields) - 1
    for index, (name, raw) in enumerate(fields.items()):
        field_name, offset = _parse_name(body, offset)
        value = bytes(raw)
        end = _skip_whitespace(body, offset + len(value))
        # One number may be a prefix of another: the next character shows whether it is complete.
        if field_name != name or not body.startswith(value, offset) or body[end] not in b",}":
            raise _duplicate_field(field_name)
        offset = end
        if index < last_index:
            offset = _skip_whitespace(body, offset + 1)
    if body[offset : offset + 1] != b"}":
        raise _duplicate_field(_parse_name(body, _skip_whitespace(body, offset + 1))[0])


def _parse_name(body: bytes, offset: int) -> tuple[str, int]:
    """The name at `offset` in a valid object, and the offset of its value."""
    match = _NAME.match(body, offset)
    assert match is not None
    colon = _skip_whitespace(body, match.end())
    return msgspec.json.decode(match[0], type=str), _skip_whitespace(body, colon + 1)


def _skip_whitespace(body: bytes, offset: int) -> int:
    match = _WHITESPACE.match(body, offset)
    assert match is not None
    return match.end()


def _duplicate_field(name: str) -> GatewayError:
    return invalid(f"`{name[:80]}` is given twice; send it once", name[:80])
