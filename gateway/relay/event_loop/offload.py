"""Work on large requests and responses, off the event loop.

A body of LARGE_BYTES or more is decoded, checked, translated and encoded in a thread, a
slice at a time, because one call of the JSON library holds the GIL and blocks the loop. There
are few threads: more would only compete for the GIL.

The steps of every request compare the size themselves and await `run` only if it is large: a
coroutine costs 0.5 us, as much as a short step.
"""

from __future__ import annotations

import asyncio
import codecs
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, TypeVarTuple

import msgspec

from gateway.canon.errors import Error, GatewayError

Ts = TypeVarTuple("Ts")
T = TypeVar("T")

# A smaller body takes a few milliseconds at most: a thread would cost more than it saves.
LARGE_BYTES = 128 * 1024
# The threshold for a body that is only scanned, not translated.
SCANNED_BYTES = 1024 * 1024
# Smaller JSON containers are decoded in one call.
SLICE_BYTES = 64 * 1024
# Messages, parts, calls, results and tools in one request that is translated.
MAX_ITEMS = 20_000
# An item has at least a dozen bytes: a smaller body cannot have too many.
_MIN_COUNTED_BYTES = 8 * MAX_ITEMS
# JSON values in one translated request: a few bytes become an object of hundreds of bytes.
MAX_VALUES = 1_000_000

# Top-level fields of one request.
MAX_FIELDS = 10_000
# What may follow a field's name: a colon, or whitespace before it.
_NAME_ENDS = (b'":', b'" ', b'"\n', b'"\r', b'"\t')
# Long strings are decoded and encoded in chunks of this size.
CHUNK_BYTES = 1024 * 1024
_ESCAPES = len(rb"\ud83d\ude00")
_QUOTE, _BACKSLASH = b'"\\'
_utf8_decoder = codecs.getincrementaldecoder("utf-8")
# An unterminated string matches to the end, so that it is scanned only once.
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)
_TOKENS = re.compile(_STRING.pattern + rb"|[{}\[\]:]", re.DOTALL)

_object_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_array_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_thread_pool = ThreadPoolExecutor(2, thread_name_prefix="large")


async def run(size: int, work: Callable[[*Ts], T], *args: *Ts) -> T:
    """Run `work` and return its result; in a thread if `size` is LARGE_BYTES or more."""
    if size < LARGE_BYTES:
        return work(*args)
    return await asyncio.get_running_loop().run_in_executor(_thread_pool, work, *args)


async def run_scan(size: int, work: Callable[[*Ts], T], *args: *Ts) -> T:
    """Run `work` that scans bytes in a few C calls; in a thread only for SCANNED_BYTES or more."""
    if size < SCANNED_BYTES:
        return work(*args)
    return await run(size, work, *args)


def contains(data: bytes, patterns: tuple[bytes, ...]) -> bool:
    """Whether the data contains any of the patterns.

    Searches a large body in chunks, so that one call does not block other threads. Uses `find`
    because `in` raises and catches an exception per call with bytes.
    """
    if len(data) < SCANNED_BYTES:
        for pattern in patterns:  # noqa: SIM110 - a generator takes longer than the search
            if data.find(pattern) >= 0:
                return True
        return False
    return any(
        data.find(pattern, offset, offset + CHUNK_BYTES + len(pattern) - 1) >= 0
        for offset in range(0, len(data), CHUNK_BYTES)
        for pattern in patterns
    )


def count(data: bytes, pattern: bytes, limit: int) -> int:
    """Count `pattern` (one or two bytes) in chunks, until the count exceeds `limit`."""
    total = 0
    for offset in range(0, len(data), CHUNK_BYTES):
        total += data.count(pattern, offset, offset + CHUNK_BYTES + len(pattern) - 1)
        if total > limit:
            break
    return total


def decode(data: bytes | msgspec.Raw, max_items: int = MAX_ITEMS) -> Any:
    """Decode the JSON of a request's body, a slice at a time if it is large.

    Raises:
        GatewayError: it has more than `max_items` items, or too many values.
        msgspec.MsgspecError: it is not valid JSON.
    """
    if len(memoryview(data)) < _MIN_COUNTED_BYTES:
        return msgspec.json.decode(data)
    body = bytes(data)
    if _has_many_values(body):
        raise too_many_items(f"the request contains more than {MAX_VALUES} values of JSON", None)
    if body[:1].isspace():
        body = body.lstrip()
    return _BoundedDecoder(max_items).decode(body, "")


def check_fields(body: bytes) -> None:
    """Raises GatewayError for a large body with more than MAX_FIELDS top-level fields.

    All of them would be decoded in one call, which blocks the event loop.
    """
    if not has_many_fields(body):
        return
    depth = fields = offset = 0
    while (token := _TOKENS.search(body, offset)) is not None:
        offset = token.end()
        match token[0]:
            case b"{" | b"[":
                depth += 1
            case b"}" | b"]":
                depth -= 1
            case b":":
                fields += depth == 1
                if fields > MAX_FIELDS:
                    raise too_many_items(f"the request has more than {MAX_FIELDS} fields", None)
            case _:
                pass  # a string


def has_many_fields(body: bytes) -> bool:
    """Whether a large body may have more than MAX_FIELDS fields, nested ones included."""
    return len(body) >= LARGE_BYTES and any(
        count(body, end, MAX_FIELDS) > MAX_FIELDS for end in _NAME_ENDS
    )


