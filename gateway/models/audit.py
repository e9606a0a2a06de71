"""The audit log's table. `gateway.audit` writes it."""

from __future__ import annotations

import datetime as dt
from typing import ClassVar, Self, TypeVar

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils import timezone

Row = TypeVar("Row", bound=models.Model)


class ChangeQuerySet(models.QuerySet[Row]):
    """Changes, newest first."""

    def page(self, before: int | None = None, size: int = 50) -> Self:
        """At most `size`, of those older than the one with the id `before`."""
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
        """Those of a kind of row, of names with `name` in them, by somebody; empty is any."""
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

    def actors(self) -> list[str]:
        """Everybody who has changed something, by name."""
        return list(self.order_by("actor").values_list("actor", flat=True).distinct())


class Change(models.Model):
    """One change of one row; never changed itself.

    `kind` is the table's name (`provider`, `apikey`, `user`, ...), `name` what the row is
    called. `before` and `after` hold all of a row that was made or deleted, and of one
    that was changed the columns that differ.
    """

    class Action(models.TextChoices):
        """What was done."""

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
