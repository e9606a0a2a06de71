"""Stored responses, and the conversation that a request continues."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from gateway.canon.errors import Error, GatewayError, invalid
from gateway.canon.json_values import to_raw
from gateway.dialects.base import ResponseContext
from gateway.dialects.openai_responses.context import ENCRYPTED, Json
from gateway.dialects.openai_responses.response import render_failure, render_response_object
from gateway.dialects.shared.fields import text

# The last event of a complete stream.
END_EVENTS = frozenset({"response.completed", "response.incomplete", "response.failed"})
MAX_PAGE_ITEMS = 100
_PREFIX = "resp_"
_PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fc",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctc",
}
# Role of a message -> type of its text part.
_TEXT_TYPE_BY_ROLE = {"assistant": "output_text"}
_NO_TOKENS: Json = {
    "input_tokens": 0,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 0,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 0,
}
RawFields = dict[str, msgspec.Raw]
_fields_decoder = msgspec.json.Decoder(RawFields)


class ResponseHead(msgspec.Struct):
    """The fields of a response that storing it requires."""

    id: str
    status: str = "completed"
    store: bool | None = None


class StreamEvent(msgspec.Struct):
    """The fields of a stream event that storing its response requires."""

    type: str = ""
    sequence_number: int | None = None
    response: msgspec.Raw = msgspec.Raw(b"")


read_response_head = msgspec.json.Decoder(ResponseHead).decode
read_event = msgspec.json.Decoder(StreamEvent).decode


def last_response(stream: bytes) -> bytes:
    """The response in the last event of a stream; empty for an incomplete stream."""
    for line in reversed(stream.split(b"\n")):
        if line.startswith(b"data:"):
            try:
                event = read_event(line[5:])
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                return b""
            return bytes(event.response) if event.type in END_EVENTS else b""
    return b""


def input_items(earlier_items: bytes, request_input: bytes) -> list[Json]:
    """The input items of a response, unchanged: the earlier ones and its request's."""
    items: list[Json] = msgspec.json.decode(earlier_items) if earlier_items else []
    new_items = msgspec.json.decode(request_input) if request_input else []
    if isinstance(new_items, str):
        new_items = [{"role": "user", "content": new_items}]
    return [*items, *(new_items or [])]


def output_items(response: bytes) -> list[Json]:
    """The items of a response."""
    return msgspec.json.decode(response).get("output") or []


def items_with_ids(items: list[Json], response_id: str) -> list[Json]:
    """The items in their complete form, each with an id."""
    tag = response_id.removeprefix(_PREFIX)
    return [_with_id(item, tag, index) for index, item in enumerate(items)]


def _with_id(item: Json, tag: str, index: int) -> Json:
    kind = _kind(item)
    item_with_id = {"id": f"{_PREFIXES.get(kind, 'item')}_{tag}_in{index}", **item, "type": kind}
    if not item_with_id.get("id"):
        item_with_id["id"] = f"{_PREFIXES.get(kind, 'item')}_{tag}_in{index}"
    if kind in _PREFIXES and kind != "reasoning":
        item_with_id.setdefault("status", "completed")
    if kind == "message":
        content = item.get("content")
        if isinstance(content, str):
            item_with_id["content"] = [_render_text_part(item.get("role"), content)]
    return item_with_id


def _render_text_part(role: Any, text: str) -> Json:
    kind = _TEXT_TYPE_BY_ROLE.get(str(role), "input_text")
    part: Json = {"type": kind, "text": text}
    return {**part, "annotations": []} if kind == "output_text" else part


def response_id_of_item(item_id: str) -> str | None:
    """The id of the response in an item's id; None if the gateway did not create it."""
    _, _, suffix = item_id.partition("_")
    tag, _, index = suffix.rpartition("_")
    if not tag or not index.removeprefix("in").isdigit():
        return None
    return _PREFIX + tag


def page(items: list[Json], *, limit: int, order: str, after: str) -> Json:
    """A page of items as the API lists them. Raises GatewayError for an unknown `after`."""
    if order == "desc":
        items = items[::-1]
    start = 0
    if after:
        matches = [index for index, item in enumerate(items) if item["id"] == after]
        if not matches:
            raise invalid(f"after: the response has no item with the id {after[:100]!r}", "after")
        start = matches[0] + 1
    page_items = items[start : start + limit]
    return {
        "object": "list",
        "data": page_items,
        "first_id": page_items[0]["id"] if page_items else "",
        "last_id": page_items[-1]["id"] if page_items else "",
        "has_more": start + limit < len(items),
    }


def resolve_references(request_input: bytes, stored_responses: Mapping[str, Any]) -> bytes:
    """The input of a request, with stored items instead of references to them."""
    items_by_id = _items_by_id(map(_pathed_items, stored_responses.values()))
    items = [
        items_by_id.get(str(item.get("id")), item) if _refers(item) else item
        for item in input_items(b"", request_input)
    ]
    return msgspec.json.encode(items)


