"""Media by URL in a request: which a target needs as bytes, and the request with them in."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping

import msgspec

from gateway.canon.adaptation import Adaptation, approximated
from gateway.canon.errors import Error, GatewayError
from gateway.canon.request import Document, Image, Part, Request, ToolResult
from gateway.canon.traits import Traits
from gateway.dialects.base import Dialect
from gateway.relay.media_address import without_query
from gateway.relay.media_fetch import Fetched

# How to have it fetched, for those who read why it was not sent.
HINT = "or have the gateway fetch it: DRAGOMAN_FETCH_MEDIA"

Media = Image | Document


def needed(request: Request, dialect: Dialect, traits: Traits) -> list[Media]:
    """The parts whose URL a target does not open itself, in their order."""
    found = (part for turn in request.turns for part in _by_url(turn.parts))
    return [part for part in found if dialect.needs_bytes(part, traits)]


def _by_url(parts: tuple[Part, ...]) -> Iterator[Media]:
    for part in parts:
        if isinstance(part, Image | Document) and part.url is not None:
            yield part
        elif isinstance(part, ToolResult) or (isinstance(part, Document) and part.parts):
            yield from _by_url(part.parts or ())


def misfit(part: Media, fetched: Fetched) -> str | None:
    """Why a file can not be what the part says it is; None if it can."""
    kind = fetched.media_type
    if isinstance(part, Image):
        return None if kind.startswith("image/") else f"it is {_named(kind)}, not an image"
    if not kind or kind.startswith(("image/", "audio/", "video/")):
        return f"it is {_named(kind)}, not a document"
    if kind.startswith("text/") and _text(fetched) is None:
        return "it is text in another encoding than UTF-8"
    return None


def _named(kind: str) -> str:
    return kind[:60] or "of an unknown type"


def with_bytes(
    request: Request, dialect: Dialect, traits: Traits, media: Mapping[str, Fetched]
) -> tuple[Request, tuple[Adaptation, ...]]:
    """The request with what was fetched in place of its URL, where the target needs that."""
    if not media:
        return request, ()
    if not media:
        return request, ()
    report: list[Adaptation] = []

    def swapped(part: Media) -> Media:
        found = media.get(part.url or "")
        if found is None or not dialect.needs_bytes(part, traits):
            return part
        why = "fetched: this provider takes no URLs"
        told = f"{found.media_type}, {found.size} bytes"
        report.append(approximated(part.at, why, before=without_query(part.url or ""), after=told))
        return _held(part, found)

    turns = tuple(
        turn
        if (parts := _put(turn.parts, swapped)) is turn.parts
        else msgspec.structs.replace(turn, parts=parts)
        for turn in request.turns
    )
    return (msgspec.structs.replace(request, turns=turns) if report else request), tuple(report)


def _put(parts: tuple[Part, ...], swapped: Callable[[Media], Media]) -> tuple[Part, ...]:
    """The parts with others in their place; the same tuple where none is another."""
    out: list[Part] = []
    for part in parts:
        if isinstance(part, Image | Document) and part.url is not None:
            out.append(swapped(part))
        elif isinstance(part, ToolResult) or (isinstance(part, Document) and part.parts):
            inner = _put(part.parts or (), swapped)
            same = inner is part.parts
            out.append(part if same else msgspec.structs.replace(part, parts=inner))
        else:
            out.append(part)
    same = all(new is old for new, old in zip(out, parts, strict=True))
    return parts if same else tuple(out)


def _held(part: Media, found: Fetched) -> Media:
    """The part with the bytes; a text is a document of text, which more providers take."""
    if isinstance(part, Document) and found.media_type.startswith("text/"):
        words = _text(found)
        if words is not None:
            return msgspec.structs.replace(part, url=None, text=words, media_type=None)
    return msgspec.structs.replace(
        part, url=None, data=found.data, media_type=found.media_type or part.media_type
    )


def _text(found: Fetched) -> str | None:
    try:
        return base64.b64decode(found.data).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def hinted(report: tuple[Adaptation, ...], missing: list[Media]) -> tuple[Adaptation, ...]:
    """The report with how to have it fetched, where a URL is what could not be carried."""
    places = {part.at for part in missing}
    return tuple(
        msgspec.structs.replace(item, why=f"{item.why}; {HINT}") if item.path in places else item
        for item in report
    )


def hinted_error(error: GatewayError, missing: list[Media]) -> GatewayError:
    """The same refusal, with how to have it fetched where a URL is what it is about."""
    told = error.error
    if told.param is None or told.param not in {part.at for part in missing}:
        return error
    return GatewayError(msgspec.structs.replace(told, message=f"{told.message}, {HINT}"))


def refused(part: Media, why: str) -> GatewayError:
    """The error for media that could not be fetched; it names the client's field."""
    what = "image" if isinstance(part, Image) else "document"
    message = f"{part.at}: the {what} could not be fetched: {why}"
    return GatewayError(Error(kind="invalid_request", message=message, param=part.at or None))


def shown(content: bytes, media: Mapping[str, Fetched]) -> bytes:
    """A body for the log without the bytes of fetched files, whose URL the client's body has."""
    for found in media.values():
        note = f"[{found.size} bytes of {found.media_type}, fetched]"
        content = content.replace(found.data.encode("ascii"), note.encode())
    return content
