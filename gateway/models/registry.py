"""What all rows of the registry share: where they come from, and the version they move."""

from __future__ import annotations

from typing import Any

from django.db import models, transaction

from gateway.querysets import RegistryQuerySet, bump


class Source(models.TextChoices):
    """Who made a row, and so who may change it."""

    DATABASE = "database", "made here"
    FILE = "file", "from a configuration file"
    ENVIRONMENT = "environment", "found in the environment"
    BUILTIN = "builtin", "built in"


class Registry(models.Model):
    """One row: the number of changes so far, by which processes see that there is one."""

    version = models.BigIntegerField(default=0)

    objects = RegistryQuerySet["Registry"].as_manager()

    class Meta:
        verbose_name_plural = "registry"

    def __str__(self) -> str:
        return f"version {self.version}"


class RegistryRow(models.Model):
    """A row that the hot path knows through the snapshot.

    `source_ref` says where it stands in its source, such as `litellm.yaml:12`.
    """

    source = models.CharField(max_length=16, choices=Source.choices, default=Source.DATABASE)
    source_ref = models.CharField(max_length=300, blank=True)
    created = models.DateTimeField(auto_now_add=True)
    changed = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write the row and move the version in one transaction.

        `loaddata` does not come past here: it counts as a change only if the fixture has
        the `Registry` row too, as a whole dump does.
        """
        with transaction.atomic(using=kwargs.get("using")):
            super().save(*args, **kwargs)
            bump()

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete the row and what hangs on it, and move the version."""
        with transaction.atomic(using=kwargs.get("using")):
            result = super().delete(*args, **kwargs)
            bump()
        return result
