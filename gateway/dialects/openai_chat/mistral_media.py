"""Mistral's form of files and audio, parsed and rendered: parts that hold one string each.

Its clients send them to any model; only Mistral's own models accept them.
"""

from __future__ import annotations

from typing import Any

from gateway.canon.media import data_url, parse_data_url, sniff_base64
from gateway.canon.request import Audio, Document
from gateway.dialects.openai_chat.render_context import ChatRenderContext
from gateway.dialects.shared.fields import required_text, text

Json = dict[str, Any]
_PDF = "application/pdf"
# The form does not declare the audio format; the bytes reveal it for most formats.
_AUDIO_FORMATS = {"audio/wav": "wav", "audio/mpeg": "mp3"}


def document_in(part: Json, path: str) -> Document:
    """A `document_url`, which is a URL or a data URL."""
    url, title = required_text(part, "document_url", path), text(part, "document_name", path)
    decoded = parse_data_url(url)
    if decoded is None:
        return Document(url=url, title=title, path=path)
    media_type, data = decoded
    return Document(
        data=data, media_type=media_type or sniff_base64(data) or _PDF, title=title, path=path
    )


def audio_in(data: str, path: str) -> Audio:
    """Audio in base64."""
    return Audio(data=data, format=_AUDIO_FORMATS.get(sniff_base64(data) or "", "wav"), path=path)


def document_out(context: ChatRenderContext, document: Document) -> Json:
    """A file, by its bytes or its URL."""
    url = document.url
    if document.data is not None:
        context.approximate(document.path, "sent as the data URL of a document")
        media_type = document.media_type or sniff_base64(document.data) or _PDF
        url = data_url(media_type, document.data)
    out: Json = {"type": "document_url", "document_url": url}
    return out if document.title is None else {**out, "document_name": document.title}


def audio_out(audio: Audio) -> Json:
    """Audio, whose format the bytes reveal."""
    return {"type": "input_audio", "input_audio": audio.data}
