"""Canonical parts -> the parts of a provider's contents."""

from __future__ import annotations

import base64
from typing import Any, assert_never

import msgspec

from gateway.canon.errors import Error, GatewayError
from gateway.canon.media import media_type_of
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
from gateway.canon.traits import Traits
from gateway.dialects.gemini.job import Job
from gateway.dialects.gemini.names import NAME, NEXT_PART, Json
from gateway.dialects.gemini.signatures import may_go_back

# Addresses that Google opens itself.
_GOOGLE = ("gs://", "https://www.youtube.com/", "https://youtu.be/", "https://youtube.com/")


def parts_out(job: Job, parts: tuple[Part, ...]) -> list[Json]:
    """The parts to send; what the target does not take is reported."""
    out: list[Json] = []
    carried = ""  # a signature that stood under the call after its thought
    for place, part in enumerate(parts):
        if isinstance(part, Reasoning):
            shown, carried = _thought_out(job, part)
            out += shown
            continue
        made = _part_out(job, part)
        later = any(isinstance(other, ToolCall) for other in parts[place:])
        if carried and made and (isinstance(part, ToolCall) or not later):
            made[0].setdefault("thoughtSignature", carried)
            carried = ""
        out += made
    return out


def _part_out(job: Job, part: Part) -> list[Json]:
    match part:
        case Text():
            return _text_out(job, part)
        case Image():
            job.unmark(part.cache)
            return [_image_out(job, part)]
        case Document():
            job.unmark(part.cache)
            return _document_out(job, part)
        case Audio():
            data = {"mimeType": f"audio/{part.format}", "data": part.data}
            return [{"inlineData": data}]
        case ToolCall():
            return [_call_out(job, part)]
        case ToolResult():
            return _result_out(job, part)
        case Refusal():
            job.bend(part.at, "a refusal in the history is sent as text")
            return [{"text": part.text}] if part.text else []
        case Native():
            if part.dialect == NAME:
                return [dict(part.data)]
            job.drop(part.at, "Gemini has no part for it")
            return []
        case Reasoning():
            return []
        case _:
            assert_never(part)


def _refused(at: str, why: str) -> GatewayError:
    return GatewayError(Error(kind="unsupported_param", message=f"{at}: {why}", param=at))


def _text_out(job: Job, part: Text) -> list[Json]:
    """A text part; none for an empty text."""
    if not part.text:
        job.drop(part.at, "empty text")
        return []
    if part.citations:
        job.drop(f"{part.at}.citations", "sources can not be sent back")
    job.unmark(part.cache)
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
        where = job.request.path("detail")
        job.drop(f"{image.at}.{where}" if image.at else "", "no equivalent for one part")
    if image.data is not None:
        media = media_type_of(image.data, image.media_type, "image/png")
        return {"inlineData": {"mimeType": media, "data": image.data}}
    return _file_out(job, image, "image", image.media_type)


def _document_out(job: Job, document: Document) -> list[Json]:
    told = [("title", document.title), ("context", document.context)]
    for name, value in told:
        if value is not None and document.parts is None:
            job.drop(f"{document.at}.{name}", "no equivalent")
    if document.citations:
        job.drop(f"{document.at}.citations", "sources can not be asked for")
    if document.parts is not None:
        job.bend(document.at, "a document of parts is sent as its parts")
        head = [{"text": value} for _, value in told if value]
        return [*head, *parts_out(job, document.parts)]
    if document.text is not None:
        data = base64.b64encode(document.text.encode("utf-8", "replace")).decode()
        return [{"inlineData": {"mimeType": "text/plain", "data": data}}]
    if not job.traits.pdf:
        return [_note(job, document.at, "document", "this model takes no documents")]
    if document.data is not None:
        media = media_type_of(document.data, document.media_type, "application/pdf")
        return [{"inlineData": {"mimeType": media, "data": document.data}}]
    return [_file_out(job, document, "document", document.media_type)]


def _file_out(job: Job, part: Image | Document, what: str, media: str | None) -> Json:
    """A file by its address, which only Google's own are opened by."""
    if part.file_id is not None:
        if not job.native:
            why = "a file id of another provider can not be sent; send the file's data"
            raise _refused(part.at, why)
        return _file(part.file_id, media)
    url = part.url or ""
    if job.native or job.traits.image_urls or url.startswith(_GOOGLE):
        return _file(url, media)
    return _note(job, part.at, what, "this provider does not fetch URLs; send its data")


def needs_bytes(part: Image | Document, traits: Traits) -> bool:
    """Whether a file can only be given by its bytes: Google opens no addresses but its own."""
    takes = traits.images if isinstance(part, Image) else traits.pdf
    return takes and not traits.image_urls and not (part.url or "").startswith(_GOOGLE)


def _file(uri: str, media: str | None) -> Json:
    out: Json = {"fileUri": uri}
    if media is not None:
        out["mimeType"] = media
    return {"fileData": out}


# --- calls, results, thoughts ------------------------------------------------------------


def _call_out(job: Job, call: ToolCall) -> Json:
    job.unmark(call.cache)
    arguments = call.arguments
    if call.custom:
        arguments = {"input": call.raw or ""}
    elif arguments is None:
        job.bend(call.at, "the arguments are no JSON object; sent as `_raw`")
        arguments = {"_raw": call.raw or ""}
    sent = {"id": call.id, "name": job.name(call.name), "args": arguments}
    out: Json = {"functionCall": sent}
    state = call.signature
    if may_go_back(state, job.traits, native=job.native) and state is not None:
        out["thoughtSignature"] = state.value
    elif state is not None:
        job.unsign(call)
    return out


def _result_out(job: Job, result: ToolResult) -> list[Json]:
    """A result; media stand inside it where the model takes them, else after it."""
    job.unmark(result.cache)
    words = [part.text for part in result.parts if isinstance(part, Text) and part.text]
    media = [part for part in result.parts if not isinstance(part, Text)]
    out: Json = {"id": result.id, "name": job.name("tool" if result.name is None else result.name)}
    out["response"] = _response("\n".join(words), failed=bool(result.is_error))
    shown = parts_out(job, tuple(media))
    if not shown:
        return [{"functionResponse": out}]
    if job.traits.tool_result_images and not any("text" in item for item in shown):
        return [{"functionResponse": {**out, "parts": shown}}]
    job.bend(result.at, "media in a tool result are sent after it")
    return [{"functionResponse": out}, *shown]


def _response(words: str, *, failed: bool) -> Json:
    """The `response` object: JSON objects as they are, text under `output` or `error`."""
    if failed:
        return {"error": words}
    told: Any = None
    if words.startswith("{"):
        try:
            told = msgspec.json.decode(words)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            told = None
    return told if isinstance(told, dict) else {"output": words}


def _thought_out(job: Job, thought: Reasoning) -> tuple[list[Json], str]:
    """The parts of a thought that goes back to its maker, and what the next part is signed by."""
    state = thought.signature
    shown: list[Json] = [{"text": thought.text, "thought": True}] if thought.text else []
    if state is None and job.native:
        return shown, ""
    if state is None or not may_go_back(state, job.traits, native=job.native):
        why = "no signature available for replay" if state is None else "thought of another model"
        job.drop(thought.at, why)
        return [], ""
    if state.kind == NEXT_PART:
        return shown, state.value
    part = shown[0] if shown else {"text": ""}
    return [{**part, "thoughtSignature": state.value}], ""
