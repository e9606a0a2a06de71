"""Media by URL in a request: which parts a target needs inline, and how they are inlined."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping

import msgspec

from gateway.canon.adaptation import Adaptation, approximated_field
from gateway.canon.errors import Error, GatewayError
from gateway.canon.request import Document, Image, Part, Request, ToolResult
from gateway.canon.traits import Traits
from gateway.dialects.base import Dialect
from gateway.relay.upstream.media_fetch import FetchedFile, without_query

# Appended to messages about media that was not sent.
HINT = "or let the gateway fetch it by setting DRAGOMAN_FETCH_MEDIA"

Media = Image | Document


def parts_to_fetch(request: Request, dialect: Dialect, traits: Traits) -> list[Media]:
    """The parts whose URL a target does not fetch itself, in order."""
    parts = (part for turn in request.turns for part in _parts_by_url(turn.parts))
    return [part for part in parts if dialect.needs_inline_media(part, traits)]


def _parts_by_url(parts: tuple[Part, ...]) -> Iterator[Media]:
    for part in parts:
        if isinstance(part, Image | Document) and part.url is not None:
            yield part
        elif isinstance(part, ToolResult) or (isinstance(part, Document) and part.parts):
            yield from _parts_by_url(part.parts or ())


def type_mismatch(part: Media, fetched_media: FetchedFile) -> str | None:
    """Why a file does not match the type of its part; None if it does."""
    kind = fetched_media.media_type
    if isinstance(part, Image):
        return (
            None if kind.startswith("image/") else f"it is {_media_type_label(kind)}, not an image"
        )
    if not kind or kind.startswith(("image/", "audio/", "video/")):
        return f"it is {_media_type_label(kind)}, not a document"
    if kind.startswith("text/") and _decode_text(fetched_media) is None:
        return "it is text in an encoding other than UTF-8"
    return None


def _media_type_label(kind: str) -> str:
    return kind[:60] or "of an unknown type"


def inline_media(
    request: Request, dialect: Dialect, traits: Traits, media: Mapping[str, FetchedFile]
) -> tuple[Request, tuple[Adaptation, ...]]:
    """The request with fetched files instead of their URLs, if the target needs them inline."""
    if not media:
        return request, ()
    report: list[Adaptation] = []

    def inline(part: Media) -> Media:
        file = media.get(part.url or "")
        if file is None or not dialect.needs_inline_media(part, traits):
            return part
        reason = "fetched: this provider does not support URLs"
        description = f"{file.media_type}, {file.size} bytes"
        report.append(
            approximated_field(
                part.path, reason, before=without_query(part.url or ""), after=description
            )
        )
        return _with_content(part, file)

    turns = tuple(
        turn
        if (parts := _replace_parts(turn.parts, inline)) is turn.parts
        else msgspec.structs.replace(turn, parts=parts)
        for turn in request.turns
    )
    return (msgspec.structs.replace(request, turns=turns) if report else request), tuple(report)


def _replace_parts(parts: tuple[Part, ...], inline: Callable[[Media], Media]) -> tuple[Part, ...]:
    """The parts with replacements; the same tuple if nothing changes."""
    out: list[Part] = []
    for part in parts:
        if isinstance(part, Image | Document) and part.url is not None:
            out.append(inline(part))
        elif isinstance(part, ToolResult) or (isinstance(part, Document) and part.parts):
            inner_parts = _replace_parts(part.parts or (), inline)
            unchanged = inner_parts is part.parts
            out.append(part if unchanged else msgspec.structs.replace(part, parts=inner_parts))
        else:
            out.append(part)
    unchanged = all(new is old for new, old in zip(out, parts, strict=True))
    return parts if unchanged else tuple(out)


def _with_content(part: Media, file: FetchedFile) -> Media:
    """The part with its bytes; text becomes a text document, which more providers accept."""
    if isinstance(part, Document) and file.media_type.startswith("text/"):
        text = _decode_text(file)
        if text is not None:
            return msgspec.structs.replace(part, url=None, text=text, media_type=None)
    return msgspec.structs.replace(
        part, url=None, data=file.data, media_type=file.media_type or part.media_type
    )


def _decode_text(file: FetchedFile) -> str | None:
    try:
        return base64.b64decode(file.data).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def add_fetch_hints(
    report: tuple[Adaptation, ...], missing_parts: list[Media]
) -> tuple[Adaptation, ...]:
    """The report with a hint about fetching for each URL that could not be sent."""
    paths = {part.path for part in missing_parts}
    return tuple(
        msgspec.structs.replace(item, reason=f"{item.reason}; {HINT}")
        if item.path in paths
        else item
        for item in report
    )


def add_fetch_hint(error: GatewayError, missing_parts: list[Media]) -> GatewayError:
    """The error with a hint about fetching, if it is about a URL."""
    refusal = error.error
    if refusal.param is None or refusal.param not in {part.path for part in missing_parts}:
        return error
    return GatewayError(msgspec.structs.replace(refusal, message=f"{refusal.message}, {HINT}"))


def fetch_error(part: Media, reason: str) -> GatewayError:
    """The error for media that could not be fetched; it names the client's field."""
    media_kind = "image" if isinstance(part, Image) else "document"
    message = f"{part.path}: the {media_kind} could not be fetched: {reason}"
    return GatewayError(Error(kind="invalid_request", message=message, param=part.path or None))


def without_file_bytes(content: bytes, media: Mapping[str, FetchedFile]) -> bytes:
    """A body for the log without the bytes of fetched files; the client's body has their URLs."""
    for file in media.values():
        note = f"[{file.size} bytes of {file.media_type}, fetched]"
        content = content.replace(file.data.encode("ascii"), note.encode())
    return content
