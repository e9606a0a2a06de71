"""Querysets of rows that belong to a user."""

from __future__ import annotations

from typing import Any, ClassVar, Self, TypeVar

from django.db import models

Row = TypeVar("Row", bound=models.Model, covariant=True)


class OwnedQuerySet(models.QuerySet[Row]):
    """Rows that a user owns; `owner_column` has the user's primary key."""

    owner_column: ClassVar[str] = "owner_id"

    def owned_by(self, user: Any) -> Self:
        """Return a user's own rows."""
        return self.filter(**{self.owner_column: user.pk})

    def visible_to(self, user: Any) -> Self:
        """Return the rows that a user may see and change: their own, or all for admins."""
        return self if user.is_staff else self.owned_by(user)
