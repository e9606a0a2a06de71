"""Forms (`multipart/form-data`, RFC 7578): the parts of a whole body, and a body of parts.

Rules: what is passed on is written anew from what was understood, so no upstream can read
another form than the one that was checked here; a file's bytes are neither decoded nor
copied until the new body is joined; what is not plainly a form is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
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


class Part(msgspec.Struct, frozen=True):
    """One field of a form.

    `filename` is None for a plain value; `kind` is the content type it was sent with, or
    empty; `data` is a view of the body it came in.
    """

    name: str
    data: bytes | memoryview
    filename: str | None = None
    kind: str = ""

    @property
    def text(self) -> str:
        """The value of a plain field. Raises Malformed for bytes that are no UTF-8."""
        try:
            return bytes(self.data).decode()
        except UnicodeDecodeError:
            raise Malformed(f"the field `{self.name[:80]}` is not UTF-8 text") from None


def boundary_of(content_type: str) -> str | None:
    """What stands between the parts; None where the content type is no form's."""
    match = _BOUNDARY.match(content_type.strip())
    found = (match[1] or match[2]) if match else None
    return found if found is not None and _LEGAL.fullmatch(found) else None


def parse(body: bytes, boundary: str) -> list[Part]:
    """The parts in their order. Raises Malformed."""
    mark = b"--" + boundary.encode("ascii")
    between = b"\r\n" + mark
    if body.startswith(mark):
        at = len(mark)
    elif (first := body.find(between)) >= 0:
        at = first + len(between)
    else:
        raise Malformed("the form does not begin with its boundary")
    view = memoryview(body)
    parts: list[Part] = []
    while body[at : at + 2] != b"--":
        if body[at : at + 2] != b"\r\n":
            raise Malformed("a boundary of the form is not followed by a line end")
        end = body.find(between, at)
        if end < 0:
            raise Malformed("the form breaks off before its last boundary")
        if len(parts) >= MAX_PARTS:
            raise Malformed(f"the form has more than {MAX_PARTS} fields")
        parts.append(_part(body, view, at + 2, end))
        at = end + len(between)
    return parts


def _part(body: bytes, view: memoryview, start: int, end: int) -> Part:
    stop = body.find(b"\r\n\r\n", start, min(end, start + MAX_HEAD_BYTES))
    if stop < 0:
        raise Malformed("a field of the form has no head, or one that is too long")
    headers = _headers(body[start:stop])
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
    return Part(params["name"], view[stop + 4 : end], params.get("filename"), kind)


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


def encode(parts: Iterable[Part], boundary: str) -> bytes:
    """The body of a form. `boundary` must not stand in any part: that of the form they are from."""
    mark = b"--" + boundary.encode("ascii")
    pieces: list[bytes | memoryview] = []
    for part in parts:
        head = f'content-disposition: form-data; name="{_quoted(part.name)}"'
        if part.filename is not None:
            head += f'; filename="{_quoted(part.filename)}"'
        if part.kind:
            head += f"\r\ncontent-type: {part.kind}"
        pieces += (mark, b"\r\n", head.encode(), b"\r\n\r\n", part.data, b"\r\n")
    pieces += (mark, b"--\r\n")
    return b"".join(pieces)


def _quoted(text: str) -> str:
    """As browsers write it (WHATWG HTML, multipart/form-data): no escape but these."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
