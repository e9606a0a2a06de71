"""Content parts and citations, both ways."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, assert_never

import msgspec
from msgspec.structs import replace

from gateway.canon.adaptation import Adaptation, approximated_field
from gateway.canon.errors import GatewayError, invalid, unsupported
from gateway.canon.json_values import list_or_empty, to_raw
from gateway.canon.media import (
    data_url,
    decode_text_file,
    default_file_name,
    guess_file_type,
    join_lines,
    parse_data_url,
    resolve_media_type,
    sniff_base64,
)
from gateway.canon.request import (
    Audio,
    Citation,
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
from gateway.dialects.openai_chat.context import ChatRenderContext, parse_cache_breakpoint
from gateway.dialects.shared.fields import (
    integer_or_none,
    native_kind,
    required_mapping,
    required_text,
    string_or_none,
    text,
    web_url,
)
from gateway.dialects.shared.fields import wrong_type as _wrong
from gateway.dialects.shared.render_context import is_foreign_file

# --- media for Mistral ----------------------------------------------------------------------------
#
# Its clients send them to any model; only Mistral's own models accept them.

Json = dict[str, Any]
_PDF = "application/pdf"
# The form does not declare the audio format; the bytes reveal it for most formats.
_AUDIO_FORMATS = {"audio/wav": "wav", "audio/mpeg": "mp3"}


def parse_document_chunk(part: Json, path: str) -> Document:
    """A `document_url`, which is a URL or a data URL."""
    url, title = required_text(part, "document_url", path), text(part, "document_name", path)
    data_url = parse_data_url(url)
    if data_url is None:
        return Document(url=url, title=title, path=path)
    media_type, data = data_url
    return Document(
        data=data, media_type=media_type or sniff_base64(data) or _PDF, title=title, path=path
    )


def parse_audio_chunk(data: str, path: str) -> Audio:
    """Audio in base64."""
    return Audio(data=data, format=_AUDIO_FORMATS.get(sniff_base64(data) or "", "wav"), path=path)


def render_document_chunk(context: ChatRenderContext, document: Document) -> Json:
    """A file, by its bytes or its URL."""
    url = document.url
    if document.data is not None:
        context.approximate(document.path, "sent as the data URL of a document")
        media_type = document.media_type or sniff_base64(document.data) or _PDF
        url = data_url(media_type, document.data)
    out: Json = {"type": "document_url", "document_url": url}
    return out if document.title is None else {**out, "document_name": document.title}


def render_audio_chunk(audio: Audio) -> Json:
    """Audio, whose format the bytes reveal."""
    return {"type": "input_audio", "input_audio": audio.data}


# --- parts ----------------------------------------------------------------------------------------

NAME = "openai_chat"
# The only field of `Start.extra` and `Response.extra` that Chat has there.
FINGERPRINT = "system_fingerprint"
MODERATION = "moderation"
Fields = dict[str, msgspec.Raw]
_AS_TEXT = "sent as text: OpenAI Chat does not support text documents"
_FILE_DATA = b'"file_data"'
_messages = msgspec.json.Decoder(list[msgspec.Raw]).decode


def parse_content(message: Json, path: str) -> tuple[Part, ...]:
    """The parts of a message's `content`: a string, a list of parts, or nothing."""
    content = message.get("content")
    if type(content) is str:
        return (Text(text=content, path=path),)
    if content is None:
        return ()
    field_path = f"{path}.content"
    if type(content) is not list:
        raise _wrong(field_path, "a string or a list of parts", content)
    return tuple([_parse_part(part, f"{field_path}[{i}]") for i, part in enumerate(content)])


def _parse_part(part: Any, path: str) -> Part:
    if type(part) is not dict:
        raise _wrong(path, "an object with a type", part)
    kind = part.get("type")
    if type(kind) is not str:
        raise invalid(
            f"{path}.type is required and must be a string such as 'text'", f"{path}.type"
        )
    reader = _PART_PARSERS.get(kind)
    if reader is None:
        return Native(dialect=NAME, data=part, path=path)
    return reader(part, path)


def _parse_text(part: Json, path: str) -> Text:
    value = part.get("text")
    if type(value) is not str:
        value = required_text(part, "text", path)
    return Text(
        text=value, cache=parse_cache_breakpoint(part) if len(part) > 2 else None, path=path
    )


