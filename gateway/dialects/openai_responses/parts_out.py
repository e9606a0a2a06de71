"""Canonical parts -> content parts for a provider."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from gateway.canon.media import data_url, media_type_of, sniffed
from gateway.canon.request import (
    Audio,
    Document,
    Image,
    Native,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from gateway.dialects.fields import joined
from gateway.dialects.openai_responses.job import Job, refused
from gateway.dialects.openai_responses.names import NAME, Json


def parts_out(job: Job, parts: Iterable[Part]) -> list[Json]:
    """The content parts to send; what the target does not take is reported."""
    return [item for part in parts for item in _part_out(job, part)]


def _part_out(job: Job, part: Part) -> list[Json]:
    match part:
        case Text():
            if part.citations:
                job.drop(joined(part.at, "citations"), "OpenAI takes no sources as input")
            return [job.mark(_text(part.text), part.cache)]
        case Image():
            return [job.mark(_image_out(job, part), part.cache)]
        case Document():
            return _document_out(job, part)
        case Refusal():
            job.bend(part.at, "a refusal that is not the assistant's own is sent as text")
            return [_text(part.text)]
        case Native():
            return native_out(job, part)
        case Audio():
            raise refused(part.at, "OpenAI's Responses take no audio")
        case ToolCall() | ToolResult() | Reasoning():
            job.drop(part.at, "this part can not stand here in OpenAI's Responses")
            return []
        case _:
            assert_never(part)


def _text(words: str) -> Json:
    return {"type": "input_text", "text": words}


def native_out(job: Job, part: Native) -> list[Json]:
    """A part or item of this dialect as it came; another's is reported."""
    if part.dialect == NAME:
        return [part.data]
    kind = part.data.get("type", "unknown")
    job.drop(part.at, f"OpenAI's Responses have no part for a {kind} block")
    return []


def _left_out(job: Job, at: str, what: str, why: str) -> Json:
    """A note to the model in place of media that the target does not take."""
    job.drop(at, f"{why}; a note stands in its place")
    return _text(f"[{what} left out: {why}]")


def _image_out(job: Job, image: Image) -> Json:
    traits = job.traits
    if not traits.images:
        return _left_out(job, image.at, "image", "this model takes no images")
    out: Json = {"type": "input_image", "detail": image.detail or "auto"}
    if image.file_id is not None:
        return {**out, "file_id": _own_file(job, image.file_id, image.at)}
    if image.data is not None:
        media_type = media_type_of(image.data, image.media_type, "image/png")
        return {**out, "image_url": data_url(media_type, image.data)}
    if not traits.image_urls:
        return _left_out(job, image.at, "image", "this provider takes no image URLs")
    return {**out, "image_url": image.url or ""}


def _own_file(job: Job, file_id: str, at: str) -> str:
    """A file by id. `version` is set for Anthropic clients only: their ids name nothing here."""
    if job.request.version is not None:
        raise refused(at, "a file id of another provider can not be sent; send the file's data")
    return file_id


def _document_out(job: Job, document: Document) -> list[Json]:
    if document.citations:
        job.drop(joined(document.at, "citations"), "no equivalent in OpenAI's Responses")
    if document.text is not None or document.parts is not None:
        return _document_as_text(job, document)
    if document.context is not None:
        job.drop(joined(document.at, "context"), "no equivalent in OpenAI's Responses")
    if not job.traits.pdf:
        left_out = _left_out(job, document.at, "document", "this model takes no documents")
        return [job.mark(left_out, document.cache)]
    return [job.mark(_file_out(job, document), document.cache)]


def _file_out(job: Job, document: Document) -> Json:
    out: Json = {"type": "input_file"}
    if document.file_id is not None:
        out["file_id"] = _own_file(job, document.file_id, document.at)
        return out if document.title is None else {**out, "filename": document.title}
    if document.data is None:
        if document.title is not None:
            out["filename"] = document.title
        return {**out, "file_url": document.url or ""}
    media_type = document.media_type or sniffed(document.data) or "application/pdf"
    name = document.title or f"document.{media_type.rpartition('/')[2]}"
    return {**out, "filename": name, "file_data": data_url(media_type, document.data)}


def _document_as_text(job: Job, document: Document) -> list[Json]:
    """A text document as ordinary content under its title."""
    job.bend(document.at, "sent as text: OpenAI's Responses have no text documents")
    head = "\n".join(word for word in (document.title, document.context) if word)
    if document.text is not None:
        body = f"{head}\n\n{document.text}" if head else document.text
        return [job.mark(_text(body), document.cache)]
    inner = parts_out(job, document.parts or ())
    items = [_text(head), *inner] if head else inner
    if items:
        job.mark(items[-1], document.cache)
    return items
