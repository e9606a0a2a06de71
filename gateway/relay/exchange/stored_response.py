"""A response that the gateway stores, for retrieval by its id.

    previous_items (items of earlier turns)  +  input (the request's own)  ->  response

`previous_items` is a copy and not a reference to the previous response: each response can be
deleted, and expire, without affecting the others.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

RUNNING = ("queued", "in_progress")


class StoredResponse(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One response, in the bytes it had on the wire.

    Attributes:
        id: the id that the client uses; unique with `owner`.
        owner: who may read it: `team:ID`, `key:ID`, `admin`, or `open` (no keys in use).
        created_at, heartbeat_at: unix seconds; the second is the last heartbeat of the
            process in which it runs.
        status: `queued`, `in_progress`, `completed`, `incomplete`, `failed`, `cancelled`.
        provider: the provider that stores it under the same id; empty if none does.
        native_provider: the provider that created it, if the client got the provider's own items.
        previous_items: JSON list of the items of earlier responses; empty if there are none.
        input: JSON of the request's own input, a string or a list.
        response: JSON of the response; empty if bodies are not stored.
        events: the events of its stream, for one that runs in the background.
        deleted: whether it is deleted; its content is gone, and it must not be found again.
    """

    id: str
    owner: str
    created_at: float
    heartbeat_at: float = 0.0
    status: str = "completed"
    provider: str = ""
    native_provider: str = ""
    previous_items: bytes = b""
    input: bytes = b""
    response: bytes = b""
    events: list[bytes] = []
    deleted: bool = False

    @property
    def size(self) -> int:
        """Bytes of its content."""
        content_bytes = len(self.previous_items) + len(self.input) + len(self.response)
        return content_bytes + sum(map(len, self.events))

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.status in RUNNING


class NativeRequest(msgspec.Struct, frozen=True):
    """The request in the form for the provider that created the responses it continues."""

    provider: str
    fields: dict[str, msgspec.Raw]


class StorePolicy(msgspec.Struct, kw_only=True):
    """Whether and how the response to one call is stored.

    Attributes:
        owner: who may read it.
        store: whether to store it.
        previous_items: JSON list of the items that precede this request.
        same_provider: whether all of them are the provider's own.
        background: whether it runs in the background, which stores it separately.
        on_response: called with the response while it is in memory, stored or not.
    """

    owner: str
    store: bool = True
    previous_items: bytes = b""
    same_provider: bool = True
    background: bool = False
    on_response: Callable[[StoredResponse], None] | None = None


class ResponseBackend(msgspec.Struct, frozen=True, kw_only=True):
    """The store of responses as functions, each of which runs in a thread.

    Attributes:
        load: `(owner, id)` -> the response, including deleted ones; None if there is none.
        save: writes one; a deleted or cancelled one is not changed.
        cancel: `(owner, id)`: marks one that is running as cancelled.
        heartbeat: `(owner, id)` of those that run here -> those cancelled elsewhere.
        close: closes the thread's connection.
    """

    load: Callable[[str, str], StoredResponse | None]
    save: Callable[[StoredResponse], None]
    cancel: Callable[[str, str], None]
    heartbeat: Callable[[list[tuple[str, str]]], list[str]]
    close: Callable[[], None]
