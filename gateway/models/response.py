"""Stored responses of OpenAI's Responses API, which clients refer to by id."""

from __future__ import annotations

from django.db import models

from gateway.querysets import StoredResponseQuerySet


class StoredResponse(models.Model):
    """One stored response; its content is in `blob`.

    The fields are those of `gateway.relay.exchange.stored_response.StoredResponse`.

    A deleted response remains as a row without content until it is pruned: a later write by
    another process must not restore it.
    """

    response_id = models.CharField(max_length=200)
    owner = models.CharField(max_length=64)
    created_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField()
    status = models.CharField(max_length=16)
    provider = models.CharField(max_length=63, blank=True)
    native_provider = models.CharField(max_length=63, blank=True)
    deleted = models.BooleanField(default=False)
    blob = models.BinaryField()

    objects = StoredResponseQuerySet["StoredResponse"].as_manager()

    class Meta:
        verbose_name = "stored response"
        constraints = (
            models.UniqueConstraint(fields=["owner", "response_id"], name="gateway_response_once"),
        )
        indexes = (models.Index(fields=["created_at"], name="gateway_response_created"),)

    def __str__(self) -> str:
        return self.response_id
