"""The forms of alert channels, thresholds and silences."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.validators import URLValidator, validate_email
from django.utils.translation import gettext_lazy as _

from console.optimistic_lock import OptimisticLock, SettingsLock
from gateway.alerts.silences import MAX_HOURS
from gateway.models.alert import AlertChannel, AlertEvent
from gateway.models.registry import single_line
from gateway.store.alert_thresholds import RANGES, AlertThresholds
from gateway.store.options import Options

_validate_url = URLValidator(schemes=["http", "https"])


class ChannelForm(OptimisticLock, forms.ModelForm):  # type: ignore[type-arg]
    """A channel. The stored URL is never displayed; an empty field keeps it."""

    destination = forms.CharField(
        label=_("URL or email address"),
        max_length=2000,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text=_(
            "The webhook's URL (Slack: https://hooks.slack.com/services/...), or an email address."
        ),
    )
    events = forms.MultipleChoiceField(
        label=_("Events"),
        choices=AlertEvent.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )

    class Meta:
        model = AlertChannel
        fields = ("name", "kind", "events", "enabled")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].label = _("Name")
        self.fields["kind"].label = _("Type")
        self.fields["enabled"].label = _("Enabled")
        if self.instance.pk:
            self.fields["destination"].required = False
            self.fields["destination"].help_text = _("Leave empty to keep the stored one.")

    def clean(self) -> dict[str, Any]:
        """Check the destination against the type."""
        values = super().clean() or {}
        destination, kind = values.get("destination", ""), values.get("kind")
        if not destination:
            if self.instance.pk and kind != self.initial.get("kind"):
                self.add_error("destination", _("Enter it again: the type has changed."))
            return values
        email = kind == AlertChannel.Kind.EMAIL
        try:
            (validate_email if email else _validate_url)(destination)
        except forms.ValidationError:
            message = _("Enter an email address.") if email else _("Enter a URL with https://.")
            self.add_error("destination", message)
        return values

    def save(self, commit: bool = True) -> AlertChannel:  # noqa: FBT001, FBT002 - Django's signature
        """Write the channel, with its destination sealed."""
        if self.cleaned_data["destination"]:
            self.instance.destination = self.cleaned_data["destination"]
        saved: AlertChannel = super().save(commit=commit)
        return saved


_THRESHOLD_LABELS = {
    "budget_percent": _("Budget used (%)"),
    "error_rate_percent": _("Failed requests of a provider (%)"),
    "error_rate_minutes": _("Window of the error rate (minutes)"),
    "error_rate_min_requests": _("Requests in the window, at least"),
    "cooldown_s": _("Target in cooldown (seconds)"),
    "waiting_rows": _("Rows of the request log waiting for the database"),
    "journal_percent": _("Journal of the request log used (%)"),
    "key_expiry_days": _("API key expires within (days)"),
    "certificate_expiry_days": _("Certificate expires within (days)"),
    "log_export_minutes": _("Log export failing (minutes)"),
}


class ThresholdsForm(SettingsLock, forms.Form):
    """The thresholds of alerts; an empty field is the default."""

    settings = ("alert_thresholds",)

    def __init__(self, *args: Any, options: Options, **kwargs: Any) -> None:
        self.locked_values = options.values["alert_thresholds"].value
        kwargs.setdefault("initial", self.locked_values)
        super().__init__(*args, **kwargs)
        defaults = AlertThresholds()
        for name, (minimum, maximum) in RANGES.items():
            self.fields[name] = forms.IntegerField(
                label=_THRESHOLD_LABELS[name],
                required=False,
                min_value=minimum,
                max_value=maximum,
                disabled=not options.values["alert_thresholds"].editable,
                widget=forms.NumberInput(
                    attrs={"inputmode": "numeric", "placeholder": getattr(defaults, name)}
                ),
            )

    def values(self) -> dict[str, int | None]:
        """The thresholds of a valid form."""
        return {name: self.cleaned_data[name] for name in RANGES}


class SilenceForm(forms.Form):
    """A silence: how long, and which alerts it matches."""

    hours = forms.FloatField(
        label=_("Duration (hours)"),
        initial=4,
        min_value=0.01,
        max_value=MAX_HOURS,
        widget=forms.NumberInput(attrs={"inputmode": "decimal", "step": "any"}),
    )
    event = forms.ChoiceField(
        label=_("Event"), choices=[("", _("All events")), *AlertEvent.choices], required=False
    )
    subject = forms.CharField(
        label=_("Subject"),
        max_length=300,
        required=False,
        validators=[single_line],
        help_text=_("The subject of an alert, as in its messages. Leave empty for all."),
    )
    comment = forms.CharField(
        label=_("Comment"), max_length=300, required=False, validators=[single_line]
    )
