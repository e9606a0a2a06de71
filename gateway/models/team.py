"""Teams and projects: keys that share a budget and limits."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext as _

from gateway.models.cost import WithMarkup
from gateway.models.limits import WithBudgets, WithLimits
from gateway.models.registry import RegistryRow, single_line
from gateway.querysets import TeamQuerySet


class Team(WithLimits, WithBudgets, WithMarkup, RegistryRow):
    """A group of keys (`ApiKey.team`) that share a budget and limits.

    A team with a `parent` is a project of that team, whose limits apply to its keys too; projects
    cannot be nested. Spend moves with the key: a key that joins a team brings its spend of the
    current budget window. `guardrails` are names of those that check the requests of its keys.
    """

    name = models.CharField(max_length=200, unique=True, validators=[single_line])
    parent = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="projects"
    )
    guardrails = models.JSONField(default=list, blank=True)

    objects = TeamQuerySet["Team"].as_manager()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Validate that the parent is not a project, and that a project has no projects."""
        super().clean()
        if self.parent is None:
            return
        if self.parent.pk == self.pk or self.parent.parent_id is not None:
            reason = _("A project must belong to a team that is not itself a project.")
            raise ValidationError({"parent": reason})
        if self.pk and self.projects.exists():
            reason = _("It has projects, so it cannot be a project itself.")
            raise ValidationError({"parent": reason})
