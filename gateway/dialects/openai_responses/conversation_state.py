"""Server-side state of the Responses API: `previous_response_id` and item references.

The gateway stores responses, not a provider. `store_request` reads what a request needs from
the store; the stored responses go into `parse_request`, by id: each with its `output`, and
as `input` the entire conversation before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.canon.errors import Error, GatewayError
from gateway.dialects.openai_responses.names import Json
from gateway.dialects.shared.fields import flag, text

PathedItem = tuple[Any, str]


class StoreRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a request needs from the store.

    Attributes:
        store: whether to store the response; the default.
        previous_response_id: the id of the response to continue.
        references: ids of items sent by reference.
    """

    store: bool = True
    previous_response_id: str | None = None
    references: tuple[str, ...] = ()


def store_request(body: Json) -> StoreRequest:
    """What this request needs from the store. Raises GatewayError for a wrong type."""
    input_value = body.get("input")
    input_items = input_value if isinstance(input_value, list) else []
    store = flag(body, "store")
    return StoreRequest(
        store=store is None or store,
        previous_response_id=text(body, "previous_response_id"),
        references=tuple(
            item_id for item in input_items if (item_id := _referenced_id(item)) is not None
        ),
    )


def _referenced_id(item: Any) -> str | None:
    if not isinstance(item, dict) or item.get("type") not in {None, "item_reference"}:
        return None
    item_id = item.get("id") if "role" not in item else None
    return item_id if isinstance(item_id, str) else None


def load_history(body: Json, stored: Mapping[str, Any]) -> tuple[list[PathedItem], dict[str, Json]]:
    """The items that a request continues, and all stored items by id.

    Paths of earlier items start with `previous_response`. Instructions of earlier requests
    are not included: they apply to their own response only. Raises GatewayError for a
    response that is not stored.
    """
    items_by_response = {response_id: _pathed_items(stored[response_id]) for response_id in stored}
    items = (
        item
        for pathed_items in items_by_response.values()
        for item, _ in pathed_items
        if isinstance(item, dict)
    )
    items_by_id = {item["id"]: item for item in items if isinstance(item.get("id"), str)}
    previous_response_id = text(body, "previous_response_id")
    if previous_response_id is None:
        return [], items_by_id
    if previous_response_id not in items_by_response:
        raise response_not_found(previous_response_id)
    return items_by_response[previous_response_id], items_by_id


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
