"""What may be set of a team, and the limits of routes, targets, providers and all requests."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from django import forms
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from console.forms.limits import BudgetFields, LimitFields, count, plain
from gateway.models import ApiKey, Provider, Route, Target, Team
from gateway.models.limits import BUDGETS, LIMITS
from gateway.store.options import Options


class TeamForm(BudgetFields, LimitFields):
    """A team and its keys."""

    members = forms.ModelMultipleChoiceField(
        label=_("Keys"),
        queryset=ApiKey.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )

    class Meta:
        model = Team
        fields = ("name", "parent", *BUDGETS, "margin", *LIMITS)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        plain(self.initial)
        self.fields["name"].help_text = _("A team, a project: whatever shares a budget.")
        teams = Team.objects.outermost().exclude(pk=self.instance.pk)
        self.fields["parent"].label = _("Project of")
        self.fields["parent"].queryset = teams  # type: ignore[attr-defined]
        self.fields["parent"].empty_label = _("No team: it is one itself")  # type: ignore[attr-defined]
        self.fields["parent"].help_text = _("The team's budget and limits hold beside its own.")
        free = ApiKey.objects.free_for(self.instance.pk)
        self.fields["members"].queryset = free  # type: ignore[attr-defined]
        if self.instance.pk:
            self.initial["members"] = [key.pk for key in ApiKey.objects.of_team(self.instance.pk)]

    def save(self, commit: bool = True) -> Team:  # noqa: FBT001, FBT002 - Django's signature
        """Write the row, and whose keys are its."""
        with transaction.atomic():
            saved: Team = super().save(commit=commit)
            ApiKey.objects.join(saved.pk, [key.pk for key in self.cleaned_data["members"]])
        return saved


class RouteLimitsForm(LimitFields):
    """The limits of a route, and those of each key on it."""

    each_rpm = count(_("Requests a minute, each key"))
    each_tpm = count(_("Tokens a minute, each key"))
    _EACH = {"each_rpm": "requests_per_minute", "each_tpm": "tokens_per_minute"}

    class Meta:
        model = Route
        fields = tuple(LIMITS)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        held = self.instance.key_limits
        self.initial.update({name: held.get(limit) for name, limit in self._EACH.items()})

    @property
    def limit_fields(self) -> list[forms.BoundField]:
        """The fields of limits, those of each key last."""
        return [*super().limit_fields, *(self[name] for name in self._EACH)]

    def save(self, commit: bool = True) -> Route:  # noqa: FBT001, FBT002 - Django's signature
        """Write the row; what is said of each key and not shown stays."""
        said = {limit: self.cleaned_data[name] for name, limit in self._EACH.items()}
        held = {**self.instance.key_limits, **said}
        self.instance.key_limits = {limit: most for limit, most in held.items() if most}
        saved: Route = super().save(commit=commit)
        return saved


class _PlainForm(BudgetFields, LimitFields):
    """Limits and budgets, with decimals as a person writes them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        plain(self.initial)


class ProviderLimitsForm(_PlainForm):
    """The limits and budgets of a provider, and its margin."""

    class Meta:
        model = Provider
        fields = (*LIMITS, *BUDGETS, "margin")


class TargetLimitsForm(_PlainForm):
    """The limits and budgets of one target of a route."""

    margin = None  # type: ignore[assignment]

    class Meta:
        model = Target
        fields = (*LIMITS, *BUDGETS)


class AllLimitsForm(forms.Form):
    """The limits and budgets of all requests together, which are settings."""

    def __init__(self, *args: Any, options: Options, **kwargs: Any) -> None:
        kwargs.setdefault("initial", _columns(options))
        super().__init__(*args, **kwargs)
        fields = {**LimitFields.base_fields, **BudgetFields.base_fields}
        for name in (*LIMITS, *BUDGETS):
            self.fields[name] = deepcopy(fields[name])
            held = options.held["limits" if name in LIMITS else "budget"]
            self.fields[name].disabled = not held.open

    @property
    def limit_fields(self) -> list[forms.BoundField]:
        """The fields of limits, for the page."""
        return [self[name] for name in LIMITS]

    @property
    def budget_fields(self) -> list[forms.BoundField]:
        """The fields of budgets, for the page."""
        return [self[name] for name in BUDGETS]

    def values(self) -> dict[str, dict[str, Any]]:
        """The settings that are to be kept."""
        return {
            setting: {
                said: self.cleaned_data[name]
                for name, said in columns.items()
                if self.cleaned_data[name] is not None
            }
            for setting, columns in (("limits", LIMITS), ("budget", BUDGETS))
        }


def _columns(options: Options) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for setting, columns in (("limits", LIMITS), ("budget", BUDGETS)):
        held = options.held[setting].value
        found |= {name: held.get(said) for name, said in columns.items()}
    return found