def _parse_image(part: Json, path: str) -> Image:
    value = part.get("image_url")
    if type(value) is str:
        url, detail, url_type = value, None, None
    else:
        image = required_mapping(part, "image_url", path)
        url = required_text(image, "url", f"{path}.image_url")
        detail = text(image, "detail", f"{path}.image_url")
        # LiteLLM's field for the media type.
        url_type = text(image, "format", f"{path}.image_url")
    cache = parse_cache_breakpoint(part)
    data_url = parse_data_url(url)
    if data_url is None:
        return Image(url=url, media_type=url_type, detail=detail, cache=cache, path=path)
    declared_type, data = data_url
    media_type = resolve_media_type(data, declared_type, "image/png")
    return Image(data=data, media_type=media_type, detail=detail, cache=cache, path=path)


def _parse_audio(part: Json, path: str) -> Audio:
    if type(part.get("input_audio")) is str:
        return parse_audio_chunk(part["input_audio"], path)
    audio = required_mapping(part, "input_audio", path)
    field_path = f"{path}.input_audio"
    return Audio(
        data=required_text(audio, "data", field_path),
        format=required_text(audio, "format", field_path),
        cache=parse_cache_breakpoint(part),
        path=path,
    )


_URL_PREFIXES = ("https://", "http://", "gs://")


def _parse_file(part: Json, path: str) -> Document:
    # Mistral puts the id into the part itself.
    file = part if "file_id" in part else required_mapping(part, "file", path)
    field_path = f"{path}.file"
    data, file_id = text(file, "file_data", field_path), text(file, "file_id", field_path)
    title, cache = text(file, "filename", field_path), parse_cache_breakpoint(part)
    # LiteLLM's clients also write a URL as the id, and the media type as the format.
    media_type = text(file, "format", field_path)
    url = data if file_id is None else file_id
    if url is None:
        raise invalid(f"{field_path} must contain file_data or file_id", field_path)
    if url.startswith(_URL_PREFIXES):
        return Document(url=url, media_type=media_type, title=title, cache=cache, path=path)
    if data is None or file_id is not None:
        return Document(file_id=file_id, title=title, cache=cache, path=path)
    declared_type, data = parse_data_url(data) or (media_type, join_lines(data))
    media_type = guess_file_type(data, declared_type, title)
    return Document(data=data, media_type=media_type, title=title, cache=cache, path=path)


def _parse_refusal(part: Json, path: str) -> Refusal:
    return Refusal(text=required_text(part, "refusal", path), path=path)


def _parse_thinking(part: Json, path: str) -> Reasoning:
    """Mistral's thinking chunk, which its clients send back."""
    return Reasoning(text=thinking_text(part.get("thinking")), path=path)


def thinking_text(thinking: Any) -> str:
    """The text of a thinking chunk: a string, or a list of text chunks."""
    if isinstance(thinking, str):
        return thinking
    if not isinstance(thinking, list):
        return ""
    texts = (chunk.get("text") for chunk in thinking if isinstance(chunk, dict))
    return "".join(text for text in texts if isinstance(text, str))


_PART_PARSERS: dict[str, Callable[[Json, str], Part]] = {
    "text": _parse_text,
    "image_url": _parse_image,
    "input_audio": _parse_audio,
    "file": _parse_file,
    "document_url": parse_document_chunk,
    "refusal": _parse_refusal,
    "thinking": _parse_thinking,
}


def render_text_parts(context: ChatRenderContext, parts: Iterable[Part], role: str) -> list[Json]:
    """The content parts of a message that accepts text only; other parts are reported."""
    text_parts: list[Part] = []
    for part in parts:
        if isinstance(part, Image | Document | Audio):
            context.drop(part.path, f"{role} messages can only contain text in OpenAI Chat")
        else:
            text_parts.append(part)
    return render_parts(context, text_parts)


def render_parts(context: ChatRenderContext, parts: Iterable[Part]) -> list[Json]:
    """The content parts to send; parts that the target does not accept are reported."""
    return [item for part in parts for item in _render_part(context, part)]


def _render_part(context: ChatRenderContext, part: Part) -> list[Json]:
    match part:
        case Text():
            if part.citations:
                context.drop(
                    context.part_field(part.path, "citations"),
                    "OpenAI Chat does not support sources in requests",
                )
            item = _render_text_part(part.text)
            return [item if part.cache is None else context.with_cache_breakpoint(item, part.cache)]
        case Image():
            return [context.with_cache_breakpoint(_render_image(context, part), part.cache)]
        case Document():
            return _render_document(context, part)
        case Audio():
            return [context.with_cache_breakpoint(_render_audio(context, part), part.cache)]
        case Refusal():
            return [{"type": "refusal", "refusal": part.text}]
        case Native():
            return _render_native(context, part)
        case ToolCall() | ToolResult() | Reasoning():
            context.drop(part.path, "this part is not allowed here in OpenAI Chat")
            return []
        case _:
            assert_never(part)


