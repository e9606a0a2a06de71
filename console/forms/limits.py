"""The fields of limits and budgets, for the forms of whatever has them."""

from __future__ import annotations

from collections.abc import MutableMapping
from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from gateway.models.cost import MOST_MARGIN
from gateway.models.limits import BUDGETS, LIMITS


def _usd(label: Any) -> forms.DecimalField:
    return forms.DecimalField(
        label=label,
        required=False,
        min_value=0,
        max_digits=16,
        decimal_places=6,
        widget=forms.NumberInput(attrs={"step": "any", "inputmode": "decimal"}),
    )


def count(label: Any) -> forms.IntegerField:
    """A number that must not be passed."""
    return forms.IntegerField(label=label, required=False, min_value=1, max_value=2**53)


class LimitFields(forms.ModelForm):  # type: ignore[type-arg]
    """Requests and tokens in a time, and requests at a time."""

    limit_rpm = count(_("Requests a minute"))
    limit_rph = count(_("Requests an hour"))
    limit_rpd = count(_("Requests a day"))
    limit_tpm = count(_("Tokens a minute"))
    limit_tph = count(_("Tokens an hour"))
    limit_tpd = count(_("Tokens a day"))
    limit_concurrency = count(_("Requests at a time"))

    @property
    def limit_fields(self) -> list[forms.BoundField]:
        """The fields of limits, for the page."""
        return [self[name] for name in LIMITS]


def margin_field() -> forms.DecimalField:
    """What a dollar of cost is charged as."""
    return forms.DecimalField(
        label=_("Charged, times cost"),
        required=False,
        min_value=0,
        max_value=MOST_MARGIN,
        max_digits=10,
        decimal_places=4,
        widget=forms.NumberInput(attrs={"step": "any", "inputmode": "decimal", "placeholder": "1"}),
        help_text=_(
            "1.2 is a fifth more. A key's counts before its team's, a provider's, the "
            "settings'. Budgets count what is charged."
        ),
    )


class BudgetFields(forms.ModelForm):  # type: ignore[type-arg]
    """US dollars for a day, a week, a month and in all."""

    budget_day_usd = _usd(_("A day, in USD"))
    budget_week_usd = _usd(_("A week, in USD"))
    budget_month_usd = _usd(_("A month, in USD"))
    budget_total_usd = _usd(_("In all, in USD"))
    budget_soft_percent = forms.IntegerField(
        label=_("Warn from, in percent"),
        required=False,
        min_value=1,
        max_value=100,
        help_text=_("Of any of them. Answers then say so in x-dragoman-budget."),
    )

    margin = margin_field()

    @property
    def budget_fields(self) -> list[forms.BoundField]:
        """The fields of budgets, for the page."""
        return [self[name] for name in (*BUDGETS, "margin") if name in self.fields]


def plain(initial: MutableMapping[str, Any]) -> None:
    """Write decimals without the zeros of their column."""
    for name, value in initial.items():
        if isinstance(value, Decimal):
            initial[name] = f"{value.normalize():f}"
