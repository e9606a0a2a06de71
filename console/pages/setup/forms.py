"""Forms of the setup wizard."""

from __future__ import annotations

import os
from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.utils.translation import gettext_lazy as _

from console.form_fields import username_field
from console.pages.session.forms import NewPasswordForm
from console.preset_order import sort_presets
from gateway.models.provider import variable_name
from gateway.providers.catalog import PRESETS
from gateway.providers.profile import Preset
from gateway.store.field_values import InvalidField, base_url

DEMO = "demo"


class AccountForm(NewPasswordForm):
    """The first account, an admin."""

    field_order = ("username", "password", "confirmation")
    username = username_field(validators=[UnicodeUsernameValidator()])

    def clean(self) -> dict[str, Any]:
        """Check the password, also against the username."""
        self.user = User(username=self.cleaned_data.get("username", ""))
        return super().clean()


def list_presets() -> list[Preset]:
    """The presets to choose from; the demo has its own button."""
    return sort_presets(preset for preset in PRESETS.values() if preset.name != DEMO)


class ProviderForm(forms.Form):
    """A first provider: a preset with its key and optionally a first model."""

    preset = forms.ChoiceField(
        label=_("Provider"), choices=lambda: [(row.name, row.title) for row in list_presets()]
    )
    base_url = forms.CharField(
        label=_("Base URL"),
        required=False,
        max_length=500,
        widget=forms.TextInput(attrs={"class": "input mono", "inputmode": "url"}),
        help_text=_("Leave empty to use the provider's default, if it has one."),
    )
    key = forms.CharField(
        label=_("API key"),
        required=False,
        max_length=10_000,
        widget=forms.PasswordInput(
            attrs={"class": "input mono", "autocomplete": "off", "spellcheck": "false"}
        ),
        help_text=_("Stored encrypted and never shown again."),
    )
    variable = forms.CharField(
        label=_("Or an environment variable"),
        required=False,
        max_length=200,
        validators=[variable_name],
        widget=forms.TextInput(
            attrs={"class": "input mono", "spellcheck": "false", "placeholder": "OPENAI_API_KEY"}
        ),
        help_text=_("Only its name is stored."),
    )
    model = forms.CharField(
        label=_("First model"),
        required=False,
        max_length=200,
        widget=forms.TextInput(
            attrs={"class": "input mono", "spellcheck": "false", "list": "listed-models"}
        ),
        help_text=_(
            "The provider's model ID; Test connection lists them. A route is created for it."
        ),
    )

    def clean_base_url(self) -> str:
        """The URL without a trailing slash, or an empty text."""
        url = str(self.cleaned_data["base_url"]).strip()
        if not url:
            return ""
        try:
            return base_url(url)
        except InvalidField as error:
            raise forms.ValidationError(error.message) from None

    def clean_variable(self) -> str:
        """The name of a variable, which must be set, so that a typo is reported early."""
        name = str(self.cleaned_data["variable"])
        if name and not (os.environ.get(name) or os.environ.get(f"{name}_FILE")):
            raise forms.ValidationError(
                _("%(name)s is not set in the environment of the gateway."), params={"name": name}
            )
        return name

    def clean(self) -> dict[str, Any]:
        """Require exactly one source of the key, and a URL if the preset has none."""
        cleaned_data = super().clean() or {}
        preset = PRESETS.get(cleaned_data.get("preset", ""))
        if preset is None:
            return cleaned_data
        if cleaned_data.get("base_url") == preset.base_url:
            # The preset's own URL is not stored, so that a newer one applies.
            cleaned_data["base_url"] = ""
        if cleaned_data.get("key") and cleaned_data.get("variable"):
            self.add_error("variable", _("Enter either the key or the variable, not both."))
        needs_key = preset.auth != "none" and not preset.local and bool(preset.env)
        if needs_key and not {"key", "variable"} & {n for n in cleaned_data if cleaned_data[n]} | (
            {"key", "variable"} & set(self.errors)
        ):
            self.add_error("key", _("%(title)s requires an API key.") % {"title": preset.title})
        if (
            not preset.base_url
            and not cleaned_data.get("base_url")
            and "base_url" not in self.errors
        ):
            example = preset.url_example or "https://host/v1"
            self.add_error("base_url", _("Enter a base URL, such as %(url)s") % {"url": example})
        return cleaned_data


class KeyForm(forms.Form):
    """The name of the first key."""

    name = forms.CharField(
        label=_("Key name"),
        max_length=200,
        initial=_("My first app"),
        widget=forms.TextInput(attrs={"class": "input"}),
        help_text=_("Helps you identify its requests later."),
    )
