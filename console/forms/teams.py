"""What may be set of a team, and the limits of routes and providers."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from console.forms.limits import BudgetFields, LimitFields, margin_field, plain
from gateway.models import ApiKey, Provider, Route, Team
from gateway.models.limits import BUDGETS, LIMITS


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
    """The limits of a route."""

    class Meta:
        model = Route
        fields = tuple(LIMITS)


class ProviderLimitsForm(LimitFields):
    """The limits of a provider, and its margin."""

    margin = margin_field()

    class Meta:
        model = Provider
        fields = (*LIMITS, "margin")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        plain(self.initial)
