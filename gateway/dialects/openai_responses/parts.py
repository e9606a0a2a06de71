"""Content parts and citations of messages, both ways."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, assert_never

from msgspec.structs import replace

from gateway.canon.errors import invalid, unsupported
from gateway.canon.json_values import list_or_empty
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
from gateway.dialects.openai_responses.context import (
    NAME,
    Json,
    ResponsesRenderContext,
)
from gateway.dialects.shared.fields import (
    integer_or_none,
    native_kind,
    required_mapping,
    required_text,
    string_or_none,
    text,
    web_url,
    wrong_type,
)
from gateway.dialects.shared.openai_cache import parse_openai_breakpoint
from gateway.dialects.shared.render_context import is_foreign_file

# --- citations ------------------------------------------------------------------------------------


def parse_citation(item: Any) -> Citation | None:
    """The citation in an annotation; None if it is not an object."""
    if not isinstance(item, dict):
        return None
    titles = (string_or_none(item.get(name)) for name in ("title", "filename", "file_id"))
    return Citation(
        url=string_or_none(item.get("url")),
        title=next(filter(None, titles), None),
        start=integer_or_none(item.get("start_index")),
        end=integer_or_none(item.get("end_index")),
        dialect=NAME,
        native=item,
    )


def parse_citations(annotations: Any) -> tuple[Citation, ...]:
    """The citations in a list of annotations."""
    return tuple(filter(None, map(parse_citation, list_or_empty(annotations))))


def render_citation(citation: Citation, start: int, end: int) -> Json | None:
    """An annotation of the text from `start` to `end`; None for a source without a URL."""
    if citation.dialect == NAME and citation.native:
        return _shift_positions(citation.native, start)
    if citation.url is None:
        return None
    return {
        "type": "url_citation",
        "url": citation.url,
        "title": citation.title or citation.url,
        "start_index": start if citation.start is None else start + citation.start,
        "end_index": end if citation.end is None else start + citation.end,
    }


def _shift_positions(annotation: Json, offset: int) -> Json:
    """The annotation of a text that begins at an offset in a longer one."""
    positions = {
        name: annotation[name] + offset
        for name in ("start_index", "end_index")
        if type(annotation.get(name)) is int
    }
    return {**annotation, **positions} if offset and positions else annotation


# --- a client's parts -----------------------------------------------------------------------------


def parse_content(holder: Json, key: str, path: str) -> tuple[Part, ...]:
    """The parts in a field: a string, a list of parts, or nothing."""
    content = holder.get(key)
    if type(content) is str:
        return (Text(text=content, path=path),)
    if content is None:
        return ()
    field_path = f"{path}.{key}"
    if type(content) is not list:
        raise wrong_type(field_path, "a string or a list of parts", content)
    return tuple([_parse_part(part, f"{field_path}[{i}]") for i, part in enumerate(content)])


def _parse_part(part: Any, path: str) -> Part:
    if type(part) is not dict:
        raise wrong_type(path, "an object with a type", part)
    kind = part.get("type")
    if type(kind) is not str:
        raise invalid(
            f"{path}.type is required and must be a string such as 'input_text'", f"{path}.type"
        )
    reader = _PART_PARSERS.get(kind)
    return Native(dialect=NAME, data=part, path=path) if reader is None else reader(part, path)


def _parse_text(part: Json, path: str) -> Text:
    part_text = required_text(part, "text", path)
    if len(part) == 2:
        return Text(text=part_text, path=path)
    return Text(
        text=part_text,
        citations=parse_citations(part.get("annotations")),
        cache=parse_openai_breakpoint(part),
        path=path,
    )


def _parse_refusal(part: Json, path: str) -> Refusal:
    return Refusal(text=required_text(part, "refusal", path), path=path)


def _parse_detail(part: Json, path: str) -> str | None:
    detail = text(part, "detail", path)
    return None if detail == "auto" else detail


def _parse_image(part: Json, path: str) -> Image:
    detail = _parse_detail(part, path)
    cache = parse_openai_breakpoint(part)
    file_id = text(part, "file_id", path)
    if file_id is not None:
        return Image(file_id=file_id, detail=detail, cache=cache, path=path)
    url = required_text(part, "image_url", path)
    data_url = parse_data_url(url)
    if data_url is None:
        return Image(url=url, detail=detail, cache=cache, path=path)
    declared_type, data = data_url
    media_type = resolve_media_type(data, declared_type, "image/png")
    return Image(data=data, media_type=media_type, detail=detail, cache=cache, path=path)


def _parse_file(part: Json, path: str) -> Document:
    title, cache = text(part, "filename", path), parse_openai_breakpoint(part)
    file_id, url = text(part, "file_id", path), text(part, "file_url", path)
    detail = _parse_detail(part, path)
    if file_id is not None:
        return Document(file_id=file_id, title=title, detail=detail, cache=cache, path=path)
    if url is not None:
        return Document(url=url, title=title, detail=detail, cache=cache, path=path)
    data = text(part, "file_data", path)
    if data is None:
        raise invalid(f"{path} must contain file_data, file_url or file_id", path)
    declared_type, data = parse_data_url(data) or (None, join_lines(data))
    media_type = guess_file_type(data, declared_type, title)
    return Document(
        data=data, media_type=media_type, title=title, detail=detail, cache=cache, path=path
    )


def _parse_audio(part: Json, path: str) -> Audio:
    audio = required_mapping(part, "input_audio", path)
    field_path = f"{path}.input_audio"
    data, form = (
        required_text(audio, "data", field_path),
        required_text(audio, "format", field_path),
    )
    return Audio(data=data, format=form, path=path)


_PART_PARSERS: dict[str, Callable[[Json, str], Part]] = {
    "input_text": _parse_text,
    "output_text": _parse_text,
    "text": _parse_text,
    "refusal": _parse_refusal,
    "input_image": _parse_image,
    "input_file": _parse_file,
    "input_audio": _parse_audio,
}


# --- a provider's parts ---------------------------------------------------------------------------


def render_parts(context: ResponsesRenderContext, parts: Iterable[Part]) -> list[Json]:
    """The content parts to send; parts that the target does not accept are reported."""
    return [item for part in parts for item in _render_part(context, part)]


def _render_part(context: ResponsesRenderContext, part: Part) -> list[Json]:
    match part:
        case Text():
            if part.citations:
                context.drop(
                    context.part_field(part.path, "citations"),
                    "OpenAI does not support sources in requests",
                )
            return [context.with_cache_breakpoint(_render_text_part(part.text), part.cache)]
        case Image():
            return [context.with_cache_breakpoint(_render_image(context, part), part.cache)]
        case Document():
            return _render_document(context, part)
        case Refusal():
            context.approximate(
                part.path, "a refusal that is not the assistant's own is sent as text"
            )
            return [_render_text_part(part.text)]
        case Native():
            return render_native(context, part)
        case Audio():
            raise unsupported(part.path, "OpenAI Responses does not support audio")
        case ToolCall() | ToolResult() | Reasoning():
            context.drop(part.path, "this part is not allowed here in OpenAI Responses")
            return []
        case _:
            assert_never(part)


def _render_text_part(text: str) -> Json:
    return {"type": "input_text", "text": text}


def render_native(context: ResponsesRenderContext, part: Native) -> list[Json]:
    """A part or item of this dialect, unchanged; parts of other dialects are reported."""
    if part.dialect == NAME:
        return [part.data]
    if (text := context.native_text(part)) is not None:
        return [_render_text_part(text.text)]
    kind = native_kind(part.data)
    context.drop(part.path, f"OpenAI Responses does not support {kind} blocks")
    return []


def _render_media_note(
    context: ResponsesRenderContext, path: str, media_name: str, reason: str
) -> Json:
    """A text that replaces media which the target does not accept."""
    return _render_text_part(context.media_note(path, media_name, reason))


def _render_image(context: ResponsesRenderContext, image: Image) -> Json:
    traits = context.traits
    if not traits.images:
        return _render_media_note(
            context, image.path, "image", "this model does not support images"
        )
    out: Json = {"type": "input_image", "detail": image.detail or "auto"}
    if image.file_id is not None:
        return {**out, "file_id": _checked_file_id(context, image.file_id, image.path)}
    if image.data is not None:
        media_type = resolve_media_type(image.data, image.media_type, "image/png")
        return {**out, "image_url": data_url(media_type, image.data)}
    if not traits.image_urls:
        return _render_media_note(
            context, image.path, "image", "this provider does not support image URLs"
        )
    return {**out, "image_url": web_url(image.url, image.path)}


def _checked_file_id(context: ResponsesRenderContext, file_id: str, path: str) -> str:
    """The file id. Raises GatewayError for one of another provider."""
    if is_foreign_file(context.request, file_id):
        raise unsupported(path, "the file ID belongs to another provider; send the file's data")
    return file_id


def _render_document(context: ResponsesRenderContext, document: Document) -> list[Json]:
    if document.citations:
        path = context.part_field(document.path, "document_citations")
        context.drop(path, "no equivalent in OpenAI Responses")
    if (
        not context.traits.pdf
        and (document_text := decode_text_file(document.data, document.media_type)) is not None
    ):
        document = replace(document, text=document_text, data=None)
    if document.text is not None or document.parts is not None:
        return _render_document_as_text(context, document)
    if document.context is not None:
        path = context.part_field(document.path, "context")
        context.drop(path, "no equivalent in OpenAI Responses")
    if not context.traits.pdf:
        note = _render_media_note(
            context, document.path, "document", "this model does not support documents"
        )
        return [context.with_cache_breakpoint(note, document.cache)]
    return [context.with_cache_breakpoint(_render_file(context, document), document.cache)]


def _render_file(context: ResponsesRenderContext, document: Document) -> Json:
    out: Json = {"type": "input_file"}
    if document.detail is not None:
        out["detail"] = document.detail
    if document.file_id is not None:
        out["file_id"] = _checked_file_id(context, document.file_id, document.path)
        return out if document.title is None else {**out, "filename": document.title}
    if document.data is None:
        if document.title is not None:
            out["filename"] = document.title
        return {**out, "file_url": web_url(document.url, document.path)}
    media_type = document.media_type or sniff_base64(document.data) or "application/pdf"
    name = document.title or default_file_name(media_type)
    return {**out, "filename": name, "file_data": data_url(media_type, document.data)}


def _render_document_as_text(context: ResponsesRenderContext, document: Document) -> list[Json]:
    """A text document as text content under its title."""
    context.approximate(
        document.path, "sent as text: OpenAI Responses does not support text documents"
    )
    heading = "\n".join(line for line in (document.title, document.context) if line)
    if document.text is not None:
        body = f"{heading}\n\n{document.text}" if heading else document.text
        return [context.with_cache_breakpoint(_render_text_part(body), document.cache)]
    inner_parts = render_parts(context, document.parts or ())
    items = [_render_text_part(heading), *inner_parts] if heading else inner_parts
    if items:
        context.with_cache_breakpoint(items[-1], document.cache)
    return items
