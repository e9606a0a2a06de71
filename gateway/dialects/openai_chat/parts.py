"""Content parts: a client's JSON -> canonical parts, and back to a provider's JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, assert_never

from gateway.canon.errors import Error, GatewayError, invalid
from gateway.canon.media import data_url, from_data_url, media_type_of, sniffed
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
from gateway.dialects.fields import (
    joined,
    needed_mapping,
    needed_text,
    text,
)
from gateway.dialects.fields import wrong as _wrong
from gateway.dialects.openai_chat import chunks
from gateway.dialects.openai_chat.job import Job, cache_in

NAME = "openai_chat"
Json = dict[str, Any]


def content_in(message: Json, at: str) -> tuple[Part, ...]:
    """The parts of a message's `content`: a string, a list of parts, or nothing."""
    content = message.get("content")
    if type(content) is str:
        return (Text(text=content, at=at),)
    if content is None:
        return ()
    path = f"{at}.content"
    if type(content) is not list:
        raise _wrong(path, "a string or a list of parts", content)
    return tuple([_part_in(part, f"{path}[{i}]") for i, part in enumerate(content)])


def _part_in(part: Any, at: str) -> Part:
    if type(part) is not dict:
        raise _wrong(at, "an object with a type", part)
    kind = part.get("type")
    if type(kind) is not str:
        raise invalid(f"{at}.type is required: give a string such as 'text'", f"{at}.type")
    reader = _READERS.get(kind)
    if reader is None:
        return Native(dialect=NAME, data=part, at=at)
    return reader(part, at)


def _text_in(part: Json, at: str) -> Text:
    value = part.get("text")
    if type(value) is not str:
        value = needed_text(part, "text", at)
    return Text(text=value, cache=cache_in(part) if len(part) > 2 else None, at=at)


def _image_in(part: Json, at: str) -> Image:
    value = part.get("image_url")
    if type(value) is str:
        url, detail = value, None
    else:
        image = needed_mapping(part, "image_url", at)
        url = needed_text(image, "url", f"{at}.image_url")
        detail = text(image, "detail", f"{at}.image_url")
    cache = cache_in(part)
    held = from_data_url(url)
    if held is None:
        return Image(url=url, detail=detail, cache=cache, at=at)
    told, data = held
    media_type = media_type_of(data, told, "image/png")
    return Image(data=data, media_type=media_type, detail=detail, cache=cache, at=at)


def _audio_in(part: Json, at: str) -> Audio:
    if type(part.get("input_audio")) is str:
        return chunks.audio_in(part["input_audio"], at)
    audio = needed_mapping(part, "input_audio", at)
    path = f"{at}.input_audio"
    return Audio(
        data=needed_text(audio, "data", path),
        format=needed_text(audio, "format", path),
        at=at,
    )


def _file_in(part: Json, at: str) -> Document:
    # Mistral has the id in the part itself.
    file = part if "file_id" in part else needed_mapping(part, "file", at)
    path = f"{at}.file"
    data, file_id = text(file, "file_data", path), text(file, "file_id", path)
    title, cache = text(file, "filename", path), cache_in(part)
    if file_id is not None:
        return Document(file_id=file_id, title=title, cache=cache, at=at)
    if data is None:
        raise invalid(f"{path} must hold file_data or file_id", path)
    if data.startswith(("https://", "http://")):
        return Document(url=data, title=title, cache=cache, at=at)
    told, data = from_data_url(data) or (None, data)
    media_type = told or sniffed(data) or "application/pdf"
    return Document(data=data, media_type=media_type, title=title, cache=cache, at=at)


def _refusal_in(part: Json, at: str) -> Refusal:
    return Refusal(text=needed_text(part, "refusal", at), at=at)


def _thinking_in(part: Json, at: str) -> Reasoning:
    """Mistral's chunk of thoughts, which its clients send back."""
    return Reasoning(text=thought_text(part.get("thinking")), at=at)


def thought_text(thinking: Any) -> str:
    """The words of a thinking chunk: a string, or a list of text chunks."""
    if isinstance(thinking, str):
        return thinking
    if not isinstance(thinking, list):
        return ""
    words = (chunk.get("text") for chunk in thinking if isinstance(chunk, dict))
    return "".join(word for word in words if isinstance(word, str))


_READERS: dict[str, Callable[[Json, str], Part]] = {
    "text": _text_in,
    "image_url": _image_in,
    "input_audio": _audio_in,
    "file": _file_in,
    "document_url": chunks.document_in,
    "refusal": _refusal_in,
    "thinking": _thinking_in,
}


def words_out(job: Job, parts: Iterable[Part], role: str) -> list[Json]:
    """The content parts of a message that holds words only; other parts are reported."""
    kept: list[Part] = []
    for part in parts:
        if isinstance(part, Image | Document | Audio):
            job.drop(part.at, f"{role} messages hold text only in OpenAI Chat")
        else:
            kept.append(part)
    return parts_out(job, kept)


def parts_out(job: Job, parts: Iterable[Part]) -> list[Json]:
    """The content parts to send; what the target does not take is reported."""
    return [item for part in parts for item in _part_out(job, part)]


