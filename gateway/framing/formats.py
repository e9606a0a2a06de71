"""Stream formats by name: how each delimits its frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from gateway.framing import eventstream, ndjson, sse
from gateway.framing.sse import Frame


class FrameDecoder(Protocol):
    """Buffers bytes and returns complete frames."""

    @property
    def pending(self) -> bool:
        """Whether an incomplete frame is buffered."""

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that `data` completes. Raises FrameTooLarge."""

    def close(self) -> list[Frame]:
        """Return the frames that the end of the stream completes."""


class StreamFormat(msgspec.Struct, frozen=True, kw_only=True):
    """A stream format.

    Attributes:
        content_type: the `content-type` header of a stream in this format.
        content_type_marker: the substring of an upstream's `content-type` that
            identifies the format.
        frame_terminators: the byte sequences that end a frame.
        new_decoder: creates a decoder for one stream.
        detect_stream: whether a body with these first bytes is in this format; None if they
            do not tell.
    """

    content_type: bytes
    content_type_marker: str
    frame_terminators: tuple[bytes, ...]
    new_decoder: Callable[[], FrameDecoder]
    detect_stream: Callable[[bytes], bool | None] = lambda head: None

    def matches(self, content_type: str, head: bytes) -> bool:
        """Whether a body is in this format.

        The SDKs of OpenAI, Anthropic and Ollama read any type as a stream, and some servers
        declare none or another one, so the first bytes decide where they can.
        """
        detected = self.detect_stream(head)
        return self.content_type_marker in content_type if detected is None else detected


STREAM_FORMATS: dict[str, StreamFormat] = {
    "sse": StreamFormat(
        content_type=b"text/event-stream; charset=utf-8",
        content_type_marker="event-stream",
        frame_terminators=(b"\n\n", b"\r\n\r\n", b"\r\r"),
        new_decoder=sse.Decoder,
        detect_stream=sse.detect_stream,
    ),
    "ndjson": StreamFormat(
        content_type=b"application/x-ndjson",
        content_type_marker="ndjson",
        frame_terminators=(b"\n",),
        new_decoder=ndjson.Decoder,
        detect_stream=ndjson.detect_stream,
    ),
    "eventstream": StreamFormat(
        content_type=b"application/vnd.amazon.eventstream",
        content_type_marker="amazon.eventstream",
        frame_terminators=(),
        new_decoder=eventstream.Decoder,
    ),
}
# Chat as clients of Mistral, xAI and OpenRouter read it: only the content of events differs.
for name in ("whole_calls", "thinking_chunks", "api_v1"):
    STREAM_FORMATS[name] = STREAM_FORMATS["sse"]
# Server-sent events until they are sent to the client.
STREAM_FORMATS["invoke"] = msgspec.structs.replace(
    STREAM_FORMATS["sse"],
    content_type=STREAM_FORMATS["eventstream"].content_type,
    content_type_marker=STREAM_FORMATS["eventstream"].content_type_marker,
)
