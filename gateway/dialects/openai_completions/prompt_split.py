"""Splits a request with several prompts into one request each, and merges the responses.

For providers that accept one prompt per request. With `n` choices per prompt, the choices
of prompt `i` start at index `i * n`.
"""

from __future__ import annotations

import msgspec

from gateway.dialects.openai_completions.names import Json
from gateway.framing.sse import Decoder, encode

MAX_PROMPTS = 128
_DONE = b"[DONE]"


def split_request(body: Json) -> list[Json]:
    """A request for each prompt; empty for a single prompt or token ids."""
    prompts = body.get("prompt")
    if type(prompts) is not list or not 1 < len(prompts) <= MAX_PROMPTS:
        return []
    if not all(type(prompt) is str for prompt in prompts):
        return []
    return [{**body, "prompt": prompt} for prompt in prompts]


def merge_responses(bodies: list[Json]) -> Json:
    """One response: all choices in the order of the prompts, and the sum of the usage."""
    choices: list[Json] = []
    for body in bodies:
        choices += [
            {**choice, "index": len(choices) + index}
            for index, choice in enumerate(body.get("choices", []))
        ]
    out = {**bodies[0], "choices": choices}
    usages = [body["usage"] for body in bodies if isinstance(body.get("usage"), dict)]
    out.pop("usage", None)
    if len(usages) == len(bodies):
        out["usage"] = _sum_usage(usages)
    return out


def _sum_usage(usages: list[Json]) -> Json:
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    return {name: sum(usage.get(name, 0) for usage in usages) for name in names}


class MergedCompletionStream:
    """Merges the consecutive streams of the responses into one stream."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._usages: list[Json] = []
        self._head: Json = {}
        self._done_count = 0
        self._choices_per_prompt = 1  # choices per prompt, from the first prompt's stream
        self._id: object = None

    def feed(self, index: int, chunk_bytes: bytes) -> bytes:
        """The bytes for the client of a chunk of the stream of this prompt."""
        out = b""
        for frame in self._decoder.feed(chunk_bytes):
            if frame.data == _DONE:
                self._done_count += 1
                continue
            chunk: Json = msgspec.json.decode(frame.data)
            if not chunk.get("choices") and "usage" in chunk:
                # Sent once, at the end of the merged stream.
                self._usages.append(chunk["usage"])
                continue
            out += encode(msgspec.json.encode(self._renumber_choices(index, chunk)))
        # A keep-alive comment is passed on.
        return out if out or not chunk_bytes.startswith(b":") else chunk_bytes

    def _renumber_choices(self, index: int, chunk: Json) -> Json:
        if not chunk.get("choices"):
            return chunk
        # All chunks of a response have one id.
        self._id = self._id or chunk.get("id")
        chunk = {**chunk, "id": self._id}
        self._head = {key: value for key, value in chunk.items() if key != "choices"}
        if index == 0:
            self._choices_per_prompt = max(
                self._choices_per_prompt, *(choice["index"] + 1 for choice in chunk["choices"])
            )
        first_index = index * self._choices_per_prompt
        choices = [
            {**choice, "index": first_index + choice["index"]} for choice in chunk["choices"]
        ]
        return {**chunk, "choices": choices}

    def close(self) -> bytes:
        """The end of the merged stream: the usage, if requested, and `[DONE]`."""
        out = b""
        if self._usages and len(self._usages) == self._done_count:
            usage_chunk = {**self._head, "choices": [], "usage": _sum_usage(self._usages)}
            out = encode(msgspec.json.encode(usage_chunk))
        return out + encode(_DONE)
