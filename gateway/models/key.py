"""Client credentials."""

from __future__ import annotations

from django.db import models

from gateway.models.registry import RegistryRow
from gateway.querysets import ApiKeyQuerySet


class ApiKey(RegistryRow):
    """A client's key, of which only the public part and a keyed hash are kept.

    `routes` are names of routes it may use (`*` and `?` allowed); empty means all.
    `last_used_at` is coarse, at most an hour behind. `store.make_key` makes one.
    """

    name = models.CharField(max_length=200)
    prefix = models.CharField(max_length=32, unique=True, editable=False)
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    routes = models.JSONField(default=list, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    log_bodies = models.BooleanField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = ApiKeyQuerySet["ApiKey"].as_manager()

    class Meta:
        ordering = ("name", "pk")
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}...)"