def _part_out(job: Job, part: Part) -> list[Json]:
    match part:
        case Text():
            if part.citations:
                job.drop(joined(part.at, "citations"), "OpenAI Chat takes no sources as input")
            return [job.mark(_text(part.text), part.cache)]
        case Image():
            return [job.mark(_image_out(job, part), part.cache)]
        case Document():
            return _document_out(job, part)
        case Audio():
            return [_audio_out(job, part)]
        case Refusal():
            return [{"type": "refusal", "refusal": part.text}]
        case Native():
            return _native_out(job, part)
        case ToolCall() | ToolResult() | Reasoning():
            job.drop(part.at, "this part can not stand here in OpenAI Chat")
            return []
        case _:
            assert_never(part)


def _text(words: str) -> Json:
    return {"type": "text", "text": words}


def _left_out(job: Job, at: str, what: str, why: str) -> Json:
    """A note to the model in place of media that the target does not take."""
    job.drop(at, f"{why}; a note stands in its place")
    return _text(f"[{what} left out: {why}]")


def _image_out(job: Job, image: Image) -> Json:
    traits = job.traits
    if not traits.images:
        return _left_out(job, image.at, "image", "this model takes no images")
    if image.file_id is not None:
        raise _refused(image.at, "an image by file id can not go to this provider; send its data")
    if image.data is not None:
        url = data_url(media_type_of(image.data, image.media_type, "image/png"), image.data)
    elif traits.image_urls:
        url = image.url or ""
    else:
        return _left_out(job, image.at, "image", "this provider takes no image URLs")
    inner: Json = {"url": url}
    if image.detail is not None:
        inner["detail"] = image.detail
    return {"type": "image_url", "image_url": inner}


def needs_bytes(part: Image | Document, traits: Traits) -> bool:
    """Whether this target opens no URLs of such a part, but takes its bytes."""
    if isinstance(part, Image):
        return traits.images and not traits.image_urls
    return traits.pdf and not traits.document_urls


def _audio_out(job: Job, audio: Audio) -> Json:
    if not job.traits.audio:
        return _left_out(job, audio.at, "audio", "this model takes no audio")
    if job.traits.media_chunks:
        return chunks.audio_out(audio)
    return {
        "type": "input_audio",
        "input_audio": {"data": audio.data, "format": audio.format},
    }


def _native_out(job: Job, part: Native) -> list[Json]:
    if part.dialect == NAME and job.traits.text_parts:
        return [part.data]
    kind = part.data.get("type", "unknown")
    if part.dialect == NAME:
        job.drop(part.at, f"this provider takes text only, no {kind} part")
        return []
    job.drop(part.at, f"OpenAI Chat has no part for a {kind} block")
    return []


def _document_out(job: Job, document: Document) -> list[Json]:
    if document.citations:
        job.drop(joined(document.at, "citations"), "no equivalent in OpenAI Chat")
    if document.text is not None or document.parts is not None:
        return _document_as_text(job, document)
    if document.context is not None:
        job.drop(joined(document.at, "context"), "no equivalent in OpenAI Chat")
    if not job.traits.pdf:
        left_out = _left_out(job, document.at, "document", "this model takes no documents")
        return [job.mark(left_out, document.cache)]
    if job.traits.media_chunks and document.file_id is None:
        return [job.mark(chunks.document_out(job, document), document.cache)]
    file = _file_out(job, document)
    held = {"file_id": file["file_id"]} if job.traits.media_chunks else {"file": file}
    return [job.mark({"type": "file", **held}, document.cache)]


def _file_out(job: Job, document: Document) -> Json:
    if document.data is not None:
        media_type = document.media_type or sniffed(document.data) or "application/pdf"
        name = document.title or f"document.{media_type.rpartition('/')[2]}"
        return {"filename": name, "file_data": data_url(media_type, document.data)}
    # `version` is set for Anthropic clients only: a foreign id names nothing upstream.
    if document.file_id is not None and job.request.version is None:
        file: Json = {"file_id": document.file_id}
        return file if document.title is None else {**file, "filename": document.title}
    if document.file_id is not None:
        raise _refused(
            document.at,
            "a document by file id can not go to this provider; send its data",
        )
    if job.traits.document_urls:
        return {"filename": document.title or "document.pdf", "file_data": document.url}
    raise _refused(
        document.at,
        "this provider takes no documents by URL; send the document as base64",
    )


def _document_as_text(job: Job, document: Document) -> list[Json]:
    """A text document as ordinary content under its title."""
    job.bend(document.at, "sent as text: OpenAI Chat has no text documents")
    head = "\n".join(word for word in (document.title, document.context) if word)
    if document.text is not None:
        body = f"{head}\n\n{document.text}" if head else document.text
        return [job.mark(_text(body), document.cache)]
    inner = parts_out(job, document.parts or ())
    items = [_text(head), *inner] if head else inner
    if items:
        job.mark(items[-1], document.cache)
    return items


def _refused(at: str, why: str) -> GatewayError:
    return GatewayError(Error(kind="unsupported_param", message=f"{at}: {why}", param=at))


def content_out(job: Job, items: list[Json], *, listed: bool = False) -> str | list[Json]:
    """A message's content: a string where one plain text says it all.

    `listed` keeps one text in a list, as the client wrote it. A target that takes
    strings only gets all texts in one.
    """
    plain = all(len(item) == 2 and item.get("type") == "text" for item in items)
    if plain and not job.traits.text_parts:
        return "\n\n".join(item["text"] for item in items)
    if plain and len(items) == 1 and not listed:
        words: str = items[0]["text"]
        return words
    return items or ""
