"""Limits and budgets of each end user, and of a single one."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from console.limit_fields import limit_and_budget_fields
from console.optimistic_lock import SettingsLock
from gateway.models.limits import BUDGETS, LIMITS
from gateway.routing.limits import Budget, Limits
from gateway.store.options import MAX_END_USER_CHARS, Options

MAX_ALIAS = 200


class _LimitedForm(SettingsLock, forms.Form):
    """A form with the fields of `limit_and_budget_fields`."""

    @property
    def limit_fields(self) -> list[forms.BoundField]:
        """The fields of limits, for the page."""
        return [self[name] for name in LIMITS.values()]

    @property
    def budget_fields(self) -> list[forms.BoundField]:
        """The fields of budgets, for the page."""
        return [self[name] for name in BUDGETS.values()]


class EndUserForm(_LimitedForm):
    """Limits and budgets of each end user; an empty field is no limit."""

    settings = ("end_user_limits", "end_user_budget")

    def __init__(self, *args: Any, options: Options, **kwargs: Any) -> None:
        limits, budget = options.values["end_user_limits"], options.values["end_user_budget"]
        kwargs.setdefault("initial", {**limits.value, **budget.value})
        self.locked_values = [limits.value, budget.value]
        super().__init__(*args, **kwargs)
        limit_fields = limit_and_budget_fields()
        self.fields |= limit_fields
        for name, field in limit_fields.items():
            option = limits if name in Limits.__struct_fields__ else budget
            field.disabled = not option.editable

    def values(self) -> dict[str, dict[str, Any]]:
        """The two settings to store."""
        return {
            "end_user_limits": _entered_values(self.cleaned_data, Limits.__struct_fields__),
            "end_user_budget": _entered_values(self.cleaned_data, Budget.__struct_fields__),
        }


class SingleEndUserForm(_LimitedForm):
    """One end user: a name for people, whether it is blocked, limits and a budget."""

    settings = ("end_users",)

    name = forms.CharField(
        label=_("End user"),
        max_length=MAX_END_USER_CHARS,
        help_text=_("As the client sends it: an ID, an account name or an email address."),
        widget=forms.TextInput(attrs={"class": "input mono", "autocomplete": "off"}),
    )
    alias = forms.CharField(label=_("Display name"), required=False, max_length=MAX_ALIAS)
    blocked = forms.BooleanField(
        label=_("Blocked"),
        required=False,
        help_text=_("All requests of this end user are rejected with HTTP 403."),
    )

    def __init__(self, *args: Any, entry: dict[str, Any] | None = None, **kwargs: Any) -> None:
        if entry is not None:
            self.locked_values = entry
            kwargs["initial"] = {**entry, **entry.get("limits", {}), **entry.get("budget", {})}
        super().__init__(*args, **kwargs)
        if entry is not None:
            del self.fields["name"]
        self.fields |= limit_and_budget_fields()

    def clean(self) -> dict[str, Any]:
        """Require a display name, a limit, a budget or a block."""
        cleaned_values: dict[str, Any] = super().clean() or {}
        if not self.errors and not any(entry_of(cleaned_values).values()):
            self.add_error(None, _("Enter a limit, a budget or a display name, or block it."))
        return cleaned_values


def entry_of(cleaned_values: dict[str, Any]) -> dict[str, Any]:
    """The entry of the setting `end_users` with the values of a form."""
    return {
        "alias": cleaned_values.get("alias", ""),
        "blocked": cleaned_values.get("blocked", False),
        "limits": _entered_values(cleaned_values, Limits.__struct_fields__),
        "budget": _entered_values(cleaned_values, Budget.__struct_fields__),
    }


def _entered_values(cleaned_values: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """The values of these fields that are not empty; amounts as text."""
    entered_values = {
        name: cleaned_values[name] for name in names if cleaned_values.get(name) is not None
    }
    return {
        name: str(value) if isinstance(value, Decimal) else value
        for name, value in entered_values.items()
    }
