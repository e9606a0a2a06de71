"""What may be set of an API key."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from console.forms.limits import BudgetFields, LimitFields, plain
from gateway.models import ApiKey, Route
from gateway.models.limits import BUDGETS, LIMITS
from gateway.store.compile import MAX_TAG, MAX_TAGS

GRACE: dict[str, timedelta] = {
    "none": timedelta(),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=30),
}
_GRACE_WORDS = (
    ("none", _("It ends at once")),
    ("hour", _("1 hour")),
    ("day", _("24 hours")),
    ("week", _("7 days")),
    ("month", _("30 days")),
)
_BODIES = (("", _("As the route and the settings say")), ("yes", _("Yes")), ("no", _("No")))
_MOMENT = "%Y-%m-%dT%H:%M"
MAX_PATTERNS = 200


class KeyForm(BudgetFields, LimitFields):
    """A key but for its secret. `chosen` and `patterns` together are the row's `routes`."""

    scope = forms.ChoiceField(
        label=_("May use"),
        choices=(("all", _("Every route")), ("some", _("Only these"))),
        widget=forms.RadioSelect,
        initial="all",
    )
    chosen = forms.MultipleChoiceField(
        label=_("Routes"), required=False, widget=forms.CheckboxSelectMultiple
    )
    patterns = forms.CharField(
        label=_("Other names and patterns"),
        required=False,
        max_length=4000,
        help_text=_("With commas between: claude-*, openai/gpt-5"),
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocapitalize": "none"}),
    )
    expires_at = forms.DateTimeField(
        label=_("Good until"),
        required=False,
        input_formats=[_MOMENT, "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"],
        widget=forms.DateTimeInput(format=_MOMENT, attrs={"type": "datetime-local"}),
        help_text=_("UTC. Empty: for good."),
    )
    tags = forms.CharField(
        label=_("Tags"),
        required=False,
        max_length=4000,
        help_text=_("With commas between. Routes may choose their targets by them."),
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocapitalize": "none"}),
    )
    bodies = forms.ChoiceField(
        label=_("Store bodies"),
        choices=_BODIES,
        required=False,
        help_text=_("What its clients send and what models answer."),
    )

    class Meta:
        model = ApiKey
        fields = ("name", "expires_at", "team", "user", *BUDGETS, "margin", *LIMITS)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        plain(self.initial)
        names = list(Route.objects.values_list("name", flat=True).order_by("name"))
        self.fields["chosen"].choices = [(name, name) for name in names]  # type: ignore[attr-defined]
        self.fields["name"].help_text = _("Who or what uses it.")
        self.fields["team"].label = _("Team or project")
        self.fields["team"].help_text = _("Its budget and limits hold beside the key's own.")
        self.fields["user"].label = _("User")
        self.fields["user"].help_text = _("Whom it was given to: a person, an agent, a service.")
        allowed = _texts(self.instance.routes)
        bodies = self.instance.log_bodies
        self.initial = {
            **self.initial,
            "scope": "some" if allowed else "all",
            "chosen": [name for name in allowed if name in names],
            "patterns": ", ".join(name for name in allowed if name not in names),
            "tags": ", ".join(_texts(self.instance.tags)),
            "bodies": "" if bodies is None else "yes" if bodies else "no",
        }

    def clean_expires_at(self) -> Any:
        """A time to come, unless it is the one that was there."""
        moment = self.cleaned_data["expires_at"]
        if moment and "expires_at" in self.changed_data and moment <= timezone.now():
            raise forms.ValidationError(_("This time is over. To end a key now, revoke it."))
        return moment

    def clean_patterns(self) -> list[str]:
        """The names, each once."""
        given = (text.strip() for text in self.cleaned_data["patterns"].split(","))
        found = list(dict.fromkeys(text for text in given if text))
        if len(found) > MAX_PATTERNS or any(len(text) > 200 for text in found):
            raise forms.ValidationError(_("At most 200 names of 200 characters."))
        return found

    def clean_tags(self) -> list[str]:
        """The tags, each once."""
        given = (text.strip() for text in self.cleaned_data["tags"].split(","))
        found = list(dict.fromkeys(text for text in given if text))
        if len(found) > MAX_TAGS or any(len(text) > MAX_TAG for text in found):
            words = {"count": MAX_TAGS, "most": MAX_TAG}
            raise forms.ValidationError(_("At most %(count)d tags of %(most)d characters.") % words)
        return found

    def clean(self) -> dict[str, Any]:
        """Only some routes means at least one."""
        found = super().clean() or {}
        if found.get("scope") == "some" and not self._allowed() and "patterns" in found:
            self.add_error("scope", _("Choose at least one route, or every route."))
        return found

    def _allowed(self) -> list[str]:
        given = self.cleaned_data
        return [*given.get("chosen", ()), *given.get("patterns", ())]

    @property
    def values(self) -> dict[str, Any]:
        """The fields of the row, for a key that is not there yet."""
        names = [name for name in self.Meta.fields if name != "name"]
        found = {name: self.cleaned_data[name] for name in names}
        tags = self.cleaned_data["tags"]
        routes = self._routes()
        return {**found, "routes": routes, "tags": tags, "log_bodies": self._log_bodies()}

    def _routes(self) -> list[str]:
        return self._allowed() if self.cleaned_data["scope"] == "some" else []

    def _log_bodies(self) -> bool | None:
        return {"yes": True, "no": False}.get(self.cleaned_data["bodies"])

    def save(self, commit: bool = True) -> ApiKey:  # noqa: FBT001, FBT002 - Django's signature
        """Write the row."""
        self.instance.routes = self._routes()
        self.instance.tags = self.cleaned_data["tags"]
        self.instance.log_bodies = self._log_bodies()
        saved: ApiKey = super().save(commit=commit)
        return saved


class RotateForm(forms.Form):
    """How long the secret that a key has now stays good."""

    grace = forms.ChoiceField(label=_("The old secret stays good for"), choices=_GRACE_WORDS)

    @property
    def span(self) -> timedelta:
        """The chosen time."""
        return GRACE[self.cleaned_data["grace"]]


def _texts(value: Any) -> list[str]:
    """The row's names; a row may hold anything."""
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
