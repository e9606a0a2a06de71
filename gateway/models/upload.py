"""Files and batches that providers keep: whose they are."""

from __future__ import annotations

from django.db import models

from gateway.querysets import ProviderResourceQuerySet


class ProviderResource(models.Model):
    """One thing at a provider that was made with a key, so that lists show each key its own.

    What it is, and whether it is still there, the provider knows. `key_id` is no foreign
    key: the provider keeps the thing when the key is gone; 0 is for no key. `batch` is the
    batch whose results a file has; `settled_at` is when the cost of a batch was counted.
    """

    provider = models.CharField(max_length=63)
    upstream_id = models.CharField(max_length=200)
    key_id = models.BigIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)
    batch_id = models.CharField(max_length=200, blank=True)
    settled_at = models.DateTimeField(null=True)

    objects = ProviderResourceQuerySet["ProviderResource"].as_manager()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["provider", "key_id", "upstream_id"], name="gateway_resource_once"
            ),
        )
        indexes = (
            models.Index(fields=["provider", "upstream_id"], name="gateway_resource_upstream"),
        )

    def __str__(self) -> str:
        return f"{self.provider}: {self.upstream_id}"
