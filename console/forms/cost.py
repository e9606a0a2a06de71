"""A provider's bill: a sum of some days, or its CSV file; and a newer price list."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from console.forms.limits import margin_field
from gateway.providers.prices import Book
from gateway.store.bills import Line, read_csv
from gateway.store.price_updates import MOST_BYTES, read_book

_MOST_CSV = 4 * 1024 * 1024


def _day() -> forms.DateInput:
    return forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"})


class BillForm(forms.Form):
    """One sum for some days, or a file with a line for each day and model."""

    since = forms.DateField(label=_("First day"), required=False, widget=_day())
    until = forms.DateField(label=_("Last day"), required=False, widget=_day())
    usd = forms.DecimalField(
        label=_("Sum, in USD"),
        required=False,
        max_digits=20,
        decimal_places=10,
        widget=forms.NumberInput(attrs={"step": "any", "inputmode": "decimal"}),
    )
    file = forms.FileField(
        label=_("Or a CSV file"),
        required=False,
        help_text=_("Columns: date, cost (USD) and, if there is one, model."),
    )

    def clean(self) -> dict[str, Any]:
        """Either of both; the lines are in `lines`."""
        found = super().clean() or {}
        upload = found.get("file")
        try:
            found["lines"] = _uploaded(upload) if upload else self._typed(found)
        except ValueError as error:
            self.add_error("file" if upload else "usd", str(error))
        return found

    def _typed(self, found: dict[str, Any]) -> list[Line]:
        since, until, usd = found.get("since"), found.get("until"), found.get("usd")
        if since is None or until is None or usd is None:
            raise ValueError(_("Give both days and the sum, or a file."))
        if until < since:
            raise ValueError(_("The last day is before the first."))
        return [Line(since, until, usd)]

    @property
    def origin(self) -> str:
        """The name of the file; empty for a sum that was typed in."""
        upload = self.cleaned_data.get("file")
        return str(upload.name)[:200] if upload else ""


def _uploaded(upload: Any) -> list[Line]:
    if upload.size > _MOST_CSV:
        raise ValueError(_("The file is larger than 4 MB."))
    try:
        text = upload.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(_("The file is not UTF-8 text.")) from None
    lines = read_csv(text)
    if not lines:
        raise ValueError(_("The file has no line but its head."))
    return lines


class MarginForm(forms.Form):
    """What a dollar of cost is charged as, where nothing more exact says."""

    margin = margin_field()


class PriceListForm(forms.Form):
    """A price list as `manage.py buildprices` writes it."""

    file = forms.FileField(
        label=_("Price list"),
        help_text=_("A prices.json, as buildprices of a newer version writes it."),
    )

    @property
    def origin(self) -> str:
        """The name of the file."""
        return str(getattr(self.files.get("file"), "name", ""))

    def clean_file(self) -> Book:
        """The list, read."""
        upload = self.cleaned_data["file"]
        if upload.size > MOST_BYTES:
            raise forms.ValidationError(_("The file is larger than 8 MB."))
        try:
            return read_book(upload.read())
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None
