"""Copies SQLite's write-ahead log into the database file, outside the commits that filled it.

SQLite's own checkpoint runs within whatever commit passes a number of pages, where nobody can
tell it from the commit. The log's writer, which writes nearly all pages, calls
`checkpoint_when_due` after each batch instead. The automatic one remains, at a higher number
(settings.py), for the rare commit that is larger and for commands that write without a gateway.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from django.db import DatabaseError, connection

from gateway.relay.exchange.log_record import LogRecord
from gateway.relay.journal.journal import record_bytes

log = logging.getLogger(__name__)

CHECKPOINT_BYTES = 4 * 1024 * 1024
# A row without bodies: some pages of 4 KiB for itself and for its indexes.
ROW_BYTES = 8 * 1024


class CheckpointSchedule:
    """When the write-ahead log of this process's batches is due to be copied."""

    def __init__(self) -> None:
        self._written_bytes = 0

    def checkpoint_when_due(self, batch: Iterable[LogRecord]) -> bool:
        """Count a written batch; copy once CHECKPOINT_BYTES were written. Whether it copied.

        Waits for nobody: pages that a reader still needs are copied the next time. It never
        raises, as the batch is in the database already.
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
            log.warning("the write-ahead log can not be copied: %s", type(error).__name__)
            return False
        return True


checkpoint_when_due = CheckpointSchedule().checkpoint_when_due
