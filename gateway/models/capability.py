"""Reports of the doctor: one row for each examination of a model."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar, Self, TypeVar

from django.conf import settings
from django.db import models
from django.utils import timezone

from gateway.models.provider import Provider

Row = TypeVar("Row", bound=models.Model)

# Without a heartbeat for this long, the process of an examination is assumed to be dead.
STALE_AFTER = dt.timedelta(seconds=30)
# A heartbeat further in the future is from before the clock was set back.
MAX_CLOCK_SKEW = dt.timedelta(minutes=5)
# Number of reports retained per model.
MAX_REPORTS = 10


class CapabilityReportQuerySet(models.QuerySet[Row]):
    """Reports, newest first."""

    def of_model(self, provider: Provider, model: str) -> Self:
        """Reports of one model, by name, as the model may have no row."""
        return self.filter(provider=provider, model=model)

    def running(self) -> Self:
        """Reports of examinations that are running now, in any process."""
        now = timezone.now()
        alive = (now - STALE_AFTER, now + MAX_CLOCK_SKEW)
        return self.filter(state=CapabilityReport.State.RUNNING, heartbeat_at__range=alive)

    def newest(self, provider: Provider) -> dict[str, CapabilityReport]:
        """The newest report of each model of a provider, by the model's name."""
        rows = self.filter(provider=provider).order_by("started_at", "pk")
        return {row.model: row for row in rows}  # type: ignore[attr-defined, misc]

    def request_stop(self) -> int:
        """Request the processes that run them to stop; return the number of rows."""
        return self.filter(state=CapabilityReport.State.RUNNING).update(stop_requested=True)

    def prune(self, provider: Provider, model: str) -> None:
        """Delete all but the newest MAX_REPORTS of a model."""
        newest = self.of_model(provider, model).values_list("pk", flat=True)[:MAX_REPORTS]
        self.of_model(provider, model).exclude(pk__in=list(newest)).delete()


class CapabilityReport(models.Model):
    """An examination of `provider/model`.

    `results` has the dialect, the duration and the findings as `gateway.doctor.values.Finding`
    serializes them, also while it runs. `heartbeat_at` is updated while its process is alive;
    `stop_requested` makes that process stop.
    """

    class State(models.TextChoices):
        """Progress: the values of `gateway.doctor.values.Examination.ended`, and `running`."""

        RUNNING = "running", "running"
        DONE = "done", "done"
        NO_RESPONSE = "no_response", "no plain response"
        TIMED_OUT = "timed_out", "time limit reached"
        STOPPED = "stopped", "stopped"

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="reports")
    model = models.CharField(max_length=200)
    state = models.CharField(max_length=16, choices=State.choices, default=State.RUNNING)
    started_at = models.DateTimeField(auto_now_add=True)
    heartbeat_at = models.DateTimeField(default=timezone.now)
    stop_requested = models.BooleanField(default=False)
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    results = models.JSONField(default=dict)

    objects = CapabilityReportQuerySet["CapabilityReport"].as_manager()

    class Meta:
        ordering: ClassVar = ("-started_at", "-pk")
        indexes = (
            models.Index(
                fields=["provider", "model", "-started_at"], name="gateway_capability_newest"
            ),
        )

    def __str__(self) -> str:
        return f"{self.provider.name}/{self.model} {self.started_at:%Y-%m-%d %H:%M}"

    @property
    def running(self) -> bool:
        """Whether the report is still running."""
        age = timezone.now() - self.heartbeat_at
        return self.state == self.State.RUNNING and -MAX_CLOCK_SKEW <= age <= STALE_AFTER

    @property
    def findings(self) -> list[dict[str, Any]]:
        """The findings so far; malformed entries are skipped."""
        findings = self.results.get("findings") if isinstance(self.results, dict) else None
        rows = findings if isinstance(findings, list) else []
        return [row for row in rows if isinstance(row, dict) and "name" in row and "verdict" in row]

    @property
    def verdicts(self) -> dict[str, Any]:
        """The verdicts by probe name."""
        return {row["name"]: row["verdict"] for row in self.findings}
