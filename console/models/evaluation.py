"""Evaluations, their runs, and the results of the runs."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Count, Q
from django.utils import timezone

from console.models.owned import OwnedQuerySet

# A run whose lease has ended is taken over by another process.
LEASE = dt.timedelta(seconds=10)
# A lease further in the future is one of a process that was killed before its clock was set back.
MAX_LEASE = dt.timedelta(minutes=10)


class EvaluationQuerySet(OwnedQuerySet["Evaluation"]):
    """Evaluations."""

    def listed(self) -> Self:
        """Order by the last change, newest first."""
        return self.order_by("-updated_at", "-pk")


class Evaluation(models.Model):
    """A prompt, models, assertions and cases.

    `document` is the object of an evaluation file (`console.evaluate.definition`).
    """

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=200)
    document = models.JSONField()
    case_count = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = EvaluationQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name


class EvaluationRunQuerySet(OwnedQuerySet["EvaluationRun"]):
    """Runs of evaluations."""

    def listed(self) -> Self:
        """Order by newest first, and defer the document."""
        return self.defer("document").order_by("-pk")

    def with_progress(self) -> Self:
        """Add `done`, the number of stored results."""
        return self.annotate(done=Count("results"))

    def claimable(self, now: dt.datetime) -> Self:
        """Return the running runs that no process executes."""
        without_worker = (
            Q(lease_until=None) | Q(lease_until__lt=now) | Q(lease_until__gt=now + MAX_LEASE)
        )
        return self.filter(without_worker, status=EvaluationRun.Status.RUNNING)

    def claim(self, worker: str, limit: int) -> list[int]:
        """Take over runs that no process executes; return their primary keys."""
        now = timezone.now()
        claimed_pks = []
        for pk in self.claimable(now).order_by("pk").values_list("pk", flat=True)[:limit]:
            # Another process may have claimed it since.
            row = self.claimable(now).filter(pk=pk)
            if row.update(worker=worker, lease_until=now + LEASE):
                claimed_pks.append(pk)
        return claimed_pks

    def leased_to(self, pk: int, worker: str) -> Self:
        """Return the run if this worker executes it."""
        return self.filter(pk=pk, worker=worker)

    def active_of(self, owner: int) -> Self:
        """Return the runs of a user that are running."""
        return self.filter(owner_id=owner, status=EvaluationRun.Status.RUNNING)


class EvaluationRun(models.Model):
    """One run: a copy of the evaluation's document, its state, and who executes it.

    Attributes:
        number: counts the runs of the evaluation, from 1.
        reason: why the gateway paused it; empty if a person did.
        worker: the process that executes it, until `lease_until`.
        summary: scores by model (`console.evaluate.report.summary_json`), once it has ended.
    """

    class Status(models.TextChoices):
        """The state of a run."""

        RUNNING = "running"
        PAUSED = "paused"
        CANCELLED = "cancelled"
        DONE = "done"

    uuid = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="runs")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    number = models.PositiveIntegerField()
    document = models.JSONField()
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.RUNNING)
    reason = models.CharField(max_length=300, blank=True)
    total = models.PositiveIntegerField()
    summary = models.JSONField(default=list)
    worker = models.CharField(max_length=64, blank=True)
    lease_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)

    objects = EvaluationRunQuerySet.as_manager()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["evaluation", "number"], name="console_evaluation_run_number"
            ),
        )
        indexes = (
            models.Index(
                fields=["lease_until"],
                condition=Q(status="running"),
                name="console_evaluation_running",
            ),
        )

    def __str__(self) -> str:
        return f"{self.evaluation} #{self.number}"

    @property
    def waiting(self) -> bool:
        """Whether the run is not finished, but no process executes it at the moment."""
        leased = self.lease_until is not None and self.lease_until > timezone.now()
        return self.status == self.Status.RUNNING and not leased


class EvaluationResult(models.Model):
    """One response of a run: its case, model and repetition (from 0), figures and content.

    The unique constraint is what keeps a response from being counted twice when a run is
    resumed.
    """

    run = models.ForeignKey(EvaluationRun, on_delete=models.CASCADE, related_name="results")
    case = models.PositiveIntegerField()
    model = models.PositiveSmallIntegerField()
    repetition = models.PositiveSmallIntegerField()
    passed = models.BooleanField()
    score = models.FloatField()
    failed = models.BooleanField()
    latency_ms = models.FloatField()
    cost_usd = models.FloatField(null=True)
    judge_cost_usd = models.FloatField(null=True)
    input_tokens = models.PositiveIntegerField(null=True)
    output_tokens = models.PositiveIntegerField(null=True)
    content = models.JSONField()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["run", "case", "model", "repetition"], name="console_evaluation_result_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.run_id}: case {self.case}, model {self.model}, {self.repetition}"
