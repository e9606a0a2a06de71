"""Several prompts in one request: taken apart, and the answers put together again.

A provider that continues one prompt at a time is asked once for each. Of `n` choices a
prompt has those from its own place times `n` on.
"""

from __future__ import annotations

import msgspec

from gateway.dialects.openai_completions.names import Json
from gateway.framing.sse import Decoder, encode

MOST = 128
_DONE = b"[DONE]"


def split(body: Json) -> list[Json]:
    """A request for each prompt; empty where there is one prompt, or tokens."""
    prompts = body.get("prompt")
    if type(prompts) is not list or not 1 < len(prompts) <= MOST:
        return []
    if not all(type(prompt) is str for prompt in prompts):
        return []
    return [{**body, "prompt": prompt} for prompt in prompts]


def joined(bodies: list[Json]) -> Json:
    """One answer of all: choices in the order of the prompts, counts added up."""
    choices: list[Json] = []
    for body in bodies:
        choices += [
            {**choice, "index": len(choices) + place}
            for place, choice in enumerate(body.get("choices", []))
        ]
    out = {**bodies[0], "choices": choices}
    usages = [body["usage"] for body in bodies if isinstance(body.get("usage"), dict)]
    out.pop("usage", None)
    if len(usages) == len(bodies):
        out["usage"] = _added(usages)
    return out


def _added(usages: list[Json]) -> Json:
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    return {name: sum(usage.get(name, 0) for usage in usages) for name in names}


class JoinedStream:
    """The streams of the answers, one after the other, as one stream."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._usages: list[Json] = []
        self._head: Json = {}
        self._streams = 0
        self._each = 1  # how many choices a prompt has, as the first one shows
        self._id: object = None

    def feed(self, place: int, data: bytes) -> bytes:
        """The bytes for the client of a piece of the stream of this prompt."""
        out = b""
        for frame in self._decoder.feed(data):
            if frame.data == _DONE:
                self._streams += 1
                continue
            chunk: Json = msgspec.json.decode(frame.data)
            if not chunk.get("choices") and "usage" in chunk:
                # Told once, at the end of all.
                self._usages.append(chunk["usage"])
                continue
            out += encode(msgspec.json.encode(self._placed(place, chunk)))
        # A sign of life goes on as it is.
        return out if out or not data.startswith(b":") else data

    def _placed(self, place: int, chunk: Json) -> Json:
        if not chunk.get("choices"):
            return chunk
        # Chunks of one answer have one id.
        self._id = self._id or chunk.get("id")
        chunk = {**chunk, "id": self._id}
        self._head = {key: value for key, value in chunk.items() if key != "choices"}
        if place == 0:
            self._each = max(self._each, *(choice["index"] + 1 for choice in chunk["choices"]))
        first = place * self._each
        placed = [{**choice, "index": first + choice["index"]} for choice in chunk["choices"]]
        return {**chunk, "choices": placed}

    def close(self) -> bytes:
        """The end of all: the counts where they were asked for, and the end's mark."""
        out = b""
        if self._usages and len(self._usages) == self._streams:
            last = {**self._head, "choices": [], "usage": _added(self._usages)}
            out = encode(msgspec.json.encode(last))
        return out + encode(_DONE)
