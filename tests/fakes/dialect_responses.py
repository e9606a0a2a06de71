"""Minimal valid responses of both dialects, for servers that add faults."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

TEXT = "All is well."
PIECES = ("All ", "is ", "well.")


@dataclass(frozen=True)
class DialectResponses:
    """A dialect's valid responses: whole, and as the events of a stream.

    `events` begins with the events before the text, then has one event per text chunk;
    `ending` finishes the stream and `error` interrupts it.
    """

    whole: dict[str, Any]
    events: tuple[bytes, ...]
    ending: tuple[bytes, ...]
    error: bytes
    wrong_shape: Any
    keepalive: bytes

    def refusal(self, kind: str, message: str, code: str | None = None) -> dict[str, Any]:
        """Return an error object."""
        if "role" in self.whole:
            return {"type": "error", "error": {"type": kind, "message": message}}
        return {"error": {"type": kind, "message": message, "param": None, "code": code}}


def _data(value: dict[str, Any], name: str = "") -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(value, separators=(',', ':'))}\n\n".encode()


def _chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    head = {"id": "chatcmpl-chaos", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return _data({**head, "choices": [choice], **more})


def _named_event(value: dict[str, Any]) -> bytes:
    return _data(value, value["type"])


_CHAT_USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
CHAT = DialectResponses(
    whole={
        "id": "chatcmpl-chaos",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": TEXT},
                "finish_reason": "stop",
            }
        ],
        "usage": _CHAT_USAGE,
    },
    events=(
        _chunk({"role": "assistant", "content": ""}),
        *(_chunk({"content": piece}) for piece in PIECES),
    ),
    ending=(_chunk({}, "stop", usage=_CHAT_USAGE), b"data: [DONE]\n\n"),
    error=_data({"error": {"message": "it broke", "type": "server_error", "code": None}}),
    wrong_shape={"object": "chat.completion", "choices": "many"},
    keepalive=b": still here\n\n",
)

_HEAD = {"id": "msg_chaos", "type": "message", "role": "assistant", "model": "m"}
_ENDS = {"stop_reason": "end_turn", "stop_sequence": None}
_USAGE = {"input_tokens": 3, "output_tokens": 4}
MESSAGES = DialectResponses(
    whole={**_HEAD, "content": [{"type": "text", "text": TEXT}], **_ENDS, "usage": _USAGE},
    events=(
        _named_event(
            {
                "type": "message_start",
                "message": {**_HEAD, "content": [], **dict.fromkeys(_ENDS), "usage": _USAGE},
            }
        )
        + _named_event(
            {
                "type": "content_block_start",
                "index": 0,
                "content_block": {"type": "text", "text": ""},
            }
        ),
        *(
            _named_event(
                {
                    "type": "content_block_delta",
                    "index": 0,
                    "delta": {"type": "text_delta", "text": piece},
                }
            )
            for piece in PIECES
        ),
    ),
    ending=(
        _named_event({"type": "content_block_stop", "index": 0}),
        _named_event({"type": "message_delta", "delta": _ENDS, "usage": {"output_tokens": 4}}),
        _named_event({"type": "message_stop"}),
    ),
    error=_named_event({"type": "error", "error": {"type": "api_error", "message": "it broke"}}),
    wrong_shape={"type": "message", "content": {"text": "much"}},
    keepalive=_named_event({"type": "ping"}),
)
