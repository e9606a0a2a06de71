"""Teams and projects: keys that share a budget and limits."""

from __future__ import annotations

from django.db import models

from gateway.models.limits import Budgeted, Limited
from gateway.models.registry import RegistryRow
from gateway.querysets import TeamQuerySet


class Team(Limited, Budgeted, RegistryRow):
    """Some keys (`ApiKey.team`) that together must keep to a budget and limits.

    What its keys spent goes with them: a key that joins brings what it has spent in the
    budget's window.
    """

    name = models.CharField(max_length=200, unique=True)

    objects = TeamQuerySet["Team"].as_manager()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name
