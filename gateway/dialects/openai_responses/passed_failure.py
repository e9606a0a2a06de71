"""The failure of a stream whose events were passed through so far."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.errors import Error
from gateway.dialects.openai_responses.context import Json
from gateway.dialects.openai_responses.response import render_failure
from gateway.framing.sse import Decoder


def render_passed_failure(error: Error, first: bytes, last: bytes) -> bytes:
    """`response.failed`, given the first and the last bytes that the client was sent.

    It repeats the upstream's response and continues its numbers: OpenAI's SDK fails if the
    response has another id. Empty if the first bytes contain no response.
    """
    responses = [event["response"] for event in _events(first) if event.get("response")]
    if not responses or not isinstance(responses[0], dict):
        return b""
    numbers = [event.get("sequence_number") for event in [*_events(first), *_events(last)]]
    last_number = max((number for number in numbers if type(number) is int), default=-1)
    name = "response.failed"
    event: Json = {
        "type": name,
        "sequence_number": last_number + 1,
        "response": {**responses[0], "status": "failed", "error": render_failure(error)},
    }
    return f"event: {name}\ndata: ".encode() + msgspec.json.encode(event) + b"\n\n"


def _events(data: bytes) -> list[Json]:
    """The events in whole frames."""
    decoder = Decoder()
    values: list[Any] = []
    for frame in [*decoder.feed(data), *decoder.close()]:
        try:
            values.append(msgspec.json.decode(frame.data))
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            continue
    return [value for value in values if isinstance(value, dict)]
