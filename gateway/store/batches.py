"""Cost of provider batches: counted once, by the first process that sees the results."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction

from gateway.models import ProviderResource
from gateway.relay.exchange.log_record import LogRecord
from gateway.relay.wiring import BuildRows
from gateway.store import thread
from gateway.store.rows import write


def record_results_file(provider: str, file: str, batch: str, owner: int) -> None:
    """Record that a file of a provider contains the results of a batch."""
    thread.refresh()
    ProviderResource.objects.record_results_file(provider, file, batch, owner)


def record_guardrails(provider: str, owner: int, id_: str, names: Sequence[str]) -> None:
    """Record the guardrails that check the results of a file or batch of a provider."""
    thread.refresh()
    ProviderResource.objects.record_guardrails(provider, owner, id_, names)


def guardrails_of(provider: str, ids: Sequence[str]) -> dict[str, list[str]]:
    """The guardrails of each of these ids of a provider that has any."""
    thread.refresh()
    return ProviderResource.objects.guardrails_of(provider, ids)


def batch_of(provider: str, file: str) -> str:
    """The batch whose results a file contains; empty if there is none."""
    thread.refresh()
    return ProviderResource.objects.batch_of(provider, file)


def settle_batch(provider: str, batch: str, owner: int, rows: BuildRows) -> list[LogRecord]:
    """Write the log records of a batch and return them; [] if the batch is settled already.

    `rows` builds the records for the id of the key that created the batch, or for `owner` if
    that key is unknown. The records and the settled mark are written in one transaction.
    """
    thread.refresh()
    with transaction.atomic():
        key_id = ProviderResource.objects.claim(provider, batch, owner)
        if key_id is None:
            return []
        records = rows(key_id)
        write(records)
    return records
