"""Signing in, and one's own password."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.utils.translation import gettext_lazy as _

NEW_PASSWORD = forms.PasswordInput(attrs={"autocomplete": "new-password", "class": "input"})


class SignInForm(forms.Form):
    """Name and password. What is wrong of the two is not told."""

    username = forms.CharField(
        label=_("Name"),
        max_length=150,
        widget=forms.TextInput(
            attrs={
                "autocomplete": "username",
                "autocapitalize": "none",
                "spellcheck": "false",
                "class": "input",
            }
        ),
    )
    password = forms.CharField(
        label=_("Password"),
        max_length=1000,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "class": "input"}),
    )


class NewPasswordForm(forms.Form):
    """A new password, twice. `user` is whose it will be: it must not be like their name."""

    password = forms.CharField(
        label=_("New password"),
        max_length=1000,
        strip=False,
        widget=NEW_PASSWORD,
        help_text=_("At least 8 characters. A few words are easier to keep than signs."),
    )
    again = forms.CharField(
        label=_("The same again"), max_length=1000, strip=False, widget=NEW_PASSWORD
    )

    def __init__(self, *args: Any, user: User | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean(self) -> dict[str, Any]:
        """Check it against the rules, and against its repetition."""
        found = super().clean() or {}
        check_password(self, "password", self.user)
        if "password" in found and "again" in found and found["password"] != found["again"]:
            self.add_error("again", _("This is not the same password."))
        return found


class ChangePasswordForm(NewPasswordForm):
    """The same by oneself: the present password comes first."""

    field_order = ("current", "password", "again")
    current = forms.CharField(
        label=_("Present password"),
        max_length=1000,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "class": "input"}),
    )


def check_password(form: forms.Form, field: str, user: User | None) -> None:
    """Put what the rules have against a password beside its field."""
    value = form.cleaned_data.get(field)
    if not value:
        return
    try:
        validate_password(value, user)
    except forms.ValidationError as error:
        form.add_error(field, error)
