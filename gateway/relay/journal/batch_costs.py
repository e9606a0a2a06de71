"""Where the cost of batches is counted: the store's side, as functions for threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gateway.relay.exchange.log_record import LogRecord

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
