"""A response as the gateway keeps it, for a client that names it by id.

    earlier (all items that led to it)  +  input (the request's own)  ->  response

`earlier` is written out and not a reference to the response before: each can be deleted,
and grow too old, without taking the others with it.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

RUNNING = ("queued", "in_progress")


class Kept(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One response, in the bytes it had on the wire.

    Attributes:
        id: as the client knows it; unique with `owner`.
        owner: who may read it: `team:ID`, `key:ID`, `admin`, or `open` (no keys in use).
        created_at, heard_at: unix seconds; the second is the last sign of life of the
            process in which it runs.
        status: `queued`, `in_progress`, `completed`, `incomplete`, `failed`, `cancelled`.
        provider: the provider that knows it under the same id; empty if none does.
        maker: the provider that made it, where the client got the provider's own items.
        earlier: JSON list of the items of earlier responses; empty if there are none.
        input: JSON of the request's own input, a string or a list.
        response: JSON of the response; empty where bodies are not kept.
        events: the events of its stream, for one that runs in the background.
        deleted: whether it must not be found again; what was in it is gone.
    """

    id: str
    owner: str
    created_at: float
    heard_at: float = 0.0
    status: str = "completed"
    provider: str = ""
    maker: str = ""
    earlier: bytes = b""
    input: bytes = b""
    response: bytes = b""
    events: list[bytes] = []
    deleted: bool = False

    @property
    def size(self) -> int:
        """Bytes of what was said."""
        said = len(self.earlier) + len(self.input) + len(self.response)
        return said + sum(map(len, self.events))

    @property
    def running(self) -> bool:
        """Whether it is not over yet."""
        return self.status in RUNNING


class Native(msgspec.Struct, frozen=True):
    """The request as the provider gets it that made what the request goes on from."""

    provider: str
    fields: dict[str, msgspec.Raw]


class Keeping(msgspec.Struct, kw_only=True):
    """What becomes of the answer to one call.

    Attributes:
        owner: who may read it.
        store: whether it is to be kept.
        earlier: JSON list of the items that led to this request.
        native: whether all of them are the provider's own.
        background: whether it runs in the background, which keeps it by itself.
        heard: gets the answer while it is in memory, kept or not.
    """

    owner: str
    store: bool = True
    earlier: bytes = b""
    native: bool = True
    background: bool = False
    heard: Callable[[Kept], None] | None = None


class Shelf(msgspec.Struct, frozen=True, kw_only=True):
    """The store of responses as functions, each of which runs in a thread.

    Attributes:
        load: `(owner, id)` -> the response, deleted ones too; None if there is none.
        save: write one; a deleted or cancelled one stays what it is.
        cancel: `(owner, id)`: mark one that still runs as cancelled.
        beat: `(owner, id)` of those that run here -> those that were cancelled elsewhere.
        close: end the thread's connection.
    """

    load: Callable[[str, str], Kept | None]
    save: Callable[[Kept], None]
    cancel: Callable[[str, str], None]
    beat: Callable[[list[tuple[str, str]]], list[str]]
    close: Callable[[], None]
