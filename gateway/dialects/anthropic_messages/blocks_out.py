"""Canonical parts -> content blocks for a provider."""

from __future__ import annotations

import base64
import binascii
from typing import assert_never

from gateway.canon.errors import Error, GatewayError, invalid
from gateway.canon.media import media_type_of, sniffed
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
from gateway.canon.signature import belongs
from gateway.dialects.anthropic_messages.citations import can_be_replayed, citation_out
from gateway.dialects.anthropic_messages.job import Job
from gateway.dialects.anthropic_messages.names import NAME, SEARCH_RESULT, Json
from gateway.dialects.fields import joined

_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")


def blocks_out(job: Job, parts: tuple[Part, ...]) -> list[Json]:
    """The blocks to send; what the target does not take is reported."""
    return [block for part in parts for block in _part_out(job, part)]


def _part_out(job: Job, part: Part) -> list[Json]:
    match part:
        case Text():
            return text_out(job, part)
        case Image():
            return [job.mark(_image_out(job, part), part.cache)]
        case Document():
            return [job.mark(_document_out(job, part), part.cache)]
        case ToolCall():
            return [job.mark(_call_out(job, part), part.cache)]
        case ToolResult():
            return [job.mark(_result_out(job, part), part.cache)]
        case Reasoning():
            return _thinking_out(job, part)
        case Refusal():
            job.bend(part.at, "a refusal in the history is sent as text")
            return text_out(job, Text(text=part.text, at=part.at))
        case Native():
            return _native_out(job, part)
        case Audio():
            raise _refused(part.at, "Anthropic's Messages take no audio")
        case _:
            assert_never(part)


def _refused(at: str, why: str) -> GatewayError:
    return GatewayError(Error(kind="unsupported_param", message=f"{at}: {why}", param=at))


def text_out(job: Job, part: Text) -> list[Json]:
    """A text block; none for an empty text, which the API refuses."""
    if not part.text or part.text.isspace():
        job.drop(part.at, "empty text block")
        return []
    block: Json = {"type": "text", "text": part.text}
    if part.citations:
        shown = [citation_out(citation) for citation in part.citations]
        kept = [item for item in shown if item is not None and can_be_replayed(item)]
        if kept:
            block["citations"] = kept
        if len(kept) < len(shown):
            job.drop(f"{part.at}.citations", "sources that Anthropic did not give itself")
    return [job.mark(block, part.cache)]


def _note(job: Job, at: str, what: str, why: str) -> Json:
    """A note to the model in place of media that the target does not take."""
    job.drop(at, f"{why}; a note stands in its place")
    return {"type": "text", "text": f"[{what} left out: {why}]"}


def _image_out(job: Job, image: Image) -> Json:
    if not job.traits.images:
        return _note(job, image.at, "image", "this model takes no images")
    if image.detail not in (None, "auto"):
        job.drop(joined(image.at, job.request.path("detail")), "no equivalent")
    if image.file_id is not None:
        return {"type": "image", "source": _file(job, image.file_id, image.at)}
    if image.data is not None:
        media_type = media_type_of(image.data, image.media_type, "image/png")
        if media_type not in _IMAGES:
            known = ", ".join(_IMAGES)
            raise _refused(image.at, f"an image must be one of {known}, not {media_type[:60]}")
        source = {"type": "base64", "media_type": media_type, "data": image.data}
        return {"type": "image", "source": source}
    if not job.traits.image_urls:
        return _note(job, image.at, "image", "this provider takes no image URLs")
    return {"type": "image", "source": {"type": "url", "url": _web(image.url, image.at)}}


def _web(url: str | None, at: str) -> str:
    if url is None or not url.lower().startswith(("https://", "http://")):
        raise invalid(f"{at}: a URL must begin with https://", at)
    return url


def _file(job: Job, file_id: str, at: str) -> Json:
    """A file by id, which only the provider that keeps it can open."""
    if not job.native:
        raise _refused(at, "a file id of another provider can not be sent; send the file's data")
    return {"type": "file", "file_id": file_id}


