"""Fingerprints of the secrets that the nodes of this database use."""

from __future__ import annotations

from django.db import models


class Fingerprint(models.Model):
    """The fingerprints of the secrets in use for one purpose, as a list of strings."""

    purpose = models.CharField(max_length=31, unique=True)
    values = models.JSONField(default=list)

    class Meta:
        verbose_name = "fingerprint"

    def __str__(self) -> str:
        return self.purpose
