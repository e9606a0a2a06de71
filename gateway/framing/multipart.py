"""Forms (`multipart/form-data`, RFC 7578): an incremental parser and an encoder.

A form is encoded again from its parsed parts, so that an upstream cannot read it
differently from what was validated here. File bytes are not decoded and may be stored
elsewhere: `ByteRange` refers to them. Anything ambiguous is rejected.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from urllib.parse import unquote

import msgspec

MAX_PARTS = 256
MAX_HEAD_BYTES = 8 * 1024
_BOUNDARY = re.compile(
    r"""multipart/form-data\s*;(?:[^"]*;)?\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))\s*(?:;|$)""",
    re.IGNORECASE,
)
_VALID_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=?]{1,70}")
_PARAM = re.compile(r';\s*([a-z]+)(\*?)="((?:[^"\\\r\n]|\\.)*)"|;\s*([a-z]+)(\*?)=([^\s;"]+)', re.I)
_CONTENT_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(?:\s*;[ -~]*)?")


class MalformedForm(ValueError):
    """The bytes are not a valid form; the message explains why to the client."""


class ByteRange(msgspec.Struct, frozen=True):
    """A range of bytes stored elsewhere: `length` bytes from offset `start`."""

    start: int
    length: int


class Part(msgspec.Struct, frozen=True):
    """One field of a form.

    `filename` is None for a field that is not a file; `content_type` is the field's own,
    or empty; `data` is its bytes unless `stored_range` refers to them.
    """

    name: str
    data: bytes | bytearray | memoryview = b""
    filename: str | None = None
    content_type: str = ""
    stored_range: ByteRange | None = None

    @property
    def size(self) -> int:
        """The number of bytes of the field's value."""
        return len(self.data) if self.stored_range is None else self.stored_range.length

    @property
    def text(self) -> str:
        """The value as text. Raises MalformedForm if it is not UTF-8 or is too long."""
        if self.stored_range is not None:
            raise MalformedForm(f"the field `{self.name[:80]}` is too long")
        try:
            return bytes(self.data).decode()
        except UnicodeDecodeError:
            raise MalformedForm(f"the field `{self.name[:80]}` is not UTF-8 text") from None


def parse_boundary(content_type: str) -> str | None:
    """Return the boundary in a content type; None if it is not that of a form."""
    match = _BOUNDARY.match(content_type.strip())
    boundary = (match[1] or match[2]) if match else None
    return boundary if boundary is not None and _VALID_BOUNDARY.fullmatch(boundary) else None


class Decoder:
    """Parses a form incrementally into parts without data, each followed by its data."""

    def __init__(self, boundary: str) -> None:
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        # The first boundary may start the body, without a line end before it.
        self._buffer = b"\r\n"
        self._step: Callable[[list[Part | bytes]], bool] = self._read_preamble
        self._part_count = 0

    def feed(self, data: bytes) -> list[Part | bytes]:
        """Return a Part at the start of each field, then its bytes. Raises MalformedForm."""
        self._buffer += data
        items: list[Part | bytes] = []
        while self._step(items):
            pass
        return items

    def close(self) -> None:
        """End the body. Raises MalformedForm if the form is incomplete."""
        if self._step == self._read_preamble:
            raise MalformedForm("the form does not begin with its boundary")
        if self._step != self._discard_epilogue:
            raise MalformedForm("the form ends before its final boundary")

    # Each step consumes what it can of the buffer and returns whether the next may run.

    def _read_preamble(self, items: list[Part | bytes]) -> bool:
        end = self._buffer.find(self._delimiter)
        if end < 0:
            self._buffer = self._buffer[1 - len(self._delimiter) :]
            return False
        self._skip_delimiter(end)
        return True

    def _skip_delimiter(self, end: int) -> None:
        self._buffer = self._buffer[end + len(self._delimiter) :]
        self._step = self._read_boundary_suffix

    def _read_boundary_suffix(self, items: list[Part | bytes]) -> bool:
        """Read what follows a boundary: the start of a part or the end of the form."""
        if len(self._buffer) < 2:
            return False
        if self._buffer.startswith(b"--"):
            self._step = self._discard_epilogue
            return True
        if not self._buffer.startswith(b"\r\n"):
            raise MalformedForm("a boundary of the form is not followed by a line break")
        if self._part_count >= MAX_PARTS:
            raise MalformedForm(f"the form has more than {MAX_PARTS} fields")
        self._part_count += 1
        self._step = self._read_head
        return True

    def _read_head(self, items: list[Part | bytes]) -> bool:
        """Read the head of a part, from its line end to the empty line after it."""
        head_end = self._buffer.find(b"\r\n\r\n", 2, MAX_HEAD_BYTES + 2)
        # A boundary may begin with the line end of the empty line itself.
        scan_end = head_end + 2 + len(self._delimiter) if head_end >= 0 else MAX_HEAD_BYTES + 2
        is_complete = len(self._buffer) >= scan_end
        if self._buffer.find(self._delimiter, 0, scan_end) >= 0 or (is_complete and head_end < 0):
            raise MalformedForm("a field of the form has no headers, or they are too long")
        if not is_complete:
            return False
        items.append(_parse_part(self._buffer[2:head_end]))
        self._buffer = self._buffer[head_end + 4 :]
        self._step = self._read_data
        return True

    def _read_data(self, items: list[Part | bytes]) -> bool:
        end = self._buffer.find(self._delimiter)
        if end >= 0:
            if end:
                items.append(self._buffer[:end])
            self._skip_delimiter(end)
            return True
        ready_bytes = len(self._buffer) - len(self._delimiter) + 1
        if ready_bytes > 0:
            items.append(self._buffer[:ready_bytes])
            self._buffer = self._buffer[ready_bytes:]
        return False

    def _discard_epilogue(self, items: list[Part | bytes]) -> bool:
        self._buffer = b""
        return False


