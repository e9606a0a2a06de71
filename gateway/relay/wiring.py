"""The functions of the store that the relay needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from gateway.relay.cache.backend import CacheTable
from gateway.relay.exchange.log_record import LogRecord
from gateway.relay.exchange.stored_response import ResponseBackend
from gateway.relay.exchange.trace import Telemetry
from gateway.relay.journal.log_writer import LogStore
from gateway.relay.registry import RegistryStore
from gateway.relay.state.batch_guardrails import BatchGuardrailTable
from gateway.relay.state.client_spans import WriteSpans
from gateway.relay.state.reasoning import ReasoningTable
from gateway.relay.state.resource_owners import OwnerTable

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


class Wiring(msgspec.Struct, frozen=True, kw_only=True):
    """The store's parts as functions; the relay never imports it. Each runs in a thread.

    Attributes:
        write_spans: stores spans of clients; raises if the database is not writable.
        close: closes the calling thread's database connections.
        on_started: called with the runtime once it is built.
        start_telemetry: starts the export of log records in this process; returns None if none
            is configured.
    """

    registry: RegistryStore
    log: LogStore
    responses: ResponseBackend | None = None
    cache: CacheTable | None = None
    reasoning: ReasoningTable | None = None
    owners: OwnerTable | None = None
    write_spans: WriteSpans | None = None
    batch_ledger: BatchLedger | None = None
    batch_guardrails: BatchGuardrailTable | None = None
    close: Callable[[], None] | None = None
    on_started: Callable[[Any], None] | None = None
    start_telemetry: Callable[[], Telemetry | None] | None = None
