"""Form fields of names and passwords, shared by several forms."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

# Attributes of an input for text that browsers must not correct, capitalize or remember.
CODE_INPUT = {"spellcheck": "false", "autocapitalize": "none", "autocomplete": "off"}


def username_field(autocomplete: str = "username", **options: Any) -> forms.CharField:
    """A field for the name of an account."""
    attrs = {**CODE_INPUT, "autocomplete": autocomplete, "class": "input"}
    return forms.CharField(
        label=_("Username"), max_length=150, widget=forms.TextInput(attrs=attrs), **options
    )


def password_field(
    label: Any, help_text: Any = "", *, autocomplete: str = "new-password"
) -> forms.CharField:
    """A field for a password, by default a new one."""
    attrs = {"autocomplete": autocomplete, "class": "input"}
    return forms.CharField(
        label=label,
        max_length=1000,
        strip=False,
        widget=forms.PasswordInput(attrs=attrs),
        help_text=help_text,
    )
