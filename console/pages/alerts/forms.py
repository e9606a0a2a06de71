"""The form of an alert channel."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.validators import URLValidator, validate_email
from django.utils.translation import gettext_lazy as _

from gateway.models.alert import AlertChannel, AlertEvent

_validate_url = URLValidator(schemes=["http", "https"])


class ChannelForm(forms.ModelForm):  # type: ignore[type-arg]
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
