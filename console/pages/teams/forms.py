"""Forms of teams, and of the limits of routes, targets, providers and all requests."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from django import forms
from django.db import transaction
from django.db.models import Q
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from console.folded_fields import FoldedFields
from console.limit_fields import (
    BUDGET_HINT,
    BudgetFields,
    LimitFields,
    limit_field,
    trim_decimals,
)
from console.numbers import number_in
from console.optimistic_lock import SettingsLock
from console.pages.guardrails.forms import GuardrailChoiceField
from gateway.models import ApiKey, Provider, Route, Target, Team
from gateway.models.limits import BUDGETS, LIMITS
from gateway.store.options import Options

# With more keys in no team, the page offers a search instead of all of them. Of the keys of a
# large team, it lists this many.
MAX_LISTED_KEYS = 100


class KeysField(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]
    """Chosen keys. Django passes ids of any size to the database, which refuses long ones."""

    def clean(self, value: Any) -> Any:
        """The keys. Raises ValidationError."""
        for pk in value or ():
            if number_in(str(pk)) is None:
                raise forms.ValidationError(
                    self.error_messages["invalid_pk_value"],
                    code="invalid_pk_value",
                    params={"pk": pk},
                )
        return super().clean(value)


class TeamForm(FoldedFields, BudgetFields, LimitFields):
    """A team and its keys."""

    FIRST_FIELDS = frozenset({"name", "members", "budget_month_usd"})

    members = KeysField(
        label=_("Keys"),
        queryset=ApiKey.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )

    guardrails = GuardrailChoiceField()

    class Meta:
        model = Team
        fields = ("name", "parent", "guardrails", *BUDGETS, "markup", *LIMITS)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        trim_decimals(self.initial)
        self.fields["name"].help_text = _("A team or project whose keys share a budget.")
        teams = Team.objects.top_level().exclude(pk=self.instance.pk)
        self.fields["budget_month_usd"].label = _("Monthly budget (USD)")
        self.fields["budget_month_usd"].help_text = BUDGET_HINT
        self.fields["parent"].label = _("Parent team")
        self.fields["parent"].queryset = teams  # type: ignore[attr-defined]
        self.fields["parent"].empty_label = _("None")  # type: ignore[attr-defined]
        self.fields["parent"].help_text = _("The parent's budget and limits apply in addition.")
        available_keys = ApiKey.objects.available_for_team(self.instance.pk)
        self.fields["members"].queryset = available_keys  # type: ignore[attr-defined]
        if self.instance.pk:
            self.initial["members"] = self._listed_members

    @cached_property
    def _listed_members(self) -> list[int]:
        keys = ApiKey.objects.of_team(self.instance.pk).order_by("name", "pk")
        return list(keys.values_list("pk", flat=True)[:MAX_LISTED_KEYS])

    @property
    def unlisted_count(self) -> int:
        """How many keys of a large team the page does not list; they stay in it."""
        if not self.instance.pk:
            return 0
        return ApiKey.objects.of_team(self.instance.pk).count() - len(self._listed_members)

    @cached_property
    def has_key_search(self) -> bool:
        """Whether there are too many keys to list."""
        available_keys = ApiKey.objects.available_for_team(self.instance.pk)
        return available_keys.filter(team=None)[: MAX_LISTED_KEYS + 1].count() > MAX_LISTED_KEYS

    @property
    def listed_keys(self) -> Iterable[tuple[ApiKey, bool]]:
        """The keys to choose from, and whether each is selected."""
        selected = {str(pk) for pk in self["members"].value() or ()}
        keys = ApiKey.objects.available_for_team(self.instance.pk)
        if self.instance.pk:
            keys = keys.filter(Q(team=None) | Q(pk__in=self._listed_members))
        if self.has_key_search:
            keys = keys.filter(pk__in=[pk for pk in map(number_in, selected) if pk is not None])
        return ((key, str(key.pk) in selected) for key in keys)

    def save(self, commit: bool = True) -> Team:  # noqa: FBT001, FBT002 - Django's signature
        """Write the row and the membership of its keys."""
        with transaction.atomic():
            saved: Team = super().save(commit=commit)
            ApiKey.objects.set_team_members(
                saved.pk,
                [key.pk for key in self.cleaned_data["members"]],
                removable=self._listed_members,
            )
        return saved


class RouteLimitsForm(LimitFields):
    """The limits of a route, and of each key that uses it."""

    each_rpm = limit_field(_("Requests per minute, per key"))
    each_tpm = limit_field(_("Tokens per minute, per key"))
    _KEY_LIMITS = {"each_rpm": "requests_per_minute", "each_tpm": "tokens_per_minute"}

    class Meta:
        model = Route
        fields = tuple(LIMITS)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        key_limits = self.instance.key_limits
        self.initial.update(
            {name: key_limits.get(limit) for name, limit in self._KEY_LIMITS.items()}
        )

    @property
    def limit_fields(self) -> list[forms.BoundField]:
        """The fields of limits, per-key fields last."""
        return [*super().limit_fields, *(self[name] for name in self._KEY_LIMITS)]

    def save(self, commit: bool = True) -> Route:  # noqa: FBT001, FBT002 - Django's signature
        """Write the row; per-key limits that are not displayed are unchanged."""
        entered_limits = {
            limit: self.cleaned_data[name] for name, limit in self._KEY_LIMITS.items()
        }
        key_limits = {**self.instance.key_limits, **entered_limits}
        self.instance.key_limits = {
            limit: maximum for limit, maximum in key_limits.items() if maximum
        }
        saved: Route = super().save(commit=commit)
        return saved


class _BudgetLimitsForm(BudgetFields, LimitFields):
    """Limits and budgets, with decimals without trailing zeros."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        trim_decimals(self.initial)


