"""Copies SQLite's write-ahead log into the database file, outside the commits that filled it.

SQLite's automatic checkpoint runs inside the commit that passes a number of pages, so its time
counts as that commit's. The log writer, which writes nearly all pages, calls
`checkpoint_when_due` after each batch instead. The automatic checkpoint stays enabled at a higher
number of pages (settings.py), for large commits and for commands that run without a gateway.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from django.db import DatabaseError, connection

from gateway.relay.exchange.log_record import LogRecord
from gateway.relay.journal.journal import record_bytes

log = logging.getLogger(__name__)

CHECKPOINT_BYTES = 4 * 1024 * 1024
# Estimate for a row without bodies: some pages of 4 KiB for the row and its indexes.
ROW_BYTES = 8 * 1024


class CheckpointSchedule:
    """Decides when this process has written enough to copy the write-ahead log."""

    def __init__(self) -> None:
        self._written_bytes = 0

    def checkpoint_when_due(self, batch: Iterable[LogRecord]) -> bool:
        """Count a written batch; checkpoint after CHECKPOINT_BYTES. Whether it ran a checkpoint.

        It does not block: pages that a reader still needs are copied next time. It never raises, as
        the batch is committed already.
        """
        if connection.vendor != "sqlite":
            return False
        self._written_bytes += sum(ROW_BYTES + record_bytes(record) for record in batch)
        if self._written_bytes < CHECKPOINT_BYTES:
            return False
        self._written_bytes = 0
        try:
            with connection.cursor() as cursor:
                cursor.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except DatabaseError as error:
            log.warning("the write-ahead log cannot be checkpointed: %s", type(error).__name__)
            return False
        return True


checkpoint_when_due = CheckpointSchedule().checkpoint_when_due
