"""The base of all registry rows: their source, and the registry version."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models, transaction
from django.db.models.signals import pre_delete
from django.dispatch import receiver

from gateway import audit
from gateway.querysets import RegistryQuerySet, bump_version

# Names are in the URLs of pages, where Django's path converter matches no line break.
single_line = RegexValidator(
    r"\A[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z",
    "Must not contain line breaks or control characters.",
)


def is_single_line(name: str) -> bool:
    """Whether `single_line` accepts a name."""
    try:
        single_line(name)
    except ValidationError:
        return False
    return True


class RowSource(models.TextChoices):
    """Where a row comes from, which decides who may change it."""

    DATABASE = "database", "database"
    FILE = "file", "LiteLLM file"
    ENVIRONMENT = "environment", "environment"
    BUILTIN = "builtin", "built in"
    CODE = "code", "configuration file"


class Registry(models.Model):
    """A single row: the number of changes so far, by which processes detect a change.

    `program_version` is the program that prepared the database last; `backup_at` is the time of
    the last backup, None if there was none.
    """

    version = models.BigIntegerField(default=0)
    program_version = models.CharField(max_length=31, blank=True)
    backup_at = models.DateTimeField(null=True, blank=True)

    objects = RegistryQuerySet["Registry"].as_manager()

    class Meta:
        verbose_name_plural = "registry"

    def __str__(self) -> str:
        return f"version {self.version}"


class RegistryRow(models.Model):
    """A registry row, which requests read from the snapshot.

    `source_ref` is the position in its source, such as `litellm.yaml:12`.
    """

    source = models.CharField(max_length=16, choices=RowSource.choices, default=RowSource.DATABASE)
    source_ref = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the row, record the change and bump the registry version in one transaction.

        `loaddata` bypasses this: it counts as a change only if the fixture includes the `Registry`
        row, as a complete dump does.
        """
        with transaction.atomic(using=kwargs.get("using")):
            before = self._current_values() if self.pk else None
            super().save(*args, **kwargs)
            audit.record_change(
                self._meta.model_name or "", self.pk, str(self), before, self._current_values()
            )
            bump_version()

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete the row with its dependents, and bump the registry version."""
        with transaction.atomic(using=kwargs.get("using")):
            result = super().delete(*args, **kwargs)
            bump_version()
        return result

    @property
    def read_only(self) -> bool:
        """Whether a file or the environment owns the row, so that only a copy is editable."""
        return self.source in {RowSource.FILE, RowSource.ENVIRONMENT, RowSource.CODE}

    @property
    def managed_by(self) -> str:
        """The file or environment where the row must be changed; empty if it is editable here."""
        if not self.read_only:
            return ""
        label = f"the {RowSource(self.source).label}"
        return f"{label} ({self.source_ref})" if self.source_ref else label

    def _current_values(self) -> audit.Values | None:
        """The stored values of this row."""
        return audit.read_rows(type(self), [self.pk]).get(self.pk)


@receiver(pre_delete)
def note_deletion(sender: type[models.Model], instance: models.Model, **_: Any) -> None:
    """Record a deletion in the audit log, cascaded ones included."""
    if isinstance(instance, RegistryRow):
        audit.record_change(
            instance._meta.model_name or "",
            instance.pk,
            str(instance),
            audit.row_values(instance),
            None,
        )
