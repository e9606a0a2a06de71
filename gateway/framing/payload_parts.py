"""Payload parts of Amazon SageMaker: the stream of a container inside an AWS event stream.

`InvokeEndpointWithResponseStream` cuts the bytes of the container's own response anywhere and
sends them as events `PayloadPart`. A failure becomes an error in a server-sent event, as
containers with OpenAI's Chat API send theirs.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.framing import eventstream, sse

_PART = "PayloadPart"
_FAILURES = ("Error", "Failure", "Exception")


class Decoder:
    """Buffers bytes and returns those of the container."""

    def __init__(self) -> None:
        self._messages = eventstream.Decoder()

    def feed(self, data: bytes) -> bytes:
        """Return the container's bytes in `data`. Raises CorruptMessage or FrameTooLarge."""
        parts = []
        for frame in self._messages.feed(data):
            if frame.event == _PART:
                parts.append(frame.data)
            elif frame.event.endswith(_FAILURES):
                # Ends an event that the failure has truncated.
                parts.append(b"\n\n" + sse.encode(_error_frame(frame)))
        return b"".join(parts)


def _error_frame(frame: sse.Frame) -> bytes:
    try:
        fields = msgspec.json.decode(frame.data, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        fields = {}
    message = fields.get("Message") or fields.get("message") or "the stream of the endpoint failed"
    code = fields.get("ErrorCode") or frame.event
    return msgspec.json.encode({"error": {"message": str(message), "code": str(code)}})
