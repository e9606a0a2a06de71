"""Files and sound as chunks that hold one string each, both ways: Mistral's form of them.

Its clients send them to any model; only its own models take them.
"""

from __future__ import annotations

from typing import Any

from gateway.canon.media import data_url, from_data_url, sniffed
from gateway.canon.request import Audio, Document
from gateway.dialects.fields import needed_text, text
from gateway.dialects.openai_chat.job import Job

Json = dict[str, Any]
_PDF = "application/pdf"
# What its models hear is not told; the bytes show it but for a few kinds.
_SOUNDS = {"audio/wav": "wav", "audio/mpeg": "mp3"}


def document_in(part: Json, at: str) -> Document:
    """A `document_url`, of an address or of the bytes themselves."""
    url, title = needed_text(part, "document_url", at), text(part, "document_name", at)
    held = from_data_url(url)
    if held is None:
        return Document(url=url, title=title, at=at)
    told, data = held
    return Document(data=data, media_type=told or sniffed(data) or _PDF, title=title, at=at)


def audio_in(data: str, at: str) -> Audio:
    """Sound in plain base64."""
    return Audio(data=data, format=_SOUNDS.get(sniffed(data) or "", "wav"), at=at)


def document_out(job: Job, document: Document) -> Json:
    """A file that is given by its bytes or its address."""
    url = document.url
    if document.data is not None:
        job.bend(document.at, "sent as the data URL of a document")
        media_type = document.media_type or sniffed(document.data) or _PDF
        url = data_url(media_type, document.data)
    out: Json = {"type": "document_url", "document_url": url}
    return out if document.title is None else {**out, "document_name": document.title}


def audio_out(audio: Audio) -> Json:
    """Sound, whose format the bytes tell."""
    return {"type": "input_audio", "input_audio": audio.data}
