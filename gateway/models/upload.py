"""Which API key owns each file and batch at a provider."""

from __future__ import annotations

from django.db import models

from gateway.querysets import ProviderResourceQuerySet


class ProviderResource(models.Model):
    """A resource at a provider that was created with a key, so that a key lists only its own.

    Its content and whether it still exists is known only to the provider. `key_id` is not a
    foreign key, as the resource outlives the key; 0 is no key. `batch_id` is the batch whose
    results a file contains; `settled_at` is when the cost of a batch was counted. `guardrails`
    are the names of those that check the results of a batch: of the routes in its requests.
    """

    provider = models.CharField(max_length=63)
    upstream_id = models.CharField(max_length=200)
    key_id = models.BigIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)
    batch_id = models.CharField(max_length=200, blank=True)
    settled_at = models.DateTimeField(null=True)
    guardrails = models.JSONField(default=list, blank=True)

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
