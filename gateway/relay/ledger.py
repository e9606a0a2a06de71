"""Where the cost of batches is counted: the store's side, as functions for threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gateway.relay.entry import Entry

# Makes the rows of a batch for the key that made it, by its id; 0 is none.
Rows = Callable[[int], list[Entry]]


class Ledger(NamedTuple):
    """`gateway.store.batches`. The ids of files and batches are a provider's own.

    Attributes:
        has_results: remembers that a file has the results of a batch: provider, file,
            batch, and the id of the key, 0 for none.
        batch_of: the batch whose results a file has, by provider and file; empty for none.
        settle: writes the rows of a batch unless that was done before, and gives what it
            wrote: provider, batch, and the key where nobody remembers whose it is.
    """

    has_results: Callable[[str, str, str, int], None]
    batch_of: Callable[[str, str], str]
    settle: Callable[[str, str, int, Rows], list[Entry]]
