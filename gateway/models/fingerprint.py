"""Which secrets the nodes of this database have, without the secrets."""

from __future__ import annotations

from django.db import models


class Fingerprint(models.Model):
    """The fingerprints of the secrets that are in use for one purpose; a list of texts."""

    purpose = models.CharField(max_length=31, unique=True)
    values = models.JSONField(default=list)

    class Meta:
        verbose_name = "fingerprint"

    def __str__(self) -> str:
        return self.purpose
