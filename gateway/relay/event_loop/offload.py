"""Work on large requests and answers, away from the event loop.

A body of LARGE_BYTES or more is decoded, checked, translated and encoded in a thread, a
piece at a time: one call into the JSON library keeps Python's lock, and everybody waits for
it. A few threads are enough: more would only take the lock from each other.
"""

from __future__ import annotations

import asyncio
import codecs
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

import msgspec

from gateway.canon.errors import Error, GatewayError

P = ParamSpec("P")
T = TypeVar("T")

# What is smaller takes a few milliseconds at most: a thread would cost more than it spares.
LARGE_BYTES = 128 * 1024
# The same for a body that is only looked through, not translated.
SCANNED_BYTES = 1024 * 1024
# Containers of JSON that are smaller are decoded in one call.
SLICE_BYTES = 64 * 1024
# Messages, parts, calls, results and tools in one request that is translated.
MAX_ITEMS = 20_000
# An item takes a dozen bytes at least: a smaller body can not have too many.
_MIN_COUNTED_BYTES = 8 * MAX_ITEMS
# Values of JSON in one request that is translated: a few bytes make an object of hundreds.
MAX_VALUES = 1_000_000

# Outermost fields of one request.
MAX_FIELDS = 10_000
# Long strings are read and written in pieces of this size.
CHUNK_BYTES = 1024 * 1024
_ESCAPES = len(rb"\ud83d\ude00")
_QUOTE, _BACKSLASH = b'"\\'
_utf8 = codecs.getincrementaldecoder("utf-8")
# One without an end takes all that is left, so that it is looked at once.
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)
_TOKENS = re.compile(_STRING.pattern + rb"|[{}\[\]:]", re.DOTALL)

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_array = msgspec.json.Decoder(list[msgspec.Raw])
_threads = ThreadPoolExecutor(2, thread_name_prefix="large")


