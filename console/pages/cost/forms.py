"""Forms of the cost page: a provider's bill, the markup, and a newer price list."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from console.limit_fields import markup_field
from gateway.accounting.bills import BilledLine, read_csv
from gateway.providers.prices import PriceBook
from gateway.store.price_updates import MAX_BYTES, read_book

_MAX_CSV_BYTES = 4 * 1024 * 1024


def _date_input() -> forms.DateInput:
    return forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"})


class BillForm(forms.Form):
    """A bill: one amount for a period, or a file with a line for each day and model."""

    since = forms.DateField(label=_("Start date"), required=False, widget=_date_input())
    until = forms.DateField(label=_("End date"), required=False, widget=_date_input())
    usd = forms.DecimalField(
        label=_("Amount (USD)"),
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
        """Read the amount or the file into `lines`."""
        cleaned_data = super().clean() or {}
        upload = cleaned_data.get("file")
        try:
            cleaned_data["lines"] = (
                _read_bill_upload(upload) if upload else self._entered_line(cleaned_data)
            )
        except ValueError as error:
            self.add_error("file" if upload else "usd", str(error))
        return cleaned_data

    def _entered_line(self, cleaned_data: dict[str, Any]) -> list[BilledLine]:
        since, until, usd = (
            cleaned_data.get("since"),
            cleaned_data.get("until"),
            cleaned_data.get("usd"),
        )
        if since is None or until is None or usd is None:
            raise ValueError(_("Enter both dates and the amount, or choose a file."))
        if until < since:
            raise ValueError(_("The end date is before the start date."))
        return [BilledLine(since, until, usd)]

    @property
    def file_name(self) -> str:
        """The name of the file; empty for an entered amount."""
        upload = self.cleaned_data.get("file")
        return str(upload.name)[:200] if upload else ""


def _read_bill_upload(upload: Any) -> list[BilledLine]:
    if upload.size > _MAX_CSV_BYTES:
        raise ValueError(_("The file is larger than 4 MB."))
    try:
        text = upload.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(_("The file is not UTF-8 text.")) from None
    lines = read_csv(text)
    if not lines:
        raise ValueError(_("The file contains only a header."))
    return lines


class MarkupForm(forms.Form):
    """The default markup: the factor from cost to charge."""

    markup = markup_field()


class PriceListForm(forms.Form):
    """A price list as `manage.py build_prices` writes it."""

    file = forms.FileField(
        label=_("Price list"),
        help_text=_("A prices.json file, as written by build_prices in a newer version."),
    )

    @property
    def file_name(self) -> str:
        """The name of the file."""
        return str(getattr(self.files.get("file"), "name", ""))

    def clean_file(self) -> PriceBook:
        """The parsed price list."""
        upload = self.cleaned_data["file"]
        if upload.size > MAX_BYTES:
            raise forms.ValidationError(_("The file is larger than 8 MB."))
        try:
            return read_book(upload.read())
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None
