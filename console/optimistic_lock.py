"""Forms that notice a change of their row which was saved after they were opened."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext as _

from gateway.models import Change
from gateway.models.registry import RegistryRow

FIELD = "row_updated_at"


class OptimisticLock(forms.BaseForm):
    """A form that overwrites somebody else's change only when it is submitted once more.

    A hidden field has the time of the row's last change. Without it, nothing is checked.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields[FIELD] = forms.CharField(
            required=False, widget=forms.HiddenInput, initial=self._last_change()
        )

    @property
    def locked_row(self) -> RegistryRow:
        """The row that the form changes."""
        row: RegistryRow = self.instance  # type: ignore[attr-defined]
        return row

    def clean_row_updated_at(self) -> str:
        """Add an error if the row has changed; the next submission overwrites it."""
        seen, current = str(self.cleaned_data[FIELD]), self._last_change()
        if seen and seen != current:
            data = self.data.copy()  # type: ignore[attr-defined]
            data[self.add_prefix(FIELD)] = current
            self.data = data
            self.add_error(None, self._conflict())
        return current

    def _last_change(self) -> str:
        row = self.locked_row
        return "" if row.pk is None else row.updated_at.isoformat()

    def _conflict(self) -> str:
        kind = self.locked_row._meta.model_name or ""
        change = Change.objects.of_row(kind, self.locked_row.pk).first()
        return _(
            "%(name)s changed this after you opened the page. Save again to overwrite that change, "
            "or reload the page to see it."
        ) % {"name": (change.actor if change else "") or _("Somebody")}
