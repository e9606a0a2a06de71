"""Media in JSON: data URLs, and the type of a file in base64."""

from __future__ import annotations

import base64
import binascii
import mimetypes

# The media type that marks a document as a search result, which has a source.
SEARCH_RESULT_MEDIA_TYPE = "application/x-search-result"
# The first bytes of a file -> its media type.
_MAGIC_BYTES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
)
# The kinds of RIFF files by bytes 8 to 12, and of ISO media files by the same.
_REGISTERED_TYPES = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "audio/mp3": "audio/mpeg",
}
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
_ISO = {b"heic": "image/heic", b"heix": "image/heic", b"mif1": "image/heif", b"avif": "image/avif"}


# Media type -> the extension of such files, where it is not the second half of the type.
_OFFICE = "application/vnd.openxmlformats-officedocument"
_EXTENSIONS = {
    "text/plain": "txt",
    "text/markdown": "md",
    "application/msword": "doc",
    "application/vnd.ms-excel": "xls",
    "application/vnd.ms-powerpoint": "ppt",
    f"{_OFFICE}.wordprocessingml.document": "docx",
    f"{_OFFICE}.spreadsheetml.sheet": "xlsx",
    f"{_OFFICE}.presentationml.presentation": "pptx",
}


def default_file_name(media_type: str) -> str:
    """A name for a file without one; its extension shows its type."""
    return f"document.{_EXTENSIONS.get(media_type) or media_type.rpartition('/')[2]}"


def registered_media_type(media_type: str | None) -> str | None:
    """A media type by its registered name, which providers require."""
    return _REGISTERED_TYPES.get(media_type, media_type) if media_type is not None else None


def data_url(media_type: str, data: str) -> str:
    """The data URL of base64 text."""
    return f"data:{media_type};base64,{data}"


def parse_data_url(url: str) -> tuple[str | None, str] | None:
    """`(media type, base64 text)` of a data URL; None for any other URL.

    A data URL that is not base64 counts as another URL.
    """
    if url[:5].lower() != "data:":
        return None
    head, comma, data = url[5:].partition(",")
    media_type, *options = head.lower().split(";")
    if not comma or "base64" not in options:
        return None
    return registered_media_type(media_type.strip()) or None, join_lines(data)


def join_lines(data: str) -> str:
    """Base64 text without line breaks, which many encoders write and few providers accept."""
    return "".join(data.split()) if "\n" in data or "\r" in data else data


def sniff_base64(data: str) -> str | None:
    """The media type that the first bytes of base64 text show; None if unknown."""
    try:
        head = base64.b64decode(data[:24].encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        return None
    return sniff_bytes(head)


def sniff_bytes(head: bytes) -> str | None:
    """The media type that the first bytes of a file show (16 are enough); None if unknown."""
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _ISO.get(head[8:12])
    return next((media for magic, media in _MAGIC_BYTES if head.startswith(magic)), None)


def guess_type_by_name(name: str) -> str | None:
    """The media type of a file's extension; None if it has none or an unknown one."""
    return mimetypes.guess_type(name)[0]


def guess_file_type(data: str, declared_type: str | None, file_name: str | None) -> str:
    """The media type of a file: as declared, by its bytes, by its name, else that of a PDF."""
    if declared_type is not None and declared_type != "application/octet-stream":
        return declared_type
    type_by_name = mimetypes.guess_type(file_name)[0] if file_name else None
    return sniff_base64(data) or type_by_name or declared_type or "application/pdf"


def resolve_media_type(data: str, declared_type: str | None, default: str) -> str:
    """The media type to send: by the bytes, else as declared, else `default`."""
    return sniff_base64(data) or registered_media_type(declared_type) or default


def decode_text_file(data: str | None, declared_type: str | None) -> str | None:
    """The text of a plain text file; None for another type, or if it is not UTF-8."""
    if data is None or not (sniff_base64(data) or declared_type or "").startswith("text/"):
        return None
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, ValueError):
        return None
