"""Fields of limits and budgets, shared by several forms."""

from __future__ import annotations

from collections.abc import MutableMapping
from copy import deepcopy
from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from console.optimistic_lock import OptimisticLock
from gateway.models.cost import MAX_MARKUP
from gateway.models.limits import BUDGETS, LIMITS

BUDGET_HINT = _("Leave empty for no limit. 0 allows only models whose price is 0 or unknown.")


def usd_field(label: Any) -> forms.DecimalField:
    """A field for an amount of US dollars."""
    return forms.DecimalField(
        label=label,
        required=False,
        min_value=0,
        max_digits=16,
        decimal_places=6,
        widget=forms.NumberInput(attrs={"step": "any", "inputmode": "decimal"}),
    )


def limit_field(label: Any) -> forms.IntegerField:
    """A field for an upper limit."""
    return forms.IntegerField(label=label, required=False, min_value=1, max_value=2**53)


class LimitFields(OptimisticLock, forms.ModelForm):  # type: ignore[type-arg]
    """Limits of requests and tokens per period, and of concurrent requests."""

    limit_rpm = limit_field(_("Requests per minute"))
    limit_rph = limit_field(_("Requests per hour"))
    limit_rpd = limit_field(_("Requests per day"))
    limit_tpm = limit_field(_("Tokens per minute"))
    limit_tph = limit_field(_("Tokens per hour"))
    limit_tpd = limit_field(_("Tokens per day"))
    limit_concurrency = limit_field(_("Concurrent requests"))

    @property
    def limit_fields(self) -> list[forms.BoundField]:
        """The fields of limits, for the page."""
        return [self[name] for name in LIMITS]


def markup_field() -> forms.DecimalField:
    """Form field of the markup: the factor from cost to charge."""
    return forms.DecimalField(
        label=_("Markup (factor)"),
        required=False,
        min_value=0,
        max_value=MAX_MARKUP,
        max_digits=10,
        decimal_places=4,
        widget=forms.NumberInput(attrs={"step": "any", "inputmode": "decimal", "placeholder": "1"}),
        help_text=_(
            "1.2 charges 20 % more than cost. The key's markup takes precedence, then the "
            "team's, the provider's and the global one. Budgets use the charged amount."
        ),
    )


class BudgetFields(forms.ModelForm):  # type: ignore[type-arg]
    """Budgets in US dollars: daily, weekly, monthly and total."""

    budget_day_usd = usd_field(_("Daily (USD)"))
    budget_week_usd = usd_field(_("Weekly (USD)"))
    budget_month_usd = usd_field(_("Monthly (USD)"))
    budget_total_usd = usd_field(_("Total (USD)"))
    budget_soft_percent = forms.IntegerField(
        label=_("Warn at (%)"),
        required=False,
        min_value=1,
        max_value=100,
        help_text=_("Share of any budget. Responses then have the header x-dragoman-budget."),
    )

    markup = markup_field()

    @property
    def budget_fields(self) -> list[forms.BoundField]:
        """The fields of budgets, for the page."""
        return [self[name] for name in (*BUDGETS, "markup") if name in self.fields]


def limit_and_budget_fields() -> dict[str, forms.Field]:
    """New fields of all limits and budgets, by the names in `routing.limits`."""
    limits = {name: LimitFields.base_fields[column] for column, name in LIMITS.items()}
    budgets = {name: BudgetFields.base_fields[column] for column, name in BUDGETS.items()}
    return deepcopy({**limits, **budgets})


def trim_decimals(initial: MutableMapping[str, Any]) -> None:
    """Remove trailing zeros from decimals, in place."""
    for name, value in initial.items():
        if isinstance(value, Decimal):
            initial[name] = f"{value.normalize():f}"