def _has_many_values(body: bytes) -> bool:
    """Whether there are more than MAX_VALUES values; commas within strings do not count."""
    if count(body, b",", MAX_VALUES) <= MAX_VALUES:
        return False
    commas = offset = 0
    while (start := body.find(b'"', offset)) >= 0:
        commas += body.count(b",", offset, start)
        offset = _string_end(body, start + 1)
        if commas > MAX_VALUES:
            break
    else:
        commas += body.count(b",", offset)
    return commas > MAX_VALUES


def _string_end(body: bytes, offset: int) -> int:
    """The offset after the quote that ends the string which contains `offset`."""
    while (end := body.find(b'"', offset)) >= 0:
        escapes = end
        while body[escapes - 1] == _BACKSLASH:
            escapes -= 1
        offset = end + 1
        if (end - escapes) % 2 == 0:
            return offset
    return len(body)


def check_utf8(body: bytes) -> None:
    """Raises UnicodeDecodeError unless `body` is UTF-8."""
    decode_chunk = _utf8_decoder().decode
    for offset in range(0, len(body), CHUNK_BYTES):
        decode_chunk(body[offset : offset + CHUNK_BYTES], final=offset + CHUNK_BYTES >= len(body))


def _long_text(view: memoryview) -> str:
    """A long JSON string, decoded in chunks."""
    text, offset, parts = bytes(view[1:-1]), 0, []
    while offset < len(text):
        end = offset + CHUNK_BYTES
        # Do not split an escape sequence, a surrogate pair or a character.
        while end < len(text) and (
            text.find(b"\\", end - _ESCAPES, end) >= 0 or 0x80 <= text[end] < 0xC0
        ):
            end += 1
        parts.append(msgspec.json.decode(b'"' + text[offset:end] + b'"'))
        offset = end
    return "".join(parts)


class _BoundedDecoder:
    """Decodes JSON in slices, with a budget of items and values."""

    def __init__(self, max_items: int) -> None:
        self._max_items = self._items = max_items
        self._values = MAX_VALUES

    def decode(self, data: bytes | msgspec.Raw, path: str) -> Any:
        """Decode a JSON value; `path` is the top-level field that contains it."""
        view = memoryview(data)
        if len(view) > CHUNK_BYTES and view[0] == _QUOTE:
            return _long_text(view)
        if len(view) < SLICE_BYTES or view[0] not in b"{[":
            return self._decode_counted(view, path)
        if view[0] == ord("{"):
            fields = _object_decoder.decode(data)
            self._take_values(len(fields), path)
            return {name: self.decode(raw, path or name) for name, raw in fields.items()}
        items = _array_decoder.decode(data)
        self._take_values(len(items), path)
        if items and bytes(memoryview(items[0])[:1]) == b"{":
            self._take_items(len(items), path)
        return [self.decode(item, path) for item in items]

    def _decode_counted(self, view: memoryview, path: str) -> Any:
        value = msgspec.json.decode(view)
        stack = [value]
        values = 0
        while stack:
            inner = stack.pop()
            if type(inner) is dict:
                values += len(inner)
                stack += inner.values()
            elif type(inner) is list:
                values += len(inner)
                stack += inner
                if inner and type(inner[0]) is dict:
                    self._take_items(len(inner), path)
        self._take_values(values, path)
        return value

    def _take_items(self, count: int, path: str) -> None:
        self._items -= count
        if self._items < 0:
            message = (
                f"{path}: the request contains more than {self._max_items} messages, parts, "
                "calls, results and tools, the limit for translated requests"
            )
            raise too_many_items(message, path)

    def _take_values(self, count: int, path: str) -> None:
        self._values -= count
        if self._values < 0:
            message = (
                f"{path}: the request contains more than {MAX_VALUES} values of JSON, the limit "
                "for translated requests"
            )
            raise too_many_items(message, path)


def too_many_items(message: str, path: str | None) -> GatewayError:
    """The error for a request with too many items or values."""
    return GatewayError(Error(kind="invalid_request", message=message, param=path, code="too_many"))


def encode_fields(fields: dict[str, msgspec.Raw]) -> bytes:
    """A JSON object from encoded values, which are copied only once."""
    chunks: list[bytes | msgspec.Raw] = []
    for name, value in fields.items():
        chunks += (b"," if chunks else b"{", msgspec.json.encode(name), b":", value)
    chunks.append(b"}" if chunks else b"{}")
    return b"".join(chunks)


def encode(body: Any, size: int) -> bytes:
    """The JSON of a body with a source of `size` bytes; a large one is encoded in chunks."""
    if size < LARGE_BYTES or type(body) is not dict:
        return msgspec.json.encode(body)
    chunks: list[bytes] = []
    _write_value(body, chunks)
    return b"".join(chunks)


def _write_value(value: Any, out: list[bytes]) -> None:
    match value:
        case dict() if value:
            separator = b"{"
            for name, inner in value.items():
                out += (separator, msgspec.json.encode(name), b":")
                _write_value(inner, out)
                separator = b","
            out.append(b"}")
        case list() if value:
            separator = b"["
            for inner in value:
                out.append(separator)
                _write_value(inner, out)
                separator = b","
            out.append(b"]")
        case str() if len(value) > CHUNK_BYTES:
            offsets = range(0, len(value), CHUNK_BYTES)
            chunks = (
                msgspec.json.encode(value[offset : offset + CHUNK_BYTES])[1:-1]
                for offset in offsets
            )
            out += (b'"', *chunks, b'"')
        case _:
            out.append(msgspec.json.encode(value))
