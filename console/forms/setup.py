"""The first run's questions."""

from __future__ import annotations

import os
from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.utils.translation import gettext_lazy as _

from console.forms.session import NewPasswordForm
from gateway.models.provider import variable_name
from gateway.providers.catalog import PRESETS
from gateway.providers.profile import Preset
from gateway.store.compile import base_url

DEMO = "demo"


class AccountForm(NewPasswordForm):
    """The first account, which may change everything."""

    field_order = ("username", "password", "again")
    username = forms.CharField(
        label=_("Your name"),
        max_length=150,
        validators=[UnicodeUsernameValidator()],
        widget=forms.TextInput(
            attrs={
                "autocomplete": "username",
                "autocapitalize": "none",
                "spellcheck": "false",
                "class": "input",
            }
        ),
    )

    def clean(self) -> dict[str, Any]:
        """Check the password, also against the name."""
        self.user = User(username=self.cleaned_data.get("username", ""))
        return super().clean()


def offered() -> list[Preset]:
    """The presets that can be chosen, by name as they write themselves."""
    rows = [preset for preset in PRESETS.values() if preset.name != DEMO]
    plain = {preset.name for preset in rows if not preset.base_url and not preset.env}
    return sorted(rows, key=lambda row: (row.local, row.name in plain, row.title.lower()))


class ProviderForm(forms.Form):
    """A first provider: a preset with its key, and perhaps a model to begin with."""

    preset = forms.ChoiceField(
        label=_("Provider"), choices=lambda: [(row.name, row.title) for row in offered()]
    )
    base_url = forms.CharField(
        label=_("Base URL"),
        required=False,
        max_length=500,
        widget=forms.TextInput(attrs={"class": "input mono", "inputmode": "url"}),
        help_text=_("Empty: the provider's own."),
    )
    key = forms.CharField(
        label=_("API key"),
        required=False,
        max_length=10_000,
        widget=forms.PasswordInput(
            attrs={"class": "input mono", "autocomplete": "off", "spellcheck": "false"}
        ),
        help_text=_("Kept encrypted, and never shown again."),
    )
    variable = forms.CharField(
        label=_("Or the variable that holds it"),
        required=False,
        max_length=200,
        validators=[variable_name],
        widget=forms.TextInput(
            attrs={"class": "input mono", "spellcheck": "false", "placeholder": "OPENAI_API_KEY"}
        ),
        help_text=_("Only its name is kept."),
    )
    model = forms.CharField(
        label=_("A model to begin with"),
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={"class": "input mono", "spellcheck": "false"}),
        help_text=_("As the provider writes it. It gets a route of its own."),
    )

    def clean_base_url(self) -> str:
        """A URL without a slash at its end, or nothing."""
        given = str(self.cleaned_data["base_url"]).strip()
        if not given:
            return ""
        try:
            return base_url(given)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None

    def clean_variable(self) -> str:
        """The name of a variable that is set now: a typing error shows at once."""
        name = str(self.cleaned_data["variable"])
        if name and not (os.environ.get(name) or os.environ.get(f"{name}_FILE")):
            raise forms.ValidationError(
                _("%(name)s is not set where the gateway runs."), params={"name": name}
            )
        return name

    def clean(self) -> dict[str, Any]:
        """One way to the key, and a URL where each account has its own."""
        found = super().clean() or {}
        preset = PRESETS.get(found.get("preset", ""))
        if preset is None:
            return found
        if found.get("key") and found.get("variable"):
            self.add_error("variable", _("Give the key or the variable, not both."))
        needs_key = preset.auth != "none" and not preset.local and bool(preset.env)
        if needs_key and not {"key", "variable"} & {n for n in found if found[n]} | (
            {"key", "variable"} & set(self.errors)
        ):
            self.add_error("key", _("%(title)s wants a key.") % {"title": preset.title})
        if not preset.base_url and not found.get("base_url") and "base_url" not in self.errors:
            example = preset.url_example or "https://host/v1"
            self.add_error("base_url", _("Needed here, such as %(url)s") % {"url": example})
        return found


class KeyForm(forms.Form):
    """The first key's name."""

    name = forms.CharField(
        label=_("Name of the key"),
        max_length=200,
        initial=_("my first app"),
        widget=forms.TextInput(attrs={"class": "input"}),
        help_text=_("So that you know later whose calls they are."),
    )
