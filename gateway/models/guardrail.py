"""Guardrails: checks of requests and responses."""

from __future__ import annotations

from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models

from gateway.guardrails.guardrail import MAX_TIMEOUT_S
from gateway.models.key import ApiKey
from gateway.models.registry import RegistryRow
from gateway.models.route import Route
from gateway.models.sealed import SealedText
from gateway.models.team import Team
from gateway.querysets import GuardrailQuerySet


class Guardrail(RegistryRow):
    """A check that routes, keys and teams refer to by name, so that the name never changes.

    The fields are those of `gateway.guardrails.guardrail.Guardrail`. `settings` depend on `kind`.
    `credential` is sent to the service; it can be `os.environ/NAME`.
    """

    class Kind(models.TextChoices):
        """Kind of check."""

        PATTERNS = "patterns", "Patterns"
        MODERATION = "moderation", "Provider moderation"
        PRESIDIO = "presidio", "Presidio"
        LITELLM = "litellm", "Webhook, LiteLLM format"
        PORTKEY = "portkey", "Webhook, Portkey format"

    class Action(models.TextChoices):
        """Action on a finding."""

        BLOCK = "block", "Block"
        MASK = "mask", "Mask"
        LOG = "log", "Log only"

    class OnError(models.TextChoices):
        """Action if the check itself fails."""

        BLOCK = "block", "Reject the request"
        ALLOW = "allow", "Allow the request"

    name = models.CharField(
        max_length=63, unique=True, validators=[RegexValidator(r"\A[^\x00-\x1f\x7f,`]+\Z")]
    )
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.PATTERNS)
    settings = models.JSONField(default=dict, blank=True)
    credential = SealedText(blank=True)
    action = models.CharField(max_length=8, choices=Action.choices, default=Action.BLOCK)
    check_requests = models.BooleanField(default=True)
    check_responses = models.BooleanField(default=False)
    everywhere = models.BooleanField(default=False)
    on_error = models.CharField(max_length=8, choices=OnError.choices, default=OnError.BLOCK)
    timeout_s = models.FloatField(
        default=3.0, validators=[MinValueValidator(0.05), MaxValueValidator(MAX_TIMEOUT_S)]
    )
    position = models.PositiveSmallIntegerField(default=0)
    enabled = models.BooleanField(default=True)

    objects = GuardrailQuerySet["Guardrail"].as_manager()

    class Meta:
        ordering = ("position", "name")

    def __str__(self) -> str:
        return self.name

    def attached_to(self) -> list[RegistryRow]:
        """The routes, keys and teams that it is attached to."""
        routes = [row for row in Route.objects.all() if self.name in row.guardrails]
        keys = [row for row in ApiKey.objects.live() if self.name in row.guardrails]
        teams = [row for row in Team.objects.all() if self.name in row.guardrails]
        return [*routes, *keys, *teams]

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete the row. Raises ProtectedError while a route, key or team has it."""
        if users := self.attached_to():
            raise models.ProtectedError(f"{self} is attached to routes, keys or teams", set(users))
        return super().delete(*args, **kwargs)
