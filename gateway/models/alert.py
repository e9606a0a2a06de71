"""Alerts, and the channels that they are sent to."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone

from gateway.models.registry import RegistryRow
from gateway.models.sealed import seal_for, unseal_for
from gateway.querysets import RegistryRowQuerySet

_CONTEXT = "alert channel"


class AlertEvent(models.TextChoices):
    """Kinds of events that alerts report."""

    BUDGET = "budget", "Budget nearly or completely used"
    ERROR_RATE = "error_rate", "Provider error rate"
    COOLDOWN = "cooldown", "Target in cooldown"
    REQUEST_LOG = "request_log", "Request log falling behind or losing rows"
    KEY_EXPIRY = "key_expiry", "API key expires soon"
    CERTIFICATE_EXPIRY = "cert_expiry", "Certificate expires soon"
    LOG_EXPORT = "log_export", "Export of the request log fails"


class AlertChannel(RegistryRow):
    """A destination of alerts: a Slack webhook, any webhook, or an email address.

    `credential` is the sealed URL or address. `events` limits what is sent; empty means all.
    """

    class Kind(models.TextChoices):
        """How a message is delivered."""

        SLACK = "slack", "Slack webhook"
        WEBHOOK = "webhook", "Webhook (JSON)"
        EMAIL = "email", "Email"

    name = models.CharField(
        max_length=63, unique=True, validators=[RegexValidator(r"\A[^\x00-\x1f\x7f]+\Z")]
    )
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.SLACK)
    credential = models.TextField(editable=False)
    events = models.JSONField(default=list, blank=True)
    enabled = models.BooleanField(default=True)

    objects = RegistryRowQuerySet["AlertChannel"].as_manager()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    @property
    def destination(self) -> str:
        """The URL or address. Raises UndecryptableError."""
        return unseal_for(_CONTEXT, self.credential)

    @destination.setter
    def destination(self, value: str) -> None:
        """Store the URL or address, encrypted."""
        self.credential = seal_for(_CONTEXT, value)


class AlertDelivery(models.Model):
    """The outcome of the last message to a channel; not part of the registry."""

    channel = models.OneToOneField(
        AlertChannel, on_delete=models.CASCADE, primary_key=True, related_name="delivery"
    )
    sent_at = models.DateTimeField()
    error = models.CharField(max_length=500, blank=True)

    objects: ClassVar[models.Manager[AlertDelivery]] = models.Manager()

    def __str__(self) -> str:
        return self.error or "sent"


class AlertQuerySet(models.QuerySet["Alert"]):
    """Named filters of alerts."""

    def firing(self) -> AlertQuerySet:
        """Alerts whose condition still holds."""
        return self.filter(resolved_at=None)

    def resolved(self) -> AlertQuerySet:
        """Past alerts, newest first."""
        return self.exclude(resolved_at=None).order_by("-resolved_at")


class Alert(models.Model):
    """One condition, from its first observation until it no longer holds.

    `node` is the machine that observes it; empty for conditions that all nodes see alike.
    `seen_at` is the last observation. `is_silenced`: its start was not sent, because of a
    silence; it is sent when no silence matches any longer.
    """

    event = models.CharField(max_length=16, choices=AlertEvent.choices)
    subject = models.CharField(max_length=300)
    node = models.CharField(max_length=200, blank=True)
    message = models.CharField(max_length=500)
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True, blank=True)
    is_silenced = models.BooleanField(default=False)

    objects = AlertQuerySet.as_manager()

    class Meta:
        ordering = ("-started_at",)
        constraints = (
            models.UniqueConstraint(
                fields=["event", "subject", "node"],
                condition=models.Q(resolved_at=None),
                name="gateway_alert_active_once",
            ),
        )

    def __str__(self) -> str:
        return f"{self.event}: {self.subject}"


class AlertSilenceQuerySet(models.QuerySet["AlertSilence"]):
    """Named filters of silences."""

    def current(self) -> AlertSilenceQuerySet:
        """Silences that have not ended."""
        return self.filter(ends_at__gt=timezone.now())

    def ended_before(self, time: datetime) -> AlertSilenceQuerySet:
        """Silences that ended before `time`."""
        return self.filter(ends_at__lt=time)


class AlertSilence(models.Model):
    """A period in which matching alerts are listed, but their start is not sent.

    An empty `event` or `subject` matches all.
    """

    event = models.CharField(max_length=16, choices=AlertEvent.choices, blank=True)
    subject = models.CharField(max_length=300, blank=True)
    ends_at = models.DateTimeField()
    comment = models.CharField(max_length=300, blank=True)
    created_by = models.CharField(max_length=150, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = AlertSilenceQuerySet.as_manager()

    class Meta:
        ordering = ("ends_at",)

    def __str__(self) -> str:
        label = AlertEvent(self.event).label if self.event else "All events"
        return f"{label}: {self.subject}" if self.subject else str(label)

    def matches(self, event: str, subject: str) -> bool:
        """Whether the silence applies to an alert."""
        return self.event in {"", event} and self.subject in {"", subject}
