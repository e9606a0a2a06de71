"""What all rows of the registry share: where they come from, and the version they move."""

from __future__ import annotations

from typing import Any

from django.db import models, transaction
from django.db.models.signals import pre_delete
from django.dispatch import receiver

from gateway import audit
from gateway.querysets import RegistryQuerySet, bump


class Source(models.TextChoices):
    """Who made a row, and so who may change it."""

    DATABASE = "database", "made here"
    FILE = "file", "from a configuration file"
    ENVIRONMENT = "environment", "found in the environment"
    BUILTIN = "builtin", "built in"
    CODE = "code", "from configuration as code"


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
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write the row and move the version in one transaction.

        `loaddata` does not come past here: it counts as a change only if the fixture has
        the `Registry` row too, as a whole dump does.
        """
        with transaction.atomic(using=kwargs.get("using")):
            before = self._current_values() if self.pk else None
            super().save(*args, **kwargs)
            audit.record_change(
                self._meta.model_name or "", self.pk, str(self), before, self._current_values()
            )
            bump()

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete the row and what hangs on it, and move the version."""
        with transaction.atomic(using=kwargs.get("using")):
            result = super().delete(*args, **kwargs)
            bump()
        return result

    @property
    def read_only(self) -> bool:
        """Whether a file or the environment owns it, so that only a copy is changed here."""
        return self.source in {Source.FILE, Source.ENVIRONMENT, Source.CODE}

    def _current_values(self) -> audit.Values | None:
        """What the table says of this row."""
        return audit.read_rows(type(self), [self.pk]).get(self.pk)


@receiver(pre_delete)
def note_deletion(sender: type[models.Model], instance: models.Model, **_: Any) -> None:
    """Write down that a row goes, also where it goes because of another."""
    if isinstance(instance, RegistryRow):
        audit.record_change(
            instance._meta.model_name or "",
            instance.pk,
            str(instance),
            audit.row_values(instance),
            None,
        )
