"""Forms of user accounts."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.utils.translation import gettext_lazy as _

from console.pages.session.forms import NEW_PASSWORD, check_password

ROLES = (
    ("viewer", _("Viewer: read-only access, without credentials")),
    ("admin", _("Admin: full access")),
)


class RoleForm(forms.Form):
    """The role of a user."""

    role = forms.ChoiceField(
        label=_("Role"), choices=ROLES, initial="viewer", widget=forms.RadioSelect
    )
    bodies = forms.BooleanField(
        label=_("Can read bodies"),
        required=False,
        help_text=_("Prompts and responses. Admins can always read them."),
    )


class NewUserForm(RoleForm):
    """A new account."""

    field_order = ("username", "password", "role", "bodies")
    username = forms.CharField(
        label=_("Username"),
        max_length=150,
        validators=[UnicodeUsernameValidator()],
        help_text=_("Letters, digits and @ . + - _"),
        widget=forms.TextInput(
            attrs={
                "autocomplete": "off",
                "autocapitalize": "none",
                "spellcheck": "false",
                "class": "input",
            }
        ),
    )
    password = forms.CharField(
        label=_("Initial password"),
        max_length=1000,
        strip=False,
        widget=NEW_PASSWORD,
        help_text=_("Use at least 8 characters. The user can change it after signing in."),
    )

    def clean_username(self) -> str:
        """Require an unused name; case is ignored."""
        name = str(self.cleaned_data["username"])
        if User.objects.filter(username__iexact=name).exists():
            raise forms.ValidationError(_("This username is already taken."))
        return name

    def clean(self) -> dict[str, Any]:
        """Check the password against the rules."""
        cleaned_data = super().clean() or {}
        check_password(self, "password", User(username=cleaned_data.get("username", "")))
        return cleaned_data


class ResetForm(forms.Form):
    """A new password for another user."""

    password = forms.CharField(
        label=_("New password"),
        max_length=1000,
        strip=False,
        widget=NEW_PASSWORD,
        help_text=_("Ends all their sessions. Share it over a secure channel."),
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean(self) -> dict[str, Any]:
        """Check the password against the rules."""
        cleaned_data = super().clean() or {}
        check_password(self, "password", self.user)
        return cleaned_data
