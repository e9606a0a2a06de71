"""The audit log's table. `gateway.audit` writes it."""

from __future__ import annotations

import datetime as dt
from typing import ClassVar, Self, TypeVar

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils import timezone

Row = TypeVar("Row", bound=models.Model)


class ChangeQuerySet(models.QuerySet[Row]):
    """Entries of the audit log."""

    def page(self, before: int | None = None, size: int = 50) -> Self:
        """The newest `size` changes with an id below `before`."""
        changes = self if before is None else self.filter(pk__lt=before)
        return changes.order_by("-pk")[:size]

    def matching(
        self,
        *,
        kind: str = "",
        name: str = "",
        actor: str = "",
        since: dt.datetime | None = None,
    ) -> Self:
        """Changes by kind of row, part of the row's name, actor and time; empty matches any."""
        changes = self
        if any("\0" in text for text in (kind, name, actor)):
            return self.none()
        if kind:
            changes = changes.filter(kind=kind)
        if name:
            changes = changes.filter(name__icontains=name)
        if actor:
            changes = changes.filter(actor=actor)
        if since is not None:
            changes = changes.filter(changed_at__gte=since)
        return changes

    def of_row(self, kind: str, row_id: int) -> Self:
        """The changes of one row, newest first."""
        return self.filter(kind=kind, row_id=row_id).order_by("-pk")

    def actors(self) -> list[str]:
        """The names of all actors in the log."""
        return list(self.order_by("actor").values_list("actor", flat=True).distinct())


class Change(models.Model):
    """One change of one row; immutable.

    `kind` is the model name (`provider`, `apikey`, `user`, ...), `name` the row's name. `before`
    and `after` hold all columns of a row that was created or deleted, and the differing columns
    of one that was changed.
    """

    class Action(models.TextChoices):
        """The kind of change."""

        CREATED = "created", "created"
        CHANGED = "changed", "changed"
        DELETED = "deleted", "deleted"

    changed_at = models.DateTimeField(default=timezone.now)
    actor = models.CharField(max_length=150, blank=True)
    via = models.CharField(max_length=16)
    action = models.CharField(max_length=16, choices=Action.choices)
    kind = models.CharField(max_length=31)
    row_id = models.BigIntegerField()
    name = models.CharField(max_length=300)
    before = models.JSONField(null=True, encoder=DjangoJSONEncoder)
    after = models.JSONField(null=True, encoder=DjangoJSONEncoder)

    objects = ChangeQuerySet["Change"].as_manager()

    class Meta:
        ordering: ClassVar = ("-pk",)
        indexes: ClassVar = [models.Index(fields=["kind", "-id"], name="gateway_change_kind")]

    def __str__(self) -> str:
        return f"{self.action} {self.kind} {self.name}"
