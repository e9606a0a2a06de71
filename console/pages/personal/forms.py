"""The form of a person's personal key."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from console.limit_fields import usd_field
from console.pages.personal.limits import PersonalLimits, route_names
from gateway.models.account import MAX_KEY_DAYS


class PersonalKeyForm(forms.Form):
    """A new key of a user, within the limits of the account.

    `available_usd` is the part of the monthly spend limit that it may use; None without a limit.
    """

    name = forms.CharField(
        label=_("Name"),
        max_length=200,
        help_text=_("Who or what uses the key."),
    )
    routes = forms.MultipleChoiceField(
        label=_("Routes"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Select none to allow all routes that you may use."),
    )
    month_usd = usd_field(_("Monthly budget (USD)"))
    days = forms.IntegerField(
        label=_("Expires after (days)"), required=False, min_value=1, max_value=MAX_KEY_DAYS
    )

    def __init__(
        self, *args: Any, limits: PersonalLimits, available_usd: Decimal | None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.limits, self.available = limits, available_usd
        self.fields["routes"].choices = [  # type: ignore[attr-defined]
            (name, name) for name in route_names(limits)
        ]
        self.fields["month_usd"].required = available_usd is not None
        if available_usd is not None:
            self.fields["month_usd"].help_text = _("At most %(usd)s.") % {
                "usd": f"${available_usd:f}"
            }
        if limits.key_days is not None:
            self.fields["days"].required = True
            self.fields["days"].initial = limits.key_days
            self.fields["days"].help_text = _("At most %(days)d.") % {"days": limits.key_days}

    def clean_month_usd(self) -> Decimal | None:
        """Require a budget within what is left of the account's limit."""
        budget: Decimal | None = self.cleaned_data["month_usd"]
        if budget is not None and self.available is not None and budget > self.available:
            message = _("Only %(usd)s of your monthly limit is left.")
            raise forms.ValidationError(message % {"usd": f"${self.available:f}"})
        return budget

    def clean_days(self) -> int | None:
        """Require an expiry within the account's limit."""
        days: int | None = self.cleaned_data["days"]
        limit = self.limits.key_days
        if days is not None and limit is not None and days > limit:
            message = ngettext("Keys expire after %d day.", "Keys expire after %d days.", limit)
            raise forms.ValidationError(message % limit)
        return days

    def row_values(self, now: datetime) -> dict[str, Any]:
        """Column values of the key."""
        days = self.cleaned_data["days"]
        return {
            "routes": self.cleaned_data["routes"] or list(self.limits.routes),
            "expires_at": None if days is None else now + timedelta(days=days),
            "budget_month_usd": self.cleaned_data["month_usd"],
            "team": self.limits.team,
        }
