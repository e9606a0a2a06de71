"""Forms that notice a change which was saved after they were opened."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from django import forms
from django.utils.translation import gettext as _

from gateway.models import Change
from gateway.models.registry import RegistryRow

FIELD = "row_version"


class VersionLock(forms.BaseForm):
    """A form that overwrites somebody else's change only when it is submitted once more.

    A hidden field has the version of the values that the page showed. Without it, nothing is
    checked.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields[FIELD] = forms.CharField(
            required=False, widget=forms.HiddenInput, initial=self.current_version()
        )

    def current_version(self) -> str:
        """The version of the stored values; empty if there are none yet."""
        return ""

    def last_editor(self) -> str:
        """Who changed the values last; empty if unknown."""
        return ""

    def clean_row_version(self) -> str:
        """Add an error if the values have changed; the next submission overwrites them."""
        opened_version, current_version = str(self.cleaned_data[FIELD]), self.current_version()
        if opened_version and opened_version != current_version:
            data = self.data.copy()  # type: ignore[attr-defined]
            data[self.add_prefix(FIELD)] = current_version
            self.data = data
            message = _(
                "%(name)s changed this after you opened the page. Save again to overwrite that "
                "change, or reload the page to see it."
            )
            self.add_error(None, message % {"name": self.last_editor() or _("Somebody")})
        return current_version


class OptimisticLock(VersionLock):
    """A lock on one row, whose version is the time of its last change."""

    @property
    def locked_row(self) -> RegistryRow:
        """The row that the form changes."""
        row: RegistryRow = self.instance  # type: ignore[attr-defined]
        return row

    def current_version(self) -> str:
        """The time of the row's last change."""
        row = self.locked_row
        return "" if row.pk is None else row.updated_at.isoformat()

    def last_editor(self) -> str:
        """The actor of the row's last change in the audit log."""
        kind = self.locked_row._meta.model_name or ""
        change = Change.objects.of_row(kind, self.locked_row.pk).first()
        return change.actor if change else ""


def version_of(values: Any) -> str:
    """A digest of values, which is their version."""
    encoded = msgspec.json.encode(values, order="sorted")
    return hashlib.sha256(encoded).hexdigest()[:32]


class ValuesLock(VersionLock):
    """A lock on values, whose version is a digest of them; None is not stored yet."""

    locked_values: Any = None

    def current_version(self) -> str:
        """A digest of `locked_values`."""
        return "" if self.locked_values is None else version_of(self.locked_values)


class SettingsLock(ValuesLock):
    """A lock on settings, or on a part of one."""

    settings: tuple[str, ...] = ()

    def last_editor(self) -> str:
        """The actor of the last change of one of the settings in the audit log."""
        change = Change.objects.filter(kind="setting", name__in=self.settings).first()
        return change.actor if change else ""
