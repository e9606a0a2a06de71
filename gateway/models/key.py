"""API keys of clients."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import models
from django.utils import timezone

from gateway.models.cost import WithMarkup
from gateway.models.limits import WithBudgets, WithLimits
from gateway.models.registry import RegistryRow, single_line
from gateway.models.team import Team
from gateway.querysets import ApiKeyQuerySet


class ApiKey(WithLimits, WithBudgets, WithMarkup, RegistryRow):
    """A client's API key, of which only the public prefix and a keyed hash are stored.

    `routes` are the names of routes it may use (`*` and `?` allowed); empty means all.
    `tags` are added to each of its requests, for routes that select targets by tag.
    `guardrails` are names of guardrails that check its requests.
    `user` is a label of its holder: a person, an agent, a service.
    `owner` is the account that created the key for itself and may rotate and revoke it.
    `previous_*` is the secret before the last rotation, valid until `previous_expires_at`.
    Limits and budgets of `team` apply in addition to its own.
    `last_used_at` is at most an hour behind. Use `store.create_key` to create a key.
    """

    name = models.CharField(max_length=200, validators=[single_line])
    prefix = models.CharField(max_length=32, unique=True, editable=False)
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    previous_prefix = models.CharField(max_length=32, blank=True, editable=False)
    previous_digest = models.BinaryField(max_length=32, null=True, editable=False)
    previous_expires_at = models.DateTimeField(null=True, blank=True, editable=False)
    routes = models.JSONField(default=list, blank=True)
    tags = models.JSONField(default=list, blank=True)
    guardrails = models.JSONField(default=list, blank=True)
    # Of each end user of the key: `routing.limits.Limits` and `Budget`; a missing one is no limit.
    end_user_limits = models.JSONField(default=dict, blank=True)
    end_user_budget = models.JSONField(default=dict, blank=True)
    user = models.CharField(max_length=200, blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="personal_keys",
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    log_bodies = models.BooleanField(null=True, blank=True)
    team = models.ForeignKey(
        Team, on_delete=models.PROTECT, null=True, blank=True, related_name="keys"
    )
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = ApiKeyQuerySet["ApiKey"].as_manager()

    class Meta:
        ordering = ("name", "pk")
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}...)"

    @property
    def is_expired(self) -> bool:
        """Whether the key has expired."""
        return self.expires_at is not None and self.expires_at <= timezone.now()

    @property
    def previous_secret_expires_at(self) -> datetime | None:
        """When the secret before the last rotation expires; None if it is not valid."""
        until = self.previous_expires_at
        if self.previous_digest is None or until is None or until <= timezone.now():
            return None
        return until
