"""Canonical parts -> content blocks for a provider."""

from __future__ import annotations

import base64
import re
from typing import assert_never

from gateway.canon.errors import Error, GatewayError
from gateway.canon.media import media_type_of, sniffed
from gateway.canon.request import (
    Audio,
    Cache,
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
from gateway.canon.traits import Traits
from gateway.dialects.bedrock_converse.job import Job
from gateway.dialects.bedrock_converse.names import (
    DOCUMENTS,
    IMAGES,
    NAME,
    SEARCH_RESULT,
    SOUNDS,
    Json,
)
from gateway.dialects.fields import joined

EMPTY = "(empty)"
_NOT_IN_TITLES = re.compile(r"[^a-zA-Z0-9()\[\] -]+")
_SPACES = re.compile(r"\s{2,}")
_STORED = "s3://"
# Blocks that may stand in a tool's result.
_IN_RESULTS = frozenset({"text", "image", "document", "searchResult"})


def blocks_out(job: Job, parts: tuple[Part, ...]) -> list[Json]:
    """The blocks to send; what the target does not take is reported."""
    blocks: list[Json] = []
    for part in parts:
        blocks += _part_out(job, part)
        job.mark(blocks, _cache_of(part))
    return blocks


def _cache_of(part: Part) -> Cache | None:
    """The mark after a part; one inside a result stands after the result."""
    own: Cache | None = getattr(part, "cache", None)
    if own is None and isinstance(part, ToolResult):
        return next((mark for inner in part.parts if (mark := _cache_of(inner))), None)
    return own


def _part_out(job: Job, part: Part) -> list[Json]:
    match part:
        case Text():
            return text_out(job, part)
        case Image():
            return [_image_out(job, part)]
        case Document():
            return [_document_out(job, part)]
        case Audio():
            return [_audio_out(job, part)]
        case ToolCall():
            return [_call_out(job, part)]
        case ToolResult():
            return _result_out(job, part)
        case Reasoning():
            return _thought_out(job, part)
        case Refusal():
            job.bend(part.at, "a refusal in the history is sent as text")
            return text_out(job, Text(text=part.text, at=part.at))
        case Native():
            if part.dialect == NAME:
                return [part.data]
            job.drop(part.at, "Converse has no block for it")
            return []
        case _:
            assert_never(part)


def refused(at: str, why: str) -> GatewayError:
    """The error for a part that can not be sent at all."""
    at = at or "messages"
    return GatewayError(Error(kind="unsupported_param", message=f"{at}: {why}", param=at))


def is_blank(text: str) -> bool:
    """Whether the API would refuse the text as blank."""
    return not text or text.isspace()


def text_out(job: Job, part: Text) -> list[Json]:
    """A text block; none for a blank text, which the API refuses."""
    if is_blank(part.text):
        # Empty ones are told of by turn: those beside calls say nothing.
        if part.text:
            job.drop(part.at, "blank text block")
        return []
    if part.citations:
        job.drop(f"{part.at}.citations", "sources can not be sent back")
    return [{"text": part.text}]


# --- media -------------------------------------------------------------------------------


def _note(job: Job, at: str, what: str, why: str) -> Json:
    """A note to the model in place of media that the target does not take."""
    job.drop(at, f"{why}; a note stands in its place")
    return {"text": f"[{what} left out: {why}]"}


def _image_out(job: Job, image: Image) -> Json:
    if not job.traits.images:
        return _note(job, image.at, "image", "this model takes no images")
    if image.detail not in (None, "auto"):
        job.drop(joined(image.at, job.request.path("detail")), "no equivalent")
    if image.file_id is not None:
        raise refused(image.at, "a file id of another provider can not be sent; send its data")
    if image.data is not None:
        media = media_type_of(image.data, image.media_type, "image/png")
        if media not in IMAGES:
            raise refused(image.at, f"an image must be one of {', '.join(IMAGES)}, not {media}")
        return {"image": {"format": IMAGES[media], "source": {"bytes": image.data}}}
    url = image.url or ""
    if not url.startswith(_STORED):
        return _note(job, image.at, "image", "this provider does not fetch URLs; send its data")
    word = url.rpartition(".")[2].lower()
    kind = {"jpg": "jpeg"}.get(word, word)
    source = {"s3Location": {"uri": url}}
    return {"image": {"format": kind if kind in IMAGES.values() else "png", "source": source}}


def needs_bytes(part: Image | Document, traits: Traits) -> bool:
    """Whether a file can only be given by its bytes: of addresses only Amazon's S3 is known."""
    takes = traits.images if isinstance(part, Image) else traits.pdf
    return takes and not (part.url or "").startswith(_STORED)


def _document_out(job: Job, document: Document) -> Json:
    if document.media_type == SEARCH_RESULT and document.parts is not None:
        return _search_result_out(document)
    if not job.traits.pdf:
        return _note(job, document.at, "document", "this model takes no documents")
    if document.file_id is not None:
        why = "a file id of another provider can not be sent; send the file's data"
        raise refused(document.at, why)
    if document.url is not None and not document.url.startswith(_STORED):
        why = "this provider does not fetch URLs; send its data"
        return _note(job, document.at, "document", why)
    kind, source = _source_out(document)
    block: Json = {"format": kind, "name": _title(job, document), "source": source}
    if document.context is not None:
        block["context"] = document.context
    if document.citations:
        block["citations"] = {"enabled": True}
    return {"document": block}


def _title(job: Job, document: Document) -> str:
    """A name of the few characters that are taken, which no other document has."""
    name = _SPACES.sub(" ", _NOT_IN_TITLES.sub(" ", document.title or "")).strip()[:200]
    return job.title(name or "Document")


def _source_out(document: Document) -> tuple[str, Json]:
    """A document's format and where its bytes are."""
    if document.url is not None:
        word = document.url.rpartition(".")[2].lower()
        kind = word if word in DOCUMENTS.values() else "pdf"
        return kind, {"s3Location": {"uri": document.url}}
    if document.data is not None:
        media = sniffed(document.data) or document.media_type or "application/pdf"
        if media not in DOCUMENTS and media.startswith("text/"):
            media = "text/plain"
        if media not in DOCUMENTS:
            raise refused(document.at, f"a document can not be of the type {media[:60]}")
        return DOCUMENTS[media], {"bytes": document.data}
    words = document.text
    if words is None:
        words = "\n\n".join(p.text for p in document.parts or () if isinstance(p, Text))
    data = base64.b64encode((words or EMPTY).encode("utf-8", "replace")).decode()
    return "txt", {"bytes": data}


def _search_result_out(document: Document) -> Json:
    told = [{"text": part.text} for part in document.parts or () if isinstance(part, Text)]
    block: Json = {
        "source": document.context or "",
        "title": document.title or "",
        "content": told or [{"text": EMPTY}],
    }
    if document.citations is not None:
        block["citations"] = {"enabled": document.citations}
    return {"searchResult": block}


def _audio_out(job: Job, audio: Audio) -> Json:
    if not job.traits.audio:
        raise refused(audio.at, f"{job.model} takes no audio")
    if audio.format not in SOUNDS:
        raise refused(audio.at, f"audio can not be of the format {audio.format[:20]}")
    return {"audio": {"format": audio.format, "source": {"bytes": audio.data}}}


# --- calls, results, thoughts ------------------------------------------------------------


def _call_out(job: Job, call: ToolCall) -> Json:
    sent = job.call_id(call.id)
    if sent != call.id:
        why = "rewritten to 64 of the characters that the upstream takes, mapped back"
        job.bend(f"{call.at}.id", why, before=call.id[:80], after=sent)
    if call.signature is not None:
        job.unsign(call)
    arguments = call.arguments
    if call.custom:
        arguments = {"input": call.raw or ""}
    elif arguments is None:
        job.bend(call.at, "the arguments are no JSON object; sent as `_raw`")
        arguments = {"_raw": call.raw or ""}
    return {"toolUse": {"toolUseId": sent, "name": job.name(call.name), "input": arguments}}


def _result_out(job: Job, result: ToolResult) -> list[Json]:
    """A result; media stand inside it where the model takes them, else after it."""
    content, after = _inside(job, result)
    failed = bool(result.is_error)
    if not content:
        content = [{"text": EMPTY}]
        path = result.at or next((p.at for p in result.parts if not isinstance(p, Native)), "")
        job.bend(_content_path(path), f"an empty tool result is sent as {EMPTY!r}")
    if failed and not job.traits.tool_result_status:
        job.bend(result.at, "the failure is told in words")
        content.insert(0, {"text": "Error:"})
    block: Json = {"toolUseId": job.call_id(result.id), "content": content}
    if job.traits.tool_result_status:
        block["status"] = "error" if failed else "success"
    return [{"toolResult": block}, *after]


def _content_path(at: str) -> str:
    return f"{at}.content" if at and not at.endswith(".content") else at


def _inside(job: Job, result: ToolResult) -> tuple[list[Json], list[Json]]:
    """The blocks of a result, and those that can only stand after it."""
    blocks = [block for part in result.parts for block in _part_out(job, part)]
    if job.traits.tool_result_images:
        inner = [block for block in blocks if block.keys() <= _IN_RESULTS]
    else:
        inner = [block for block in blocks if "text" in block]
    after = [block for block in blocks if block not in inner]
    if after:
        job.bend(result.at, "media in a tool result are sent after it")
    return inner, after


def _thought_out(job: Job, thought: Reasoning) -> list[Json]:
    """A thought that goes back to the model that made it; another's is left out."""
    state = thought.signature
    if state is None or not belongs(state, job.traits):
        told = "no signature available for replay" if state is None else "thought of another model"
        job.drop(thought.at, told)
        return []
    if thought.redacted:
        return [{"reasoningContent": {"redactedContent": state.value}}]
    inner: Json = {"text": thought.text}
    if state.value:
        inner["signature"] = state.value
    return [{"reasoningContent": {"reasoningText": inner}}]
