"""The cost of batches: counted once for each, by whatever process sees its results first."""

from __future__ import annotations

from django.db import transaction

from gateway.models import ProviderResource
from gateway.relay.exchange.log_record import LogRecord
from gateway.relay.wiring import BuildRows
from gateway.store import thread
from gateway.store.rows import write


def has_results(provider: str, file: str, batch: str, owner: int) -> None:
    """Remember that a file of a provider has the results of a batch."""
    thread.refresh()
    ProviderResource.objects.has_results(provider, file, batch, owner)


def batch_of(provider: str, file: str) -> str:
    """The batch whose results a file has; empty for none."""
    thread.refresh()
    return ProviderResource.objects.batch_of(provider, file)


def settle_batch(provider: str, batch: str, owner: int, rows: BuildRows) -> list[LogRecord]:
    """Write the rows of a batch, unless that was done before; what was written.

    `rows` makes them for the key that made the batch: `owner`, where nobody remembers
    another. Either the rows and the mark are written, or neither.
    """
    thread.refresh()
    with transaction.atomic():
        key_id = ProviderResource.objects.claim(provider, batch, owner)
        if key_id is None:
            return []
        records = rows(key_id)
        write(records)
    return records
