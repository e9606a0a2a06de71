"""The progress of the export of the request log to object storage."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class LogExport(models.Model):
    """The one row of the export.

    Rows up to `exported_id` are in object storage. `pending_id` is the end of the batch that is
    being written: a batch that was interrupted is written again under the same names. Rows up to
    `complete_id` can be exported: no row with a lower ID will appear. `next_id` becomes
    `complete_id` when the transactions before `next_xid` (PostgreSQL) have ended. The process
    that exports holds the lease until `lease_until`.
    """

    exported_id = models.BigIntegerField(default=0)
    pending_id = models.BigIntegerField(null=True)
    complete_id = models.BigIntegerField(default=0)
    next_id = models.BigIntegerField(default=0)
    next_xid = models.BigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    exported_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=500, blank=True)

    objects: ClassVar[models.Manager[LogExport]] = models.Manager()

    def __str__(self) -> str:
        return f"exported up to {self.exported_id}"