def self_contained_body(fields: RawFields, items: list[Json]) -> RawFields | None:
    """The request with all earlier items inline; None if that is not possible.

    Reasoning without its encrypted state exists at its provider only.
    """
    if any(item.get("type") == "reasoning" and not item.get("encrypted_content") for item in items):
        return None
    new_items = input_items(b"", bytes(fields["input"])) if "input" in fields else []
    other_fields = {name: raw for name, raw in fields.items() if name != "previous_response_id"}
    return other_fields | {"input": to_raw([*items, *new_items])}


def with_encrypted_reasoning(fields: RawFields) -> RawFields:
    """The request, with encrypted reasoning included if the provider must not store it.

    Without that state, no provider could continue the response.
    """
    if bytes(fields.get("store", b"")) != b"false":
        return fields
    include = msgspec.json.decode(fields["include"]) if "include" in fields else None
    if not isinstance(include, list | None) or ENCRYPTED in (include or ()):
        return fields
    return fields | {"include": to_raw([*(include or ()), ENCRYPTED])}


def with_fields(response: bytes, **fields: Any) -> bytes:
    """The response with some fields changed; all others keep their bytes."""
    raw_fields = _fields_decoder.decode(response)
    raw_fields |= {name: to_raw(value) for name, value in fields.items()}
    return msgspec.json.encode(raw_fields)


def with_response_fields(event: bytes, **fields: Any) -> bytes:
    """The event, with fields of its response changed, if it contains one."""
    raw_fields = _fields_decoder.decode(event)
    if "response" not in raw_fields:
        return event
    raw_fields["response"] = msgspec.Raw(with_fields(bytes(raw_fields["response"]), **fields))
    return msgspec.json.encode(raw_fields)


def started_response(context: ResponseContext, status: str) -> bytes:
    """A response without output yet."""
    return msgspec.json.encode(render_response_object(context, status, [], usage=None))


def empty_response(context: ResponseContext) -> Json:
    """A completed response without output, for `generate: false`."""
    return render_response_object(context, "completed", [], usage=_NO_TOKENS)


def failed_response(response: bytes, error: Error) -> bytes:
    """The response as failed, with this error."""
    return with_fields(response, status="failed", error=render_failure(error))


def failed_event(response: bytes, error: Error, number: int) -> bytes:
    """The last event of a stream whose response failed."""
    event = {
        "type": "response.failed",
        "sequence_number": number,
        "response": msgspec.Raw(failed_response(response, error)),
    }
    return msgspec.json.encode(event)


def error_event(error: Error, number: int) -> bytes:
    """The last event of a stream that ends before its response does."""
    event = {"type": "error", "sequence_number": number, **render_failure(error), "param": None}
    return msgspec.json.encode(event)


# --- the state that a request refers to -----------------------------------------------------------
#
# The gateway stores responses, not a provider. They go into `parse_request`, by id: each with its
# `output`, and as `input` the entire conversation before it.

PathedItem = tuple[Any, str]


def load_history(
    body: Json, stored_response: Mapping[str, Any]
) -> tuple[list[PathedItem], dict[str, Json]]:
    """The items that a request continues, and all stored items by id.

    Paths of earlier items start with `previous_response`. Instructions of earlier requests
    are not included: they apply to their own response only. Raises GatewayError for a
    response that is not stored.
    """
    items_by_response = {
        response_id: _pathed_items(stored_response[response_id]) for response_id in stored_response
    }
    items_by_id = _items_by_id(items_by_response.values())
    previous_response_id = text(body, "previous_response_id")
    if previous_response_id is None:
        return [], items_by_id
    if previous_response_id not in items_by_response:
        raise response_not_found(previous_response_id)
    return items_by_response[previous_response_id], items_by_id


def _items_by_id(responses: Iterable[list[PathedItem]]) -> dict[str, Json]:
    """The items of stored responses by id, without references, which have their item's id."""
    items = (item for pathed_items in responses for item, _ in pathed_items)
    return {
        item["id"]: item
        for item in items
        if isinstance(item, dict) and isinstance(item.get("id"), str) and not _refers(item)
    }


def _refers(item: Any) -> bool:
    return isinstance(item, dict) and _kind(item) == "item_reference"


def _kind(item: Json) -> str:
    return str(item.get("type") or ("message" if "role" in item else "item_reference"))


def _pathed_items(response: Json) -> list[PathedItem]:
    request_input = response.get("input") or []
    if isinstance(request_input, str):
        request_input = [{"role": "user", "content": request_input}]
    pathed_input = [(item, f"previous_response.input[{i}]") for i, item in enumerate(request_input)]
    output = enumerate(response.get("output") or [])
    return pathed_input + [(item, f"previous_response.output[{i}]") for i, item in output]


def response_not_found(response_id: str) -> GatewayError:
    """The error for a response that is not stored; its first sentence is OpenAI's."""
    message = (
        f"Previous response with id {response_id[:100]!r} not found. It is not stored for this "
        "API key: it was created with another key or without this gateway, was deleted or has "
        "expired, or had `store` false. Omit previous_response_id and send the conversation "
        "in `input`; responses created here with `store` true can be continued."
    )
    return GatewayError(
        Error(
            kind="invalid_request",
            message=message,
            param="previous_response_id",
            code="previous_response_not_found",
        )
    )
