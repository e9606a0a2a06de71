"""Content parts of a client's items -> canonical parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.canon.errors import invalid
from gateway.canon.media import from_data_url, media_type_of, sniffed
from gateway.canon.request import Audio, Document, Image, Native, Part, Refusal, Text
from gateway.dialects.fields import needed_mapping, needed_text, text, wrong
from gateway.dialects.openai_responses.citations import citations_in
from gateway.dialects.openai_responses.job import cache_in
from gateway.dialects.openai_responses.names import NAME, Json


def content_in(holder: Json, key: str, at: str) -> tuple[Part, ...]:
    """The parts in a field: a string, a list of parts, or nothing."""
    content = holder.get(key)
    if type(content) is str:
        return (Text(text=content, at=at),)
    if content is None:
        return ()
    path = f"{at}.{key}"
    if type(content) is not list:
        raise wrong(path, "a string or a list of parts", content)
    return tuple([_part_in(part, f"{path}[{i}]") for i, part in enumerate(content)])


def _part_in(part: Any, at: str) -> Part:
    if type(part) is not dict:
        raise wrong(at, "an object with a type", part)
    kind = part.get("type")
    if type(kind) is not str:
        raise invalid(f"{at}.type is required: give a string such as 'input_text'", f"{at}.type")
    reader = _READERS.get(kind)
    return Native(dialect=NAME, data=part, at=at) if reader is None else reader(part, at)


def _text_in(part: Json, at: str) -> Text:
    words = needed_text(part, "text", at)
    if len(part) == 2:
        return Text(text=words, at=at)
    return Text(
        text=words, citations=citations_in(part.get("annotations")), cache=cache_in(part), at=at
    )


def _refusal_in(part: Json, at: str) -> Refusal:
    return Refusal(text=needed_text(part, "refusal", at), at=at)


def _image_in(part: Json, at: str) -> Image:
    detail = text(part, "detail", at)
    detail = None if detail == "auto" else detail
    cache = cache_in(part)
    file_id = text(part, "file_id", at)
    if file_id is not None:
        return Image(file_id=file_id, detail=detail, cache=cache, at=at)
    url = needed_text(part, "image_url", at)
    held = from_data_url(url)
    if held is None:
        return Image(url=url, detail=detail, cache=cache, at=at)
    told, data = held
    media_type = media_type_of(data, told, "image/png")
    return Image(data=data, media_type=media_type, detail=detail, cache=cache, at=at)


def _file_in(part: Json, at: str) -> Document:
    title, cache = text(part, "filename", at), cache_in(part)
    file_id, url = text(part, "file_id", at), text(part, "file_url", at)
    if file_id is not None:
        return Document(file_id=file_id, title=title, cache=cache, at=at)
    if url is not None:
        return Document(url=url, title=title, cache=cache, at=at)
    data = text(part, "file_data", at)
    if data is None:
        raise invalid(f"{at} must hold file_data, file_url or file_id", at)
    told, data = from_data_url(data) or (None, data)
    media_type = told or sniffed(data) or "application/pdf"
    return Document(data=data, media_type=media_type, title=title, cache=cache, at=at)


def _audio_in(part: Json, at: str) -> Audio:
    audio = needed_mapping(part, "input_audio", at)
    path = f"{at}.input_audio"
    data, form = needed_text(audio, "data", path), needed_text(audio, "format", path)
    return Audio(data=data, format=form, at=at)


_READERS: dict[str, Callable[[Json, str], Part]] = {
    "input_text": _text_in,
    "output_text": _text_in,
    "text": _text_in,
    "refusal": _refusal_in,
    "input_image": _image_in,
    "input_file": _file_in,
    "input_audio": _audio_in,
}
