"""Owners of files, batches and other resources at providers: the API keys that created them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import NamedTuple

from gateway.relay.state.database_threads import DatabaseThreads


class OwnerTable(NamedTuple):
    """Which key created which of a provider's resources, by the provider's name and ids.

    Attributes:
        record: records resources of a key: provider, id of the key, ids.
        find_owned: the ids among these that belong to the key.
    """

    record: Callable[[str, int, list[str]], None]
    find_owned: Callable[[str, int, list[str]], set[str]]


class ResourceOwners:
    """Owners of resources in the database; without one, no key owns any."""

    def __init__(self, rows: OwnerTable | None, threads: DatabaseThreads) -> None:
        self._rows, self._threads = rows, threads

    async def record(self, provider: str, owner: int, ids: list[str]) -> None:
        """Record resources of a key, by the provider's ids."""
        if self._rows is not None and ids:
            await self._threads.run(self._rows.record, provider, owner, ids)

    async def find_owned(self, provider: str, owner: int, ids: list[str]) -> set[str]:
        """The ids among these that belong to a key."""
        if self._rows is None or not ids:
            return set()
        return await self._threads.run(self._rows.find_owned, provider, owner, ids)

    async def record_batch_input(self, provider: str, owner: int, id_: str) -> None:
        """Record a file of a key as one whose batch requests were checked."""
        await self.record(provider, owner, [_batch_input_id(id_)])

    async def is_batch_input(self, provider: str, owner: int, id_: str) -> bool:
        """Whether the batch requests in a file of a key were checked; without a database, true."""
        checked_id = _batch_input_id(id_)
        return self._rows is None or bool(await self.find_owned(provider, owner, [checked_id]))


def _batch_input_id(id_: str) -> str:
    """The id of a second resource; a digest, because ids have a maximum length."""
    return f"batch input {hashlib.sha256(id_.encode()).hexdigest()}"
