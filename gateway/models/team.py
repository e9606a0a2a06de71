"""Teams and projects: keys that share a budget and limits."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext as _

from gateway.models.cost import Margined
from gateway.models.limits import Budgeted, Limited
from gateway.models.registry import RegistryRow
from gateway.querysets import TeamQuerySet


class Team(Limited, Budgeted, Margined, RegistryRow):
    """Some keys (`ApiKey.team`) that together must keep to a budget and limits.

    A team with a `parent` is a project of that team, which holds for its keys too; there
    are no projects of projects. What its keys spent goes with them: a key that joins
    brings what it has spent in the budget's window.
    """

    name = models.CharField(max_length=200, unique=True)
    parent = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="projects"
    )

    objects = TeamQuerySet["Team"].as_manager()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """A project is a part of a team, and has no parts of its own."""
        super().clean()
        if self.parent is None:
            return
        if self.parent.pk == self.pk or self.parent.parent_id is not None:
            why = _("A project can only be a part of a team that is no project itself.")
            raise ValidationError({"parent": why})
        if self.pk and self.projects.exists():
            why = _("It has projects, and so can not be one.")
            raise ValidationError({"parent": why})
