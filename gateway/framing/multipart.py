"""Forms (`multipart/form-data`, RFC 7578): the parts of a body as it comes, and a body of parts.

Rules: what is passed on is written anew from what was understood, so no upstream can read
another form than the one that was checked here; a file's bytes are not decoded, and need
not be here: `Stretch` stands for them; what is not plainly a form is refused.
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
_LEGAL = re.compile(r"[0-9A-Za-z'()+_,\-./:=?]{1,70}")
_PARAM = re.compile(r';\s*([a-z]+)(\*?)="((?:[^"\\\r\n]|\\.)*)"|;\s*([a-z]+)(\*?)=([^\s;"]+)', re.I)
_KIND = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(?:\s*;[ -~]*)?")


class Malformed(ValueError):
    """The bytes are no form; the message says why, for the client."""


class Stretch(msgspec.Struct, frozen=True):
    """Bytes that are kept elsewhere: `size` of them from `start` on."""

    start: int
    size: int


class Part(msgspec.Struct, frozen=True):
    """One field of a form.

    `filename` is None for a plain value; `kind` is the content type it was sent with, or
    empty; `data` is its bytes, or `kept` says where they are.
    """

    name: str
    data: bytes | bytearray | memoryview = b""
    filename: str | None = None
    kind: str = ""
    kept: Stretch | None = None

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return len(self.data) if self.kept is None else self.kept.size

    @property
    def text(self) -> str:
        """The value of a plain field. Raises Malformed for one that is no UTF-8, or too long."""
        if self.kept is not None:
            raise Malformed(f"the field `{self.name[:80]}` is too long")
        try:
            return bytes(self.data).decode()
        except UnicodeDecodeError:
            raise Malformed(f"the field `{self.name[:80]}` is not UTF-8 text") from None


def boundary_of(content_type: str) -> str | None:
    """What stands between the parts; None where the content type is no form's."""
    match = _BOUNDARY.match(content_type.strip())
    found = (match[1] or match[2]) if match else None
    return found if found is not None and _LEGAL.fullmatch(found) else None


class Decoder:
    """Reads a form as it comes: its parts, each without data, and their data in pieces."""

    def __init__(self, boundary: str) -> None:
        self._between = b"\r\n--" + boundary.encode("ascii")
        # The first boundary may stand at the very beginning, without a line end before it.
        self._held = b"\r\n"
        self._step: Callable[[list[Part | bytes]], bool] = self._preamble
        self._parts = 0

    def feed(self, data: bytes) -> list[Part | bytes]:
        """What is ready: a Part where one begins, then its bytes. Raises Malformed."""
        self._held += data
        found: list[Part | bytes] = []
        while self._step(found):
            pass
        return found

    def close(self) -> None:
        """The body is over. Raises Malformed if the form is not."""
        if self._step == self._preamble:
            raise Malformed("the form does not begin with its boundary")
        if self._step != self._epilogue:
            raise Malformed("the form breaks off before its last boundary")

    # Each step takes what it can from what is held; true if another may go on.

    def _preamble(self, found: list[Part | bytes]) -> bool:
        end = self._held.find(self._between)
        if end < 0:
            self._held = self._held[1 - len(self._between) :]
            return False
        self._after(end)
        return True

    def _after(self, end: int) -> None:
        self._held = self._held[end + len(self._between) :]
        self._step = self._mark

    def _mark(self, found: list[Part | bytes]) -> bool:
        """What follows a boundary: a part, or nothing more."""
        if len(self._held) < 2:
            return False
        if self._held.startswith(b"--"):
            self._step = self._epilogue
            return True
        if not self._held.startswith(b"\r\n"):
            raise Malformed("a boundary of the form is not followed by a line end")
        if self._parts >= MAX_PARTS:
            raise Malformed(f"the form has more than {MAX_PARTS} fields")
        self._parts += 1
        self._step = self._head
        return True

    def _head(self, found: list[Part | bytes]) -> bool:
        """The head of a part, with the line end before it and the empty line after it."""
        stop = self._held.find(b"\r\n\r\n", 2, MAX_HEAD_BYTES + 2)
        # With the empty line's own end a boundary may begin already: that is seen only now.
        seen = stop + 2 + len(self._between) if stop >= 0 else MAX_HEAD_BYTES + 2
        whole = len(self._held) >= seen
        if self._held.find(self._between, 0, seen) >= 0 or (whole and stop < 0):
            raise Malformed("a field of the form has no head, or one that is too long")
        if not whole:
            return False
        found.append(_part(self._held[2:stop]))
        self._held = self._held[stop + 4 :]
        self._step = self._data
        return True

    def _data(self, found: list[Part | bytes]) -> bool:
        end = self._held.find(self._between)
        if end >= 0:
            if end:
                found.append(self._held[:end])
            self._after(end)
            return True
        ready = len(self._held) - len(self._between) + 1
        if ready > 0:
            found.append(self._held[:ready])
            self._held = self._held[ready:]
        return False

    def _epilogue(self, found: list[Part | bytes]) -> bool:
        self._held = b""
        return False


