"""Content parts of a client's items -> canonical parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.canon.errors import invalid
from gateway.canon.media import parse_data_url, resolve_media_type, sniff_base64
from gateway.canon.request import Audio, Document, Image, Native, Part, Refusal, Text
from gateway.dialects.openai_responses.citations import citations_in
from gateway.dialects.openai_responses.names import NAME, Json
from gateway.dialects.openai_responses.render_context import cache_in
from gateway.dialects.shared.fields import required_mapping, required_text, text, wrong_type


def content_in(holder: Json, key: str, path: str) -> tuple[Part, ...]:
    """The parts in a field: a string, a list of parts, or nothing."""
    content = holder.get(key)
    if type(content) is str:
        return (Text(text=content, path=path),)
    if content is None:
        return ()
    field_path = f"{path}.{key}"
    if type(content) is not list:
        raise wrong_type(field_path, "a string or a list of parts", content)
    return tuple([_part_in(part, f"{field_path}[{i}]") for i, part in enumerate(content)])


def _part_in(part: Any, path: str) -> Part:
    if type(part) is not dict:
        raise wrong_type(path, "an object with a type", part)
    kind = part.get("type")
    if type(kind) is not str:
        raise invalid(f"{path}.type is required: a string such as 'input_text'", f"{path}.type")
    reader = _READERS.get(kind)
    return Native(dialect=NAME, data=part, path=path) if reader is None else reader(part, path)


def _text_in(part: Json, path: str) -> Text:
    part_text = required_text(part, "text", path)
    if len(part) == 2:
        return Text(text=part_text, path=path)
    return Text(
        text=part_text,
        citations=citations_in(part.get("annotations")),
        cache=cache_in(part),
        path=path,
    )


def _refusal_in(part: Json, path: str) -> Refusal:
    return Refusal(text=required_text(part, "refusal", path), path=path)


def _image_in(part: Json, path: str) -> Image:
    detail = text(part, "detail", path)
    detail = None if detail == "auto" else detail
    cache = cache_in(part)
    file_id = text(part, "file_id", path)
    if file_id is not None:
        return Image(file_id=file_id, detail=detail, cache=cache, path=path)
    url = required_text(part, "image_url", path)
    decoded = parse_data_url(url)
    if decoded is None:
        return Image(url=url, detail=detail, cache=cache, path=path)
    declared_type, data = decoded
    media_type = resolve_media_type(data, declared_type, "image/png")
    return Image(data=data, media_type=media_type, detail=detail, cache=cache, path=path)


def _file_in(part: Json, path: str) -> Document:
    title, cache = text(part, "filename", path), cache_in(part)
    file_id, url = text(part, "file_id", path), text(part, "file_url", path)
    if file_id is not None:
        return Document(file_id=file_id, title=title, cache=cache, path=path)
    if url is not None:
        return Document(url=url, title=title, cache=cache, path=path)
    data = text(part, "file_data", path)
    if data is None:
        raise invalid(f"{path} must hold file_data, file_url or file_id", path)
    declared_type, data = parse_data_url(data) or (None, data)
    media_type = declared_type or sniff_base64(data) or "application/pdf"
    return Document(data=data, media_type=media_type, title=title, cache=cache, path=path)


def _audio_in(part: Json, path: str) -> Audio:
    audio = required_mapping(part, "input_audio", path)
    field_path = f"{path}.input_audio"
    data, form = (
        required_text(audio, "data", field_path),
        required_text(audio, "format", field_path),
    )
    return Audio(data=data, format=form, path=path)


_READERS: dict[str, Callable[[Json, str], Part]] = {
    "input_text": _text_in,
    "output_text": _text_in,
    "text": _text_in,
    "refusal": _refusal_in,
    "input_image": _image_in,
    "input_file": _file_in,
    "input_audio": _audio_in,
}