def _render_text_part(text: str) -> Json:
    return {"type": "text", "text": text}


def _render_media_note(context: ChatRenderContext, path: str, media_name: str, reason: str) -> Json:
    """A text that replaces media which the target does not accept."""
    return _render_text_part(context.media_note(path, media_name, reason))


def _render_image(context: ChatRenderContext, image: Image) -> Json:
    traits = context.traits
    if not traits.images:
        return _render_media_note(
            context, image.path, "image", "this model does not support images"
        )
    if image.file_id is not None:
        raise unsupported(
            image.path, "this provider does not support images by file ID; send the image data"
        )
    if image.data is not None:
        url = data_url(resolve_media_type(image.data, image.media_type, "image/png"), image.data)
    elif traits.image_urls:
        url = web_url(image.url, image.path)
    else:
        return _render_media_note(
            context, image.path, "image", "this provider does not support image URLs"
        )
    image_url: Json = {"url": url}
    if image.detail is not None:
        image_url["detail"] = image.detail
    return {"type": "image_url", "image_url": image_url}


def needs_inline_media(part: Image | Document, traits: Traits) -> bool:
    """Whether the target fetches no URLs of such a part, but accepts its bytes."""
    if isinstance(part, Image):
        return traits.images and not traits.image_urls
    return traits.pdf and not traits.document_urls


def _render_audio(context: ChatRenderContext, audio: Audio) -> Json:
    if not context.traits.audio:
        return _render_media_note(context, audio.path, "audio", "this model does not support audio")
    if context.traits.media_chunks:
        return render_audio_chunk(audio)
    return {
        "type": "input_audio",
        "input_audio": {"data": audio.data, "format": audio.format},
    }


def _render_native(context: ChatRenderContext, part: Native) -> list[Json]:
    if part.dialect == NAME and context.traits.text_parts:
        return [part.data]
    kind = native_kind(part.data)
    if part.dialect == NAME:
        context.drop(part.path, f"this provider supports only text, not {kind} parts")
        return []
    if (text := context.native_text(part)) is not None:
        return [{"type": "text", "text": text.text}]
    context.drop(part.path, f"OpenAI Chat does not support {kind} blocks")
    return []


def _render_document(context: ChatRenderContext, document: Document) -> list[Json]:
    if document.citations:
        path = context.part_field(document.path, "document_citations")
        context.drop(path, "no equivalent in OpenAI Chat")
    if (
        not context.traits.pdf
        and (document_text := decode_text_file(document.data, document.media_type)) is not None
    ):
        document = replace(document, text=document_text, data=None)
    if document.text is not None or document.parts is not None:
        return _render_document_as_text(context, document)
    if document.context is not None:
        context.drop(context.part_field(document.path, "context"), "no equivalent in OpenAI Chat")
    if not context.traits.pdf:
        note = _render_media_note(
            context, document.path, "document", "this model does not support documents"
        )
        return [context.with_cache_breakpoint(note, document.cache)]
    if context.traits.media_chunks and document.file_id is None:
        return [
            context.with_cache_breakpoint(render_document_chunk(context, document), document.cache)
        ]
    file = _render_file(context, document)
    file_fields = {"file_id": file["file_id"]} if context.traits.media_chunks else {"file": file}
    return [context.with_cache_breakpoint({"type": "file", **file_fields}, document.cache)]


def _render_file(context: ChatRenderContext, document: Document) -> Json:
    if document.data is not None:
        media_type = document.media_type or sniff_base64(document.data) or "application/pdf"
        name = document.title or default_file_name(media_type)
        return {"filename": name, "file_data": data_url(media_type, document.data)}
    if document.file_id is not None and not is_foreign_file(context.request, document.file_id):
        file: Json = {"file_id": document.file_id}
        return file if document.title is None else {**file, "filename": document.title}
    if document.file_id is not None:
        raise unsupported(
            document.path,
            "this provider does not support documents by file ID; send the document data",
        )
    if context.traits.document_urls:
        return {
            "filename": document.title or "document.pdf",
            "file_data": web_url(document.url, document.path),
        }
    raise unsupported(
        document.path,
        "this provider does not support document URLs; send the document as base64",
    )


def _render_document_as_text(context: ChatRenderContext, document: Document) -> list[Json]:
    """A text document as text content under its title."""
    context.approximate(document.path, _AS_TEXT)
    heading = "\n".join(line for line in (document.title, document.context) if line)
    if document.text is not None:
        return [
            context.with_cache_breakpoint(
                _render_text_part(_with_heading(heading, document.text)), document.cache
            )
        ]
    inner = render_parts(context, document.parts or ())
    items = [_render_text_part(heading), *inner] if heading else inner
    if items:
        context.with_cache_breakpoint(items[-1], document.cache)
    return items


