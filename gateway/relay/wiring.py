"""The functions of the store that the relay needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from gateway.relay.cache.backend import ReadCached, WriteCached
from gateway.relay.cache.index import ChangesSince
from gateway.relay.exchange.log_record import LogRecord
from gateway.relay.exchange.stored_response import ResponseBackend
from gateway.relay.exchange.trace import Telemetry
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
    # Abandons database connections that have been idle for this many seconds.
    abandon_idle_connections: Callable[[float], None] | None = None
    # Store and read a snapshot for starts without the database; read with its unix seconds.
    store_snapshot: Callable[[Snapshot], None] | None = None
    read_stored_snapshot: Callable[[], tuple[Snapshot, float]] | None = None
    # Starts the export of log records in this process; None if none is configured.
    start_telemetry: Callable[[], Telemetry | None] | None = None


# --- batch costs ------------------------------------------------------------------------

# Builds the log records of a batch for the id of the key that created it; 0 is none.
BuildRows = Callable[[int], list[LogRecord]]


class BatchLedger(NamedTuple):
    """`gateway.store.batches`. The ids of files and batches are a provider's own.

    Attributes:
        record_results_file: records that a file has the results of a batch: provider, file,
            batch, and the id of the key, 0 for none.
        find_batch: the batch whose results a file has, by provider and file; empty for none.
        settle: writes the records of a batch unless already written, and returns those it
            wrote: provider, batch, and the key to use if the creator is not recorded.
    """

    record_results_file: Callable[[str, str, str, int], None]
    find_batch: Callable[[str, str], str]
    settle: Callable[[str, str, int, BuildRows], list[LogRecord]]