def _parse_part(head: bytes) -> Part:
    headers = _parse_headers(head)
    disposition = headers.get("content-disposition", "")
    if not disposition.lower().startswith("form-data"):
        raise MalformedForm("a field of the form has no `content-disposition: form-data`")
    if headers.get("content-transfer-encoding", "binary").lower() not in {"binary", "8bit", "7bit"}:
        raise MalformedForm("a field of the form has a transfer encoding; send its bytes unencoded")
    params = _parse_params(disposition[len("form-data") :])
    if not params.get("name"):
        raise MalformedForm("a field of the form has no name")
    content_type = headers.get("content-type", "")
    if content_type and not _CONTENT_TYPE.fullmatch(content_type):
        raise MalformedForm(f"the content type of `{params['name'][:80]}` is invalid")
    return Part(params["name"], filename=params.get("filename"), content_type=content_type)


def _parse_headers(head: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    try:
        text = head.decode()
    except UnicodeDecodeError:
        raise MalformedForm("the headers of a field are not UTF-8") from None
    for line in text.split("\r\n"):
        name, colon, value = line.partition(":")
        lower_name = name.lower()
        if (
            not colon
            or name != name.strip()
            or lower_name in headers
            or "\n" in line
            or "\r" in line
        ):
            raise MalformedForm("the headers of a field are invalid")
        headers[lower_name] = value.strip()
    return headers


def _parse_params(text: str) -> dict[str, str]:
    params: dict[str, str] = {}
    offset = 0
    while offset < len(text):
        match = _PARAM.match(text, offset)
        if match is None:
            if text[offset:].strip() in {"", ";"}:
                break
            raise MalformedForm("the `content-disposition` of a field is invalid")
        offset = match.end()
        name, is_extended = (match[1] or match[4]).lower(), match[2] or match[5]
        if is_extended:
            value = match[6] or match[3] or ""
            params.setdefault(f"{name}*", unquote(value.rpartition("'")[2], errors="replace"))
            continue
        if name in params:
            raise MalformedForm("the `content-disposition` of a field repeats a parameter")
        value = match[3] if match[3] is not None else match[6]
        params[name] = re.sub(r'\\(["\\])', r"\1", value)
    if "filename" not in params and "filename*" in params:
        params["filename"] = params["filename*"]
    return params


def encode(parts: Iterable[Part], boundary: str) -> list[bytes | ByteRange]:
    """Return the body of a form as consecutive segments.

    `boundary` must not occur in any part: use that of the form the parts come from.
    """
    delimiter = b"--" + boundary.encode("ascii")
    segments: list[bytes | ByteRange] = []
    buffer = bytearray()
    for part in parts:
        head = f'content-disposition: form-data; name="{_quote_name(part.name)}"'
        if part.filename is not None:
            head += f'; filename="{_quote_name(part.filename)}"'
        if part.content_type:
            head += f"\r\ncontent-type: {part.content_type}"
        buffer += b"".join((delimiter, b"\r\n", head.encode(), b"\r\n\r\n"))
        if part.stored_range is None:
            buffer += part.data
        else:
            segments += (bytes(buffer), part.stored_range)
            buffer.clear()
        buffer += b"\r\n"
    return [*segments, bytes(buffer + delimiter + b"--\r\n")]


def _quote_name(text: str) -> str:
    """Escape a name as browsers do (WHATWG HTML, multipart/form-data)."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