def _part(head: bytes) -> Part:
    headers = _headers(head)
    told = headers.get("content-disposition", "")
    if not told.lower().startswith("form-data"):
        raise Malformed("a field of the form has no `content-disposition: form-data`")
    if headers.get("content-transfer-encoding", "binary").lower() not in {"binary", "8bit", "7bit"}:
        raise Malformed("a field of the form is encoded; send its bytes as they are")
    params = _params(told[len("form-data") :])
    if not params.get("name"):
        raise Malformed("a field of the form has no name")
    kind = headers.get("content-type", "")
    if kind and not _KIND.fullmatch(kind):
        raise Malformed(f"the content type of `{params['name'][:80]}` is not legal")
    return Part(params["name"], filename=params.get("filename"), kind=kind)


def _headers(head: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    try:
        text = head.decode()
    except UnicodeDecodeError:
        raise Malformed("the head of a field is not UTF-8") from None
    for line in text.split("\r\n"):
        name, colon, value = line.partition(":")
        lower = name.lower()
        if not colon or name != name.strip() or lower in found or "\n" in line or "\r" in line:
            raise Malformed("the head of a field is not legal")
        found[lower] = value.strip()
    return found


def _params(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = _PARAM.match(text, at)
        if match is None:
            if text[at:].strip() in {"", ";"}:
                break
            raise Malformed("the `content-disposition` of a field is not legal")
        at = match.end()
        name, star = (match[1] or match[4]).lower(), match[2] or match[5]
        if star:
            value = match[6] or match[3] or ""
            found.setdefault(f"{name}*", unquote(value.rpartition("'")[2], errors="replace"))
            continue
        if name in found:
            raise Malformed("a field of the form is named twice in its head")
        value = match[3] if match[3] is not None else match[6]
        found[name] = re.sub(r'\\(["\\])', r"\1", value)
    if "filename" not in found and "filename*" in found:
        found["filename"] = found["filename*"]
    return found


def encode(parts: Iterable[Part], boundary: str) -> list[bytes | Stretch]:
    """The body of a form, in pieces that belong together in this order.

    `boundary` must not stand in any part: that of the form they are from.
    """
    mark = b"--" + boundary.encode("ascii")
    out: list[bytes | Stretch] = []
    ready = bytearray()
    for part in parts:
        head = f'content-disposition: form-data; name="{_quoted(part.name)}"'
        if part.filename is not None:
            head += f'; filename="{_quoted(part.filename)}"'
        if part.kind:
            head += f"\r\ncontent-type: {part.kind}"
        ready += b"".join((mark, b"\r\n", head.encode(), b"\r\n\r\n"))
        if part.kept is None:
            ready += part.data
        else:
            out += (bytes(ready), part.kept)
            ready.clear()
        ready += b"\r\n"
    return [*out, bytes(ready + mark + b"--\r\n")]


def _quoted(text: str) -> str:
    """As browsers write it (WHATWG HTML, multipart/form-data): no escape but these."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