def _with_heading(heading: str, text: str) -> str:
    return f"{heading}\n\n{text}" if heading else text


def inline_files(fields: Fields, traits: Traits) -> tuple[Fields, tuple[Adaptation, ...]]:
    """The fields of a passthrough body, text files written inline as text.

    For a target that accepts no files; other files are passed on, as it may accept them.
    """
    raw_messages = b"" if traits.pdf else bytes(fields.get("messages", b""))
    if raw_messages.find(_FILE_DATA) < 0:
        return fields, ()
    report: list[Adaptation] = []
    try:
        messages = [_with_inline_files(m, n, report) for n, m in enumerate(_messages(raw_messages))]
    except (msgspec.MsgspecError, UnicodeError, RecursionError, GatewayError):
        return fields, ()  # the provider reports what is wrong with it
    if not report:
        return fields, ()
    return {**fields, "messages": to_raw(messages)}, tuple(report)


def _with_inline_files(message: msgspec.Raw, index: int, report: list[Adaptation]) -> Any:
    if bytes(message).find(_FILE_DATA) < 0:
        return message
    decoded_message = msgspec.json.decode(message)
    content = decoded_message.get("content") if isinstance(decoded_message, dict) else None
    if not isinstance(content, list):
        return message
    parts = [
        _file_as_text(part, f"messages[{index}].content[{n}]", report)
        for n, part in enumerate(content)
    ]
    return {**decoded_message, "content": parts}


def _file_as_text(part: Any, path: str, report: list[Adaptation]) -> Any:
    if not isinstance(part, dict) or part.get("type") != "file" or "file_id" in part:
        return part
    document = _parse_file(part, path)
    document_text = decode_text_file(document.data, document.media_type)
    if document_text is None:
        return part
    report.append(approximated_field(path, _AS_TEXT))
    cache_fields = {"cache_control": part["cache_control"]} if "cache_control" in part else {}
    return {**_render_text_part(_with_heading(document.title or "", document_text)), **cache_fields}


def render_content(
    context: ChatRenderContext, items: list[Json], *, as_list: bool = False
) -> str | list[Json]:
    """A message's content: a string if it is a single text.

    `as_list` keeps a single text in a list, as the client wrote it. A target that accepts
    strings only gets all texts joined.
    """
    for item in items:
        if len(item) != 2 or item.get("type") != "text":
            return items
    if (len(items) == 1 and not as_list) or not context.traits.text_parts:
        return "\n\n".join([item["text"] for item in items])
    return items or ""


# --- citations ------------------------------------------------------------------------------------


def parse_citations(annotations: Any) -> tuple[Citation, ...]:
    """The citations in a provider's `annotations`; anything else is ignored."""
    return tuple(filter(None, map(_parse_citation, list_or_empty(annotations))))


def parse_listed_citations(urls: Any, results: Any) -> list[Citation]:
    """The sources that Perplexity and xAI list with a response, without text positions."""
    rows = [*list_or_empty(results), *({"url": url} for url in list_or_empty(urls))]
    citations: dict[str, Citation] = {}
    for row in rows:
        url = row.get("url") if isinstance(row, dict) else None
        if isinstance(url, str) and url not in citations:
            citations[url] = Citation(
                url=url,
                title=string_or_none(row.get("title")),
                quote=string_or_none(row.get("snippet")),
            )
    return list(citations.values())


def _parse_citation(item: Any) -> Citation | None:
    inner = item.get("url_citation") if isinstance(item, dict) else None
    if not isinstance(inner, dict) or not isinstance(inner.get("url"), str):
        return None
    return Citation(
        url=inner["url"],
        title=string_or_none(inner.get("title")),
        quote=string_or_none(inner.get("content")),
        start=integer_or_none(inner.get("start_index")),
        end=integer_or_none(inner.get("end_index")),
        dialect=NAME,
        native=item,
    )


def render_citation(citation: Citation, start: int, end: int) -> Json | None:
    """An annotation of the text from `start` to `end`; None for a source without a URL."""
    if citation.dialect == NAME and citation.native:
        return citation.native
    if citation.url is None:
        return None
    inner: Json = {
        "url": citation.url,
        "title": citation.title or citation.url,
        "start_index": start if citation.start is None else start + citation.start,
        "end_index": end if citation.end is None else start + citation.end,
    }
    return {"type": "url_citation", "url_citation": inner}
