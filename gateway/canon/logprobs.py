"""Log probabilities of a response, in the form of OpenAI's Chat.

Dialects convert theirs to this form and back. A stream has them in its deltas, a complete
response in `extra` under `KEY`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.canon.events import BlockStart, Delta, Event
from gateway.canon.json_values import dict_items
from gateway.canon.request import Request
from gateway.canon.response import Response

Json = dict[str, Any]
KEY = "openai_logprobs"
NOT_TRANSLATABLE = "log probabilities cannot be translated back"
# The request fields by which clients of these APIs request them.
_REQUEST_FIELDS = frozenset({"logprobs", "include", "generationConfig.responseLogprobs"})


def accepts_logprobs(request: Request) -> bool:
    """Whether the client's dialect can carry the log probabilities of the response."""
    return request.client_paths.get("logprobs") in _REQUEST_FIELDS


def build_token(
    text: Any, logprob: Any, alternatives: Iterable[Json] = (), raw_bytes: Any = None
) -> Json:
    """One token with its log probability and its alternatives.

    `raw_bytes` are its bytes as a list of numbers, by default those of the text. They differ for a
    token that is a part of a character, which text cannot express.
    """
    text = text if isinstance(text, str) else ""
    number = logprob if isinstance(logprob, int | float) else 0.0
    top_logprobs = [
        {k: v for k, v in alternative.items() if k != "top_logprobs"}
        for alternative in alternatives
    ]
    if not isinstance(raw_bytes, list) or not all(isinstance(byte, int) for byte in raw_bytes):
        raw_bytes = list(text.encode("utf-8", "replace"))
    return {"token": text, "logprob": number, "bytes": raw_bytes, "top_logprobs": top_logprobs}


def parse_tokens(tokens: Any) -> list[Json]:
    """The tokens of a list in OpenAI's form; fields that the provider omits get defaults."""
    return [_parse_token(item) for item in dict_items(tokens)]


def logprob_tokens(logprobs: Any) -> list[Json]:
    """The tokens in the `logprobs` of a Chat choice, unchanged: of its text, else its refusal."""
    if not isinstance(logprobs, dict):
        return []
    return dict_items(logprobs.get("content")) or dict_items(logprobs.get("refusal"))


def _parse_token(item: Json) -> Json:
    alternatives = (
        build_token(
            alternative.get("token"), alternative.get("logprob"), raw_bytes=alternative.get("bytes")
        )
        for alternative in dict_items(item.get("top_logprobs"))
    )
    return build_token(item.get("token"), item.get("logprob"), alternatives, item.get("bytes"))


def with_bytes(item: Json) -> Json:
    """A token with lists of bytes, which may be null in Chat, but not in OpenAI's Responses."""
    alternatives = [
        {**alternative, "bytes": alternative.get("bytes") or []}
        for alternative in item.get("top_logprobs") or ()
    ]
    return {**item, "bytes": item.get("bytes") or [], "top_logprobs": alternatives}


def without_bytes(item: Json) -> Json:
    """A token without `bytes`, as in the deltas of OpenAI's Responses."""
    alternatives = [_rename_fields(alternative) for alternative in item.get("top_logprobs") or ()]
    return {**_rename_fields(item), "top_logprobs": alternatives}


def _rename_fields(item: Json) -> Json:
    return {"token": item["token"], "logprob": item["logprob"]}


def logprobs_extra(tokens: Any) -> dict[str, Json]:
    """The entry for a response's `extra`; empty without tokens."""
    valid = [t if _is_complete(t) else _parse_token(t) for t in dict_items(tokens)]
    return {KEY: {"tokens": valid}} if valid else {}


def _is_complete(item: Json) -> bool:
    """Whether a token and its alternatives have the fields that every dialect reads."""
    alternatives = item.get("top_logprobs")
    if not isinstance(alternatives, list) or len(dict_items(alternatives)) < len(alternatives):
        return False
    return all(
        isinstance(each.get("token"), str) and isinstance(each.get("logprob"), int | float)
        for each in (item, *alternatives)
    )


def token_logprobs(response: Response) -> list[Json]:
    """The tokens with their log probabilities; empty if the response has none."""
    tokens: list[Json] = response.extra.get(KEY, {}).get("tokens", [])
    return tokens


def attach_logprobs(events: list[Event], tokens: Any, open_kind: str | None) -> list[Event]:
    """The events of one chunk with the chunk's tokens at its first text.

    `open_kind` is the kind of the block that is open before the events.
    """
    logprobs, kind = tuple(parse_tokens(tokens)), open_kind
    for index, event in enumerate(events if logprobs else ()):
        if isinstance(event, BlockStart):
            kind = event.kind
        elif isinstance(event, Delta) and kind == "text":
            return [*events[:index], Delta(event.text, logprobs), *events[index + 1 :]]
    return events
