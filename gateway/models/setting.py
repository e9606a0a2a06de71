"""Settings that can be changed in the console."""

from __future__ import annotations

from django.db import models

from gateway.models.registry import RegistryRow
from gateway.querysets import RegistryRowQuerySet


class Setting(RegistryRow):
    """One value, under its name in `gateway.store.options`.

    It is a registry row, so that every process applies it within a second.
    """

    name = models.CharField(max_length=63, unique=True)
    value = models.JSONField()

    objects = RegistryRowQuerySet["Setting"].as_manager()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name
