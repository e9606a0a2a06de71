"""What the relay needs of the store, as functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from gateway.relay.cache.backend import ReadCached, WriteCached
from gateway.relay.cache.index import ChangesSince
from gateway.relay.exchange.log_record import LogRecord
from gateway.relay.exchange.stored_response import ResponseBackend
from gateway.relay.journal.journal import IdleWork, Write
from gateway.relay.limits.limiter import RecordedSpend
from gateway.relay.state.reasoning import FindReasoning, WriteReasoning
from gateway.routing.snapshot import Snapshot


class Wiring(msgspec.Struct, frozen=True, kw_only=True):
    """The store as functions; the relay never imports it. Each runs in a thread."""

    load_snapshot: Callable[[], Snapshot]
    current_version: Callable[[], int]
    write: Write
    # Called after each written batch.
    checkpoint: Callable[[list[LogRecord]], object] | None = None
    idle: IdleWork | None = None
    close: Callable[[], None] | None = None
    upkeep: Callable[[], object] | None = None
    recorded_spend: Callable[[Snapshot], RecordedSpend] | None = None
    response_backend: ResponseBackend | None = None
    on_started: Callable[[Any], None] | None = None
    record_resources: Callable[[str, int, list[str]], None] | None = None
    owned_resources: Callable[[str, int, list[str]], set[str]] | None = None
    batch_ledger: BatchLedger | None = None
    read_cached: ReadCached | None = None
    write_cached: WriteCached | None = None
    cache_changes_since: ChangesSince | None = None
    find_reasoning: FindReasoning | None = None
    write_reasoning: WriteReasoning | None = None
    # Distrusts connections to the database that have waited for so many seconds.
    abandon_idle_connections: Callable[[float], None] | None = None
    # Stores a snapshot for starts without the database; gives it back with its unix seconds.
    store_snapshot: Callable[[Snapshot], None] | None = None
    read_stored_snapshot: Callable[[], tuple[Snapshot, float]] | None = None


# --- batch costs ------------------------------------------------------------------------

# Makes the rows of a batch for the key that made it, by its id; 0 is none.
BuildRows = Callable[[int], list[LogRecord]]


class BatchLedger(NamedTuple):
    """`gateway.store.batches`. The ids of files and batches are a provider's own.

    Attributes:
        record_results_file: records that a file has the results of a batch: provider, file,
            batch, and the id of the key, 0 for none.
        find_batch: the batch whose results a file has, by provider and file; empty for none.
        settle: writes the rows of a batch unless that was done before, and gives what it
            wrote: provider, batch, and the key where nobody remembers whose it is.
    """

    record_results_file: Callable[[str, str, str, int], None]
    find_batch: Callable[[str, str], str]
    settle: Callable[[str, str, int, BuildRows], list[LogRecord]]
