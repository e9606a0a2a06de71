"""Guardrails that check the results of a batch, stored in the database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from gateway.relay.state.database_threads import DatabaseThreads


class BatchGuardrailTable(NamedTuple):
    """Names of guardrails by a provider's ids of files and batches.

    Attributes:
        record: records the guardrails of a resource: provider, id of its key (0 for none), id,
            names.
        find: returns the names by id, for ids that have guardrails: provider, ids.
    """

    record: Callable[[str, int, str, Sequence[str]], None]
    find: Callable[[str, Sequence[str]], dict[str, list[str]]]


class BatchGuardrails:
    """Guardrails of batches in the database; without one, no batch has any."""

    def __init__(self, rows: BatchGuardrailTable | None, threads: DatabaseThreads) -> None:
        self._rows, self._threads = rows, threads

    async def record(self, provider: str, owner: int, id_: str, names: Sequence[str]) -> None:
        """Record the guardrails of a file or batch, by the provider's id."""
        if self._rows is not None and names:
            await self._threads.run(self._rows.record, provider, owner, id_, names)

    async def find(self, provider: str, ids: Sequence[str]) -> dict[str, list[str]]:
        """The guardrails by id; ids without guardrails are omitted."""
        if self._rows is None or not ids:
            return {}
        return await self._threads.run(self._rows.find, provider, ids)