async def run(size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` gives; in a thread if it is about so many bytes that the loop would wait."""
    if size < LARGE_BYTES:
        return work(*args, **kwargs)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_threads, lambda: work(*args, **kwargs))


async def scan(size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """As `run`, for work that looks through bytes in one or a few calls of C."""
    if size < SCANNED_BYTES:
        return work(*args, **kwargs)
    return await run(size, work, *args, **kwargs)


def contains(data: bytes, *patterns: bytes) -> bool:
    """Whether one of the patterns is in the data.

    In pieces: one look through a large body would hold everybody up. And not with `in`, which
    costs bytes an exception each.
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
    """As `bytes.count`, in pieces, until it is more than `limit`; for patterns of two at most."""
    total = 0
    for offset in range(0, len(data), CHUNK_BYTES):
        total += data.count(pattern, offset, offset + CHUNK_BYTES + len(pattern) - 1)
        if total > limit:
            break
    return total


def decode(data: bytes | msgspec.Raw, max_items: int = MAX_ITEMS) -> Any:
    """The JSON of a request's body, whatever its size, a slice at a time.

    Raises:
        GatewayError: it holds more than `max_items` items, or too many values.
        msgspec.MsgspecError: it is no JSON.
    """
    if len(memoryview(data)) < _MIN_COUNTED_BYTES:
        return msgspec.json.decode(data)
    body = bytes(data)
    if _has_many_values(body):
        raise too_many_items(f"the request holds more than {MAX_VALUES} values of JSON", None)
    if body[:1].isspace():
        body = body.lstrip()
    return _BoundedDecoder(max_items).decode(body, "")


def check_fields(body: bytes) -> None:
    """Raise GatewayError for a large body with more outermost fields than any request has.

    All of them are decoded in one call, which nobody else may interrupt.
    """
    if len(body) < LARGE_BYTES or count(body, b'":', MAX_FIELDS) <= MAX_FIELDS:
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
    """The place after the quote that ends the string in which `at` is."""
    while (end := body.find(b'"', offset)) >= 0:
        escapes = end
        while body[escapes - 1] == _BACKSLASH:
            escapes -= 1
        offset = end + 1
        if (end - escapes) % 2 == 0:
            return offset
    return len(body)


def check_utf8(body: bytes) -> None:
    """Raise UnicodeDecodeError unless it is UTF-8."""
    decode_chunk = _utf8().decode
    for offset in range(0, len(body), CHUNK_BYTES):
        decode_chunk(body[offset : offset + CHUNK_BYTES], final=offset + CHUNK_BYTES >= len(body))


def _long_text(view: memoryview) -> str:
    """A long string of JSON, decoded in pieces."""
    text, offset, parts = bytes(view[1:-1]), 0, []
    while offset < len(text):
        end = offset + CHUNK_BYTES
        # Not within an escape, nor a pair of them, nor a character.
        while end < len(text) and (
            text.find(b"\\", end - _ESCAPES, end) >= 0 or 0x80 <= text[end] < 0xC0
        ):
            end += 1
        parts.append(msgspec.json.decode(b'"' + text[offset:end] + b'"'))
        offset = end
    return "".join(parts)


class _BoundedDecoder:
    """What is left of the items and values that a body may hold."""

    def __init__(self, max_items: int) -> None:
        self._max_items = self._items = max_items
        self._values = MAX_VALUES

    def decode(self, data: bytes | msgspec.Raw, path: str) -> Any:
        """A value of JSON; `path` is the outermost field that it is in."""
        view = memoryview(data)
        if len(view) > CHUNK_BYTES and view[0] == _QUOTE:
            return _long_text(view)
        if len(view) < SLICE_BYTES or view[0] not in b"{[":
            return self._counted(view, path)
        if view[0] == ord("{"):
            fields = _object.decode(data)
            self._take_values(len(fields), path)
            return {name: self.decode(raw, path or name) for name, raw in fields.items()}
        items = _array.decode(data)
        self._take_values(len(items), path)
        if items and bytes(memoryview(items[0])[:1]) == b"{":
            self._take_items(len(items), path)
        return [self.decode(item, path) for item in items]

    def _counted(self, view: memoryview, path: str) -> Any:
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
                f"{path}: the request holds more than {self._max_items} messages, parts, calls, "
                "results and tools, which is the most that is translated"
            )
            raise too_many_items(message, path)

    def _take_values(self, count: int, path: str) -> None:
        self._values -= count
        if self._values < 0:
            message = (
                f"{path}: the request holds more than {MAX_VALUES} values of JSON, "
                "which is the most that is translated"
            )
            raise too_many_items(message, path)


def too_many_items(message: str, path: str | None) -> GatewayError:
    """The error for a request of too many parts."""
    return GatewayError(Error(kind="invalid_request", message=message, param=path, code="too_many"))


def encode_fields(fields: dict[str, msgspec.Raw]) -> bytes:
    """The JSON object of encoded values; they are copied once."""
    chunks: list[bytes | msgspec.Raw] = []
    for name, value in fields.items():
        chunks += (b"," if chunks else b"{", msgspec.json.encode(name), b":", value)
    chunks.append(b"}" if chunks else b"{}")
    return b"".join(chunks)


def encode(body: Any, size: int) -> bytes:
    """The JSON of a body made from so many bytes; of a large one, a piece at a time."""
    if size < LARGE_BYTES or type(body) is not dict:
        return msgspec.json.encode(body)
    chunks: list[bytes] = []
    _write(body, chunks)
    return b"".join(chunks)


def _write(value: Any, out: list[bytes]) -> None:
    match value:
        case dict() if value:
            separator = b"{"
            for name, inner in value.items():
                out += (separator, msgspec.json.encode(name), b":")
                _write(inner, out)
                separator = b","
            out.append(b"}")
        case list() if value:
            separator = b"["
            for inner in value:
                out.append(separator)
                _write(inner, out)
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
