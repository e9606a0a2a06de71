"""Playground runs, presets and votes."""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
import uuid
from typing import Any, Self

from django.conf import settings
from django.db import models, transaction
from django.db.models import Max, Q
from django.utils import timezone

from console.models.owned import OwnedQuerySet

Json = dict[str, Any]

PAGE_ROWS = 30
# Stored runs per user; the oldest are deleted first.
MAX_RUNS = 1000
MAX_SEARCH_WORDS = 10
# A run whose heartbeat is older than this ended with its process.
STALE_AFTER = dt.timedelta(seconds=15)
# A heartbeat further in the future is from before the clock was set back.
MAX_CLOCK_SKEW = dt.timedelta(minutes=5)


class RunQuerySet(OwnedQuerySet["PlaygroundRun"]):
    """Runs; large columns are deferred."""

    def listed(self) -> Self:
        """Order by newest first, and defer large columns."""
        return self.defer("document", "events").order_by("-pk")

    def search(self, text: str) -> Self:
        """Return the runs whose name, prompt or models contain all words of a text."""
        rows = self.none() if "\0" in text else self
        for word in text.split()[:MAX_SEARCH_WORDS]:
            rows = rows.filter(
                Q(name__icontains=word) | Q(title__icontains=word) | Q(model_names__icontains=word)
            )
        return rows

    def before(self, pk: int | None) -> Self:
        """Return the runs older than this one."""
        return self if pk is None else self.filter(pk__lt=pk)

    def prune(self, owner: int, kept_runs: int = MAX_RUNS) -> int:
        """Delete a user's oldest runs; return how many."""
        runs = self.filter(owner_id=owner).order_by("-pk")
        last_pk = runs.values_list("pk", flat=True)[kept_runs : kept_runs + 1].first()
        return 0 if last_pk is None else self.filter(owner_id=owner, pk__lte=last_pk).delete()[0]

    def request_stop(self, run: uuid.UUID, column: str) -> None:
        """Ask the process that executes this run to stop a column, or `*` for all."""
        with transaction.atomic():
            row = self.select_for_update().only("pk", "stop_requests").filter(uuid=run).first()
            if row is not None and column not in row.stop_requests:
                row.stop_requests = [*row.stop_requests, column]
                row.save(update_fields=["stop_requests"])


class PlaygroundRun(models.Model):
    """One run: its request, its events, and its totals.

    `document` is the page's JSON; `events` the stream (`console.playground.events`), empty
    while the run is active; `stop_requests` are columns to stop, for the process that executes
    it; `heartbeat_at` is that process's last sign of life. `title` is the beginning of the prompt,
    `name` what a user called the run.
    """

    uuid = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    document = models.JSONField()
    title = models.CharField(max_length=200, blank=True)
    name = models.CharField(max_length=100, blank=True)
    events = models.BinaryField(default=b"")
    model_names = models.CharField(max_length=2000, blank=True)
    summary = models.JSONField(default=dict)
    stop_requests = models.JSONField(default=list)
    cost_usd = models.DecimalField(max_digits=20, decimal_places=10, null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)
    heartbeat_at = models.DateTimeField(null=True)

    objects = RunQuerySet.as_manager()

    class Meta:
        indexes = (models.Index(fields=["owner", "-id"], name="console_run_owner"),)

    def __str__(self) -> str:
        return self.name or self.title or str(self.uuid)

    @property
    def interrupted(self) -> bool:
        """Whether the run has not ended and its process no longer exists."""
        last_heartbeat = self.heartbeat_at or self.created_at
        age = timezone.now() - last_heartbeat
        return self.ended_at is None and not -MAX_CLOCK_SKEW <= age <= STALE_AFTER


class ShareQuerySet(OwnedQuerySet["RunShare"]):
    """Public links to runs."""

    def valid(self) -> Self:
        """Return the links that have not expired, of accounts that are active."""
        return self.filter(expires_at__gt=timezone.now(), owner__is_active=True)

    def by_token(self, token: str) -> RunShare | None:
        """Return the valid link with this token."""
        digest = hashlib.sha256(token.encode()).hexdigest()
        return self.valid().select_related("run").filter(token_digest=digest).first()

    def create_link(
        self, run: PlaygroundRun, owner: Any, days: int, *, with_prompt: bool
    ) -> tuple[RunShare, str]:
        """Create a link; return it and its token, which is not stored.

        Expired links of the owner are deleted.
        """
        own_runs = self.filter(owner_id=owner.pk)
        own_runs.filter(expires_at__lte=timezone.now()).delete()
        token = secrets.token_urlsafe(32)
        row = self.create(
            run=run,
            owner_id=owner.pk,
            token_digest=hashlib.sha256(token.encode()).hexdigest(),
            with_prompt=with_prompt,
            expires_at=timezone.now() + dt.timedelta(days=days),
        )
        return row, token


class RunShare(models.Model):
    """A public link to a run, for people without an account, until it expires or is deleted.

    `token_digest` is the SHA-256 of the token in the link. Without `with_prompt` the page shows
    the responses only.
    """

    run = models.ForeignKey(PlaygroundRun, on_delete=models.CASCADE, related_name="shares")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    token_digest = models.CharField(max_length=64, unique=True)
    with_prompt = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()

    objects = ShareQuerySet.as_manager()

    def __str__(self) -> str:
        return f"link to {self.run}"


class PresetQuerySet(OwnedQuerySet["PlaygroundPreset"]):
    """Stored presets."""

    def with_id(self, pk: int) -> Self:
        """Return the preset with this id."""
        return self.filter(pk=pk)

    def by_name(self, name: str) -> Self:
        """Return all versions of a name."""
        return self.filter(name=name)

    def newest(self) -> Self:
        """Return the latest version of each name."""
        latest = self.values("owner", "name").annotate(last=Max("version")).values("last")
        other_versions = latest.filter(owner=models.OuterRef("owner"), name=models.OuterRef("name"))
        return self.filter(version=models.Subquery(other_versions[:1])).order_by("name")

    def save_version(self, user: Any, name: str, document: Json) -> PlaygroundPreset:
        """Save as the next version of a name."""
        with transaction.atomic():
            versions = self.select_for_update().filter(owner_id=user.pk, name=name)
            last_version = max(versions.values_list("version", flat=True), default=0)
            return self.create(
                owner_id=user.pk, name=name, version=last_version + 1, document=document
            )


class PlaygroundPreset(models.Model):
    """Settings under a name. Each save creates a version; versions are never changed."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=100)
    version = models.PositiveIntegerField(default=1)
    document = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    objects = PresetQuerySet.as_manager()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["owner", "name", "version"], name="console_preset_version"
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"


class VoteQuerySet(OwnedQuerySet["Vote"]):
    """Votes."""

    owner_column = "voter_id"

    def for_preset(self, preset: str | None) -> Self:
        """Return the votes on runs of a preset; all votes for None."""
        return self if preset is None else self.filter(preset=preset)


class Vote(models.Model):
    """A user's choice between the responses of a run, stored by model name, not by column.

    `winner` is a model; empty with `tie` (equally good) or without (all bad).
    """

    run = models.ForeignKey(PlaygroundRun, on_delete=models.CASCADE, related_name="votes")
    voter = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    preset = models.CharField(max_length=100, blank=True)
    blind = models.BooleanField(default=False)
    candidates = models.JSONField()
    winner = models.CharField(max_length=400, blank=True)
    tie = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = VoteQuerySet.as_manager()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["run", "voter"], name="console_vote_once"),)

    def __str__(self) -> str:
        return self.winner or ("tie" if self.tie else "none")
