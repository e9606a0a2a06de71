"""Forms of an API key: its settings, and the rotation of its secret."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from console.folded_fields import FoldedFields
from console.limit_fields import (
    BUDGET_HINT,
    BudgetFields,
    LimitFields,
    limit_field,
    trim_decimals,
    usd_field,
)
from console.pages.guardrails.forms import GuardrailChoiceField
from gateway.canon.json_values import string_items
from gateway.models import ApiKey, Route
from gateway.models.limits import BUDGETS, LIMITS
from gateway.store.field_values import MAX_TAG, MAX_TAGS, in_utc, split_names

GRACE_PERIODS: dict[str, timedelta] = {
    "none": timedelta(),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=30),
}
_GRACE_CHOICES = (
    ("none", _("Revoke immediately")),
    ("hour", _("1 hour")),
    ("day", _("24 hours")),
    ("week", _("7 days")),
    ("month", _("30 days")),
)
_BODIES_CHOICES = (("", _("Use the route and global settings")), ("yes", _("Yes")), ("no", _("No")))
# Lifetimes to choose from, in days; `date` is a date of its own.
_EXPIRY_CHOICES = (
    ("", _("Never")),
    ("30", _("In 30 days")),
    ("90", _("In 90 days")),
    ("date", _("On a date")),
)
_DATETIME_FORMAT = "%Y-%m-%dT%H:%M"
MAX_PATTERNS = 200
# Fields of each end user -> the limit, and the budget.
_END_USER_LIMITS = {"each_rpm": "requests_per_minute", "each_tpm": "tokens_per_minute"}
_END_USER_BUDGETS = {"each_day_usd": "day_usd", "each_month_usd": "month_usd"}


class KeyForm(FoldedFields, BudgetFields, LimitFields):
    """Settings of a key. `chosen` and `patterns` together form the row's `routes`."""

    FIRST_FIELDS = frozenset({"name", "expires_in", "expires_at", "budget_month_usd"})

    scope = forms.ChoiceField(
        label=_("Route access"),
        choices=(("all", _("All routes")), ("some", _("Selected routes"))),
        widget=forms.RadioSelect,
        initial="all",
    )
    chosen = forms.MultipleChoiceField(
        label=_("Routes"), required=False, widget=forms.CheckboxSelectMultiple
    )
    patterns = forms.CharField(
        label=_("Additional names and patterns"),
        required=False,
        max_length=4000,
        help_text=_("Comma-separated: claude-*, openai/gpt-5"),
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocapitalize": "none"}),
    )
    expires_in = forms.ChoiceField(label=_("Expires"), choices=_EXPIRY_CHOICES, required=False)
    expires_at = forms.DateTimeField(
        label=_("Date"),
        required=False,
        input_formats=[_DATETIME_FORMAT, "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"],
        widget=forms.DateTimeInput(format=_DATETIME_FORMAT, attrs={"type": "datetime-local"}),
    )
    tags = forms.CharField(
        label=_("Tags"),
        required=False,
        max_length=4000,
        help_text=_("Comma-separated. Routes can select targets by tag."),
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocapitalize": "none"}),
    )
    guardrails = GuardrailChoiceField()
    bodies = forms.ChoiceField(
        label=_("Store bodies"),
        choices=_BODIES_CHOICES,
        required=False,
        help_text=_("Prompts and responses of requests with this key."),
    )

    each_rpm = limit_field(_("Requests per minute"))
    each_tpm = limit_field(_("Tokens per minute"))
    each_day_usd = usd_field(_("Daily (USD)"))
    each_month_usd = usd_field(_("Monthly (USD)"))

    class Meta:
        model = ApiKey
        fields = ("name", "expires_at", "team", "user", *BUDGETS, "markup", *LIMITS)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        trim_decimals(self.initial)
        names = list(Route.objects.values_list("name", flat=True).order_by("name"))
        self.fields["chosen"].choices = [(name, name) for name in names]  # type: ignore[attr-defined]
        self.fields["name"].help_text = _("Who or what uses the key.")
        self.fields["budget_month_usd"].label = _("Monthly budget (USD)")
        self.fields["budget_month_usd"].help_text = BUDGET_HINT
        self.fields["expires_at"].help_text = _("Time zone: %(name)s") % {
            "name": timezone.get_current_timezone_name()
        }
        self.fields["team"].label = _("Team or project")
        self.fields["team"].empty_label = _("None")  # type: ignore[attr-defined]
        self.fields["team"].help_text = _(
            "Its budget and limits apply in addition to the key's own."
        )
        self.fields["user"].label = _("Owner")
        self.fields["user"].help_text = _("The person, agent or service that uses the key.")
        allowed_routes = string_items(self.instance.routes)
        bodies = self.instance.log_bodies
        self.initial = {
            **self.initial,
            "expires_in": "date" if self.instance.expires_at else "",
            "scope": "some" if allowed_routes else "all",
            "chosen": [name for name in allowed_routes if name in names],
            "patterns": ", ".join(name for name in allowed_routes if name not in names),
            "tags": ", ".join(string_items(self.instance.tags)),
            "guardrails": string_items(self.instance.guardrails),
            "bodies": "" if bodies is None else "yes" if bodies else "no",
        }
        stored_values = (
            (_END_USER_LIMITS, self.instance.end_user_limits),
            (_END_USER_BUDGETS, self.instance.end_user_budget),
        )
        for columns, values in stored_values:
            self.initial |= {name: values.get(field) for name, field in columns.items()}

    @property
    def end_user_fields(self) -> list[forms.BoundField]:
        """The fields of limits and budgets of each end user, for the page."""
        return [self[name] for name in (*_END_USER_LIMITS, *_END_USER_BUDGETS)]

    def _of_end_users(self) -> dict[str, dict[str, Any]]:
        """The columns of end users; values that are not displayed are unchanged."""
        entered_values = self.cleaned_data
        limits = self.instance.end_user_limits | {
            field: entered_values[name] for name, field in _END_USER_LIMITS.items()
        }
        budget = self.instance.end_user_budget | {
            field: None if entered_values[name] is None else f"{entered_values[name].normalize():f}"
            for name, field in _END_USER_BUDGETS.items()
        }
        return {
            "end_user_limits": {name: value for name, value in limits.items() if value},
            "end_user_budget": {name: value for name, value in budget.items() if value is not None},
        }

    def clean_expires_at(self) -> Any:
        """Require a future time, unless the stored one is unchanged."""
        expires_at = self.cleaned_data["expires_at"]
        if expires_at and "expires_at" in self.changed_data and expires_at <= timezone.now():
            raise forms.ValidationError(
                _("This time is in the past. To disable the key now, revoke it.")
            )
        return expires_at and in_utc(expires_at)

    def clean_patterns(self) -> list[str]:
        """The names without duplicates."""
        patterns = split_names(self.cleaned_data["patterns"])
        if len(patterns) > MAX_PATTERNS or any(len(text) > 200 for text in patterns):
            raise forms.ValidationError(_("Enter at most 200 names of up to 200 characters."))
        return patterns

    def clean_tags(self) -> list[str]:
        """The tags without duplicates."""
        tags = split_names(self.cleaned_data["tags"])
        if len(tags) > MAX_TAGS or any(len(text) > MAX_TAG for text in tags):
            params = {"count": MAX_TAGS, "length": MAX_TAG}
            raise forms.ValidationError(
                _("Enter at most %(count)d tags of up to %(length)d characters.") % params
            )
        return tags

    def clean(self) -> dict[str, Any]:
        """Require a route if access is limited to selected routes; compute the expiry."""
        cleaned_data = super().clean() or {}
        expires_in = cleaned_data.get("expires_in", "")
        if expires_in.isdigit():
            cleaned_data["expires_at"] = timezone.now() + timedelta(days=int(expires_in))
        elif "expires_in" in self.data and expires_in == "":
            cleaned_data["expires_at"] = None
        elif expires_in == "date" and cleaned_data.get("expires_at", "") is None:
            self.add_error("expires_at", _("Enter a date."))
        if (
            cleaned_data.get("scope") == "some"
            and not self._allowed_routes()
            and "patterns" in cleaned_data
        ):
            self.add_error("scope", _("Choose at least one route, or allow all routes."))
        return cleaned_data

    def _allowed_routes(self) -> list[str]:
        cleaned_data = self.cleaned_data
        return [*cleaned_data.get("chosen", ()), *cleaned_data.get("patterns", ())]

    @property
    def row_values(self) -> dict[str, Any]:
        """Column values for a new key."""
        names = [name for name in self.Meta.fields if name != "name"]
        column_values = {name: self.cleaned_data[name] for name in names}
        tags = self.cleaned_data["tags"]
        routes = self._selected_routes()
        return {
            **column_values,
            "routes": routes,
            "tags": tags,
            "guardrails": self.cleaned_data["guardrails"],
            "log_bodies": self._log_bodies(),
            **self._of_end_users(),
        }

    def _selected_routes(self) -> list[str]:
        return self._allowed_routes() if self.cleaned_data["scope"] == "some" else []

    def _log_bodies(self) -> bool | None:
        return {"yes": True, "no": False}.get(self.cleaned_data["bodies"])

    def save(self, commit: bool = True) -> ApiKey:  # noqa: FBT001, FBT002 - Django's signature
        """Write the row."""
        self.instance.routes = self._selected_routes()
        self.instance.tags = self.cleaned_data["tags"]
        self.instance.guardrails = self.cleaned_data["guardrails"]
        self.instance.log_bodies = self._log_bodies()
        for name, value in self._of_end_users().items():
            setattr(self.instance, name, value)
        saved: ApiKey = super().save(commit=commit)
        return saved


class RotateForm(forms.Form):
    """How long the current secret stays valid after rotation."""

    grace = forms.ChoiceField(label=_("Keep the old secret valid for"), choices=_GRACE_CHOICES)

    @property
    def grace_period(self) -> timedelta:
        """The selected grace period."""
        return GRACE_PERIODS[self.cleaned_data["grace"]]
