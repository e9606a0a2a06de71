"""What a client leaves to us to remember: earlier answers that it names by id.

The gateway keeps them, not a provider. `asked` says what a request wants of the store;
what the store found goes into `parse_request`, by id: each answer with its `output`, and as
`input` all that led to it, its own earlier answers included.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.canon.errors import Error, GatewayError
from gateway.dialects.fields import flag, text
from gateway.dialects.openai_responses.names import Json

Placed = tuple[Any, str]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a request wants of the store.

    Attributes:
        store: whether the answer is to be kept; left out, it is.
        previous: the id of the answer to go on from.
        references: ids of items that stand for their content.
    """

    store: bool = True
    previous: str | None = None
    references: tuple[str, ...] = ()

    @property
    def looks_back(self) -> bool:
        """Whether the request can not be read without the store."""
        return self.previous is not None or bool(self.references)


def asked(body: Json) -> Asked:
    """What this request wants of the store. Raises GatewayError for a wrong type."""
    given = body.get("input")
    listed = given if isinstance(given, list) else []
    store = flag(body, "store")
    return Asked(
        store=store is None or store,
        previous=text(body, "previous_response_id"),
        references=tuple(found for item in listed if (found := _referred(item)) is not None),
    )


def _referred(item: Any) -> str | None:
    if not isinstance(item, dict) or item.get("type") not in {None, "item_reference"}:
        return None
    found = item.get("id") if "role" not in item else None
    return found if isinstance(found, str) else None


def recalled(body: Json, stored: Mapping[str, Any]) -> tuple[list[Placed], dict[str, Json]]:
    """The items that a request goes on from, and the stored ones by id.

    Paths of earlier items say that they are not the client's present ones. Instructions of
    earlier requests are no part of them: they held for their own answer only. Raises
    GatewayError for an answer that is not stored.
    """
    placed = {answer: _placed(stored[answer]) for answer in stored}
    items = (item for each in placed.values() for item, _ in each if isinstance(item, dict))
    known = {item["id"]: item for item in items if isinstance(item.get("id"), str)}
    previous = text(body, "previous_response_id")
    if previous is None:
        return [], known
    if previous not in placed:
        raise not_kept(previous)
    return placed[previous], known


def _placed(answer: Json) -> list[Placed]:
    first = answer.get("input") or []
    if isinstance(first, str):
        first = [{"role": "user", "content": first}]
    before = [(item, f"previous_response.input[{i}]") for i, item in enumerate(first)]
    output = enumerate(answer.get("output") or [])
    return before + [(item, f"previous_response.output[{i}]") for i, item in output]


def not_kept(response_id: str) -> GatewayError:
    """The error for an answer that the gateway does not keep; its first sentence is OpenAI's."""
    message = (
        f"Previous response with id {response_id[:100]!r} not found. It is not kept here for this "
        "API key: it was made with another key or without this gateway, is deleted or too old, "
        "or had `store` false. Leave previous_response_id out and send the conversation so far "
        "in `input`; what is made here with `store` true can be gone on from."
    )
    return GatewayError(
        Error(
            kind="invalid_request",
            message=message,
            param="previous_response_id",
            code="previous_response_not_found",
        )
    )
