"""What a client leaves to us to remember: earlier answers that it names by id.

The gateway keeps them, not a provider: `asked` says what a request wants of the store,
`Kept` is what the store gives back, and `parse_request` takes it in.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.dialects.fields import flag, text
from gateway.dialects.openai_responses.names import Json


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
    if "role" in item:
        return None
    found = item.get("id")
    return found if isinstance(found, str) else None


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """The way that led to here, oldest first: each earlier request's input, then its output.

    Earlier instructions are no part of it: they held for their own answer only.

    Attributes:
        input: the items that the earlier requests gave.
        output: the items of the answer to go on from, after all of `input`.
        references: items that stand for themselves only, by id.
    """

    input: str | list[Json] = []
    output: list[Json] = []
    references: dict[str, Json] = {}

    def placed(self) -> list[tuple[Json, str]]:
        """All items in order, each with a path that says it is not the client's present one."""
        first = self.input
        if isinstance(first, str):
            first = [{"role": "user", "content": first}]
        return [(item, f"previous_response.input[{i}]") for i, item in enumerate(first)] + [
            (item, f"previous_response.output[{i}]") for i, item in enumerate(self.output)
        ]

    def items(self) -> dict[str, Json]:
        """The items that a reference may mean, by id."""
        found = {item["id"]: item for item, _ in self.placed() if isinstance(item.get("id"), str)}
        return found | self.references
