"""Kept responses in this dialect's words: their items, pages of them, and what is shown.

An item that a client sent without an id gets one that names its response, so that it can
be paged by and referred to; what is sent to an upstream again is as it came.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.errors import Error, invalid
from gateway.dialects.base import Exchange
from gateway.dialects.openai_responses.errors import failure_out
from gateway.dialects.openai_responses.items import answer
from gateway.dialects.openai_responses.names import ENCRYPTED, Json

# The last event of a stream that has come to an end.
ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})
MOST_ITEMS = 100
_PREFIX = "resp_"
_PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fc",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctc",
}
# A client's own parts of content, by who speaks.
_TEXT = {"assistant": "output_text"}
_NO_TOKENS: Json = {
    "input_tokens": 0,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 0,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 0,
}
Decoded = dict[str, msgspec.Raw]
_top = msgspec.json.Decoder(Decoded)


class Told(msgspec.Struct):
    """What is read of a response that is to be kept."""

    id: str
    status: str = "completed"
    store: bool | None = None


class Event(msgspec.Struct):
    """What is read of an event of a stream."""

    type: str = ""
    sequence_number: int | None = None
    response: msgspec.Raw = msgspec.Raw(b"")


read_told = msgspec.json.Decoder(Told).decode
read_event = msgspec.json.Decoder(Event).decode


def last_response(stream: bytes) -> bytes:
    """The response that the last event of a stream holds; empty for one that has no end."""
    for line in reversed(stream.split(b"\n")):
        if line.startswith(b"data:"):
            try:
                event = read_event(line[5:])
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                return b""
            return bytes(event.response) if event.type in ENDS else b""
    return b""


def given_items(earlier: bytes, own: bytes) -> list[Json]:
    """The items that led to a response, as they came: the earlier ones and its own."""
    before: list[Json] = msgspec.json.decode(earlier) if earlier else []
    given = msgspec.json.decode(own) if own else []
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    return [*before, *(given or [])]


def output_of(response: bytes) -> list[Json]:
    """The items of a response."""
    return msgspec.json.decode(response).get("output") or []


def named_items(items: list[Json], response_id: str) -> list[Json]:
    """The items in their long form, each with an id."""
    tag = response_id.removeprefix(_PREFIX)
    return [_named(item, tag, place) for place, item in enumerate(items)]


def _named(item: Json, tag: str, place: int) -> Json:
    kind = item.get("type") or ("message" if "role" in item else "item_reference")
    named = {"id": f"{_PREFIXES.get(kind, 'item')}_{tag}_in{place}", **item, "type": kind}
    if not named.get("id"):
        named["id"] = f"{_PREFIXES.get(kind, 'item')}_{tag}_in{place}"
    if kind in _PREFIXES and kind != "reasoning":
        named.setdefault("status", "completed")
    if kind == "message":
        content = item.get("content")
        if isinstance(content, str):
            named["content"] = [_text_part(item.get("role"), content)]
    return named


def _text_part(role: Any, words: str) -> Json:
    kind = _TEXT.get(str(role), "input_text")
    part: Json = {"type": kind, "text": words}
    return {**part, "annotations": []} if kind == "output_text" else part


def response_of(item_id: str) -> str | None:
    """The id of the response that an item's id names, if it is one that we gave."""
    _, _, rest = item_id.partition("_")
    tag, _, place = rest.rpartition("_")
    if not tag or not place.removeprefix("in").isdigit():
        return None
    return _PREFIX + tag


def page(items: list[Json], *, limit: int, order: str, after: str) -> Json:
    """A page of items as the API lists them. Raises GatewayError for an unknown `after`."""
    if order == "desc":
        items = items[::-1]
    start = 0
    if after:
        places = [place for place, item in enumerate(items) if item["id"] == after]
        if not places:
            raise invalid(f"after: the response has no item with the id {after[:100]!r}", "after")
        start = places[0] + 1
    shown = items[start : start + limit]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else "",
        "last_id": shown[-1]["id"] if shown else "",
        "has_more": start + limit < len(items),
    }


def whole_body(fields: Decoded, items: list[Json]) -> Decoded | None:
    """The request with all that it goes on from written out; None where that can not be.

    Reasoning without its encrypted state is known to nobody but who made it.
    """
    if any(item.get("type") == "reasoning" and not _has_state(item) for item in items):
        return None
    own = given_items(b"", bytes(fields["input"])) if "input" in fields else []
    rest = {name: raw for name, raw in fields.items() if name != "previous_response_id"}
    return rest | {"input": msgspec.Raw(msgspec.json.encode([*items, *own]))}


def with_state(fields: Decoded) -> Decoded:
    """The request, asking for the state of its reasoning if its provider is to keep nothing.

    Without it nobody could go on from the answer but its maker, who has forgotten it.
    """
    if bytes(fields.get("store", b"")) != b"false":
        return fields
    include = msgspec.json.decode(fields["include"]) if "include" in fields else None
    if not isinstance(include, list | None) or ENCRYPTED in (include or ()):
        return fields
    return fields | {"include": msgspec.Raw(msgspec.json.encode([*(include or ()), ENCRYPTED]))}


def _has_state(item: Json) -> bool:
    return bool(item.get("encrypted_content"))


def with_fields(response: bytes, **fields: Any) -> bytes:
    """The response with some of its fields changed; the others stay as they were written."""
    told = _top.decode(response)
    told |= {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}
    return msgspec.json.encode(told)


def with_response(event: bytes, **fields: Any) -> bytes:
    """The event, with fields of the response in it changed where it holds one."""
    told = _top.decode(event)
    if "response" not in told:
        return event
    told["response"] = msgspec.Raw(with_fields(bytes(told["response"]), **fields))
    return msgspec.json.encode(told)


def begun(exchange: Exchange, status: str) -> bytes:
    """A response that has no output yet."""
    return msgspec.json.encode(answer(exchange, status, [], usage=None))


def prepared(exchange: Exchange) -> Json:
    """A response that was asked to say nothing."""
    return answer(exchange, "completed", [], usage=_NO_TOKENS)


def broken(response: bytes, error: Error) -> bytes:
    """A response that has come to nothing."""
    return with_fields(response, status="failed", error=failure_out(error))