class ProviderLimitsForm(_BudgetLimitsForm):
    """The limits, budgets and markup of a provider."""

    class Meta:
        model = Provider
        fields = (*LIMITS, *BUDGETS, "markup")


class TargetLimitsForm(_BudgetLimitsForm):
    """The limits and budgets of one target of a route."""

    markup = None  # type: ignore[assignment]

    class Meta:
        model = Target
        fields = (*LIMITS, *BUDGETS)


class AllLimitsForm(SettingsLock, forms.Form):
    """The limits and budgets of all requests together, which are settings."""

    settings = ("limits", "budget")

    def __init__(self, *args: Any, options: Options, **kwargs: Any) -> None:
        kwargs.setdefault("initial", _initial_limits(options))
        self.locked_values = [options.values[name].value for name in self.settings]
        super().__init__(*args, **kwargs)
        fields = {**LimitFields.base_fields, **BudgetFields.base_fields}
        for name in (*LIMITS, *BUDGETS):
            self.fields[name] = deepcopy(fields[name])
            option = options.values["limits" if name in LIMITS else "budget"]
            self.fields[name].disabled = not option.editable

    @property
    def limit_fields(self) -> list[forms.BoundField]:
        """The fields of limits, for the page."""
        return [self[name] for name in LIMITS]

    @property
    def budget_fields(self) -> list[forms.BoundField]:
        """The fields of budgets, for the page."""
        return [self[name] for name in BUDGETS]

    def values(self) -> dict[str, dict[str, Any]]:
        """Values of the settings to store."""
        return {
            setting: {
                limit: self.cleaned_data[name]
                for name, limit in columns.items()
                if self.cleaned_data[name] is not None
            }
            for setting, columns in (("limits", LIMITS), ("budget", BUDGETS))
        }


def _initial_limits(options: Options) -> dict[str, Any]:
    initial: dict[str, Any] = {}
    for setting, columns in (("limits", LIMITS), ("budget", BUDGETS)):
        limits = options.values[setting].value
        initial |= {name: limits.get(limit) for name, limit in columns.items()}
    return initial
