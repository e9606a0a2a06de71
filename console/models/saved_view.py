"""Saved views: named searches of the request log."""

from __future__ import annotations

from typing import Any, Self

from django.conf import settings
from django.db import models

# Saved views of a user; more would not fit into a menu.
MAX_VIEWS = 50


class SavedViewQuerySet(models.QuerySet["SavedView"]):
    """Saved views of users."""

    def owned_by(self, user: Any) -> Self:
        """Return the views of a user, by name."""
        return self.filter(owner_id=user.pk).order_by("name")

    def save_view(self, user: Any, name: str, query: str) -> SavedView | None:
        """Create a view, or replace the one of this name; None above MAX_VIEWS."""
        row = self.filter(owner_id=user.pk, name=name).first() or SavedView(
            owner_id=user.pk, name=name
        )
        if row.pk is None and self.owned_by(user).count() >= MAX_VIEWS:
            return None
        row.query = query
        row.save()
        return row


class SavedView(models.Model):
    """The query string of the Requests page under a name."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=1500)

    objects = SavedViewQuerySet.as_manager()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("owner", "name"), name="console_savedview_name"),
        )

    def __str__(self) -> str:
        """Return the name."""
        return self.name