def _document_out(job: Job, document: Document) -> Json:
    if document.media_type == SEARCH_RESULT and document.parts is not None:
        return _search_result_out(job, document)
    if not job.traits.pdf and document.text is None and document.parts is None:
        return _note(job, document.at, "document", "this model takes no documents")
    block: Json = {"type": "document", "source": _source_out(job, document)}
    if document.title is not None:
        block["title"] = document.title
    if document.context is not None:
        block["context"] = document.context
    if document.citations is not None:
        block["citations"] = {"enabled": document.citations}
    return block


def _source_out(job: Job, document: Document) -> Json:
    if document.text is not None:
        return {"type": "text", "media_type": "text/plain", "data": document.text}
    if document.parts is not None:
        return {"type": "content", "content": blocks_out(job, document.parts)}
    if document.file_id is not None:
        return _file(job, document.file_id, document.at)
    if document.data is None:
        return {"type": "url", "url": _web(document.url, document.at)}
    told = sniffed(document.data) or document.media_type or "application/pdf"
    if told == "application/pdf":
        return {"type": "base64", "media_type": told, "data": document.data}
    if not told.startswith("text/"):
        raise _refused(document.at, f"a document must be a PDF or plain text, not {told[:60]}")
    try:
        words = base64.b64decode(document.data, validate=True).decode()
    except (binascii.Error, ValueError):
        raise invalid(f"{document.at}: the document is no base64 of UTF-8", document.at) from None
    return {"type": "text", "media_type": "text/plain", "data": words}


def _search_result_out(job: Job, document: Document) -> Json:
    block: Json = {
        "type": "search_result",
        "source": document.context or "",
        "title": document.title or "",
        "content": blocks_out(job, document.parts or ()),
    }
    if document.citations is not None:
        block["citations"] = {"enabled": document.citations}
    return block


def _call_out(job: Job, call: ToolCall) -> Json:
    sent_id = job.call_id(call.id)
    if sent_id != call.id:
        why = "rewritten to the characters the upstream takes, mapped back"
        job.bend(f"{call.at}.id", why, before=call.id[:80], after=sent_id)
    if call.signature is not None:
        job.unsign(call)
    arguments = call.arguments
    if call.custom:
        arguments = {"input": call.raw or ""}
    elif arguments is None:
        job.bend(call.at, "the arguments are no JSON object; sent as `_raw`")
        arguments = {"_raw": call.raw or ""}
    return {"type": "tool_use", "id": sent_id, "name": job.name(call.name), "input": arguments}


def _result_out(job: Job, result: ToolResult) -> Json:
    block: Json = {"type": "tool_result", "tool_use_id": job.call_id(result.id)}
    match result.parts:
        case (Text(cache=None, citations=()) as only,) if only.text and not only.text.isspace():
            block["content"] = only.text
        case _:
            content = blocks_out(job, result.parts)
            if content:
                block["content"] = content
    if result.is_error is not None:
        block["is_error"] = result.is_error
    return block


def _thinking_out(job: Job, thought: Reasoning) -> list[Json]:
    """A thought that goes back to the model that made it; another's is left out."""
    signature = thought.signature
    if not belongs(signature, job.traits) and thought.text and _demanded(job):
        job.bend(thought.at, "thoughts of another model, sent as this one's own")
        return [{"type": "thinking", "thinking": thought.text, "signature": ""}]
    if signature is None:
        job.drop(thought.at, "no signature available for replay")
        return []
    if not belongs(signature, job.traits):
        job.drop(thought.at, "thinking block of another model")
        return []
    if thought.redacted:
        return [{"type": "redacted_thinking", "data": signature.value}]
    return [{"type": "thinking", "thinking": thought.text, "signature": signature.value}]


def _demanded(job: Job) -> bool:
    return job.traits.replay_reasoning == "required_on_tools"


def _native_out(job: Job, part: Native) -> list[Json]:
    if part.dialect == NAME:
        return [part.data]
    kind = part.data.get("type", "unknown")
    job.drop(part.at, f"Anthropic's Messages have no block for a {kind} part")
    return []
