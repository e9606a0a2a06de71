"""Forms to sign in and to change one's own password."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.utils.translation import gettext_lazy as _

from console.form_fields import password_field, username_field


class SignInForm(forms.Form):
    """Username and password. Errors do not reveal which of the two is wrong."""

    username = username_field()
    password = password_field(_("Password"), autocomplete="current-password")


class NewPasswordForm(forms.Form):
    """A new password and its confirmation. It must not resemble the name of `user`."""

    password = password_field(
        _("New password"), _("Use at least 8 characters. A passphrase works well.")
    )
    confirmation = password_field(_("Confirm password"))

    def __init__(self, *args: Any, user: User | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean(self) -> dict[str, Any]:
        """Check the password against the rules and its confirmation."""
        cleaned_data = super().clean() or {}
        password, confirmation = (cleaned_data.get(name) for name in ("password", "confirmation"))
        if password and confirmation and password != confirmation:
            self.add_error("confirmation", _("The passwords do not match."))
        check_password(self, "password", self.user)
        return cleaned_data


class ChangePasswordForm(NewPasswordForm):
    """Change one's own password, which needs the current one."""

    field_order = ("current", "password", "confirmation")
    current = password_field(_("Current password"), autocomplete="current-password")


def check_password(form: forms.Form, field: str, user: User | None) -> None:
    """Add the violated password rules to the field's errors."""
    value = form.cleaned_data.get(field)
    if not value:
        return
    try:
        validate_password(value, user)
    except forms.ValidationError as error:
        form.add_error(field, error)
