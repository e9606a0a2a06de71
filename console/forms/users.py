"""Accounts of other people."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.utils.translation import gettext_lazy as _

from console.forms.session import NEW_PASSWORD, check_password

ROLES = (
    ("viewer", _("Viewer: sees pages and figures, no credentials, changes nothing")),
    ("admin", _("Admin: may change everything")),
)


class RoleForm(forms.Form):
    """Who somebody is."""

    role = forms.ChoiceField(
        label=_("Role"), choices=ROLES, initial="viewer", widget=forms.RadioSelect
    )
    bodies = forms.BooleanField(
        label=_("May read bodies"),
        required=False,
        help_text=_("What clients sent and models answered. Admins always may."),
    )


class NewUserForm(RoleForm):
    """A new account."""

    field_order = ("username", "password", "role", "bodies")
    username = forms.CharField(
        label=_("Name"),
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
        label=_("First password"),
        max_length=1000,
        strip=False,
        widget=NEW_PASSWORD,
        help_text=_("At least 8 characters. They can change it after signing in."),
    )

    def clean_username(self) -> str:
        """A name that nobody has yet; case makes no difference."""
        name = str(self.cleaned_data["username"])
        if User.objects.filter(username__iexact=name).exists():
            raise forms.ValidationError(_("Somebody has this name already."))
        return name

    def clean(self) -> dict[str, Any]:
        """Check the password against the rules."""
        found = super().clean() or {}
        check_password(self, "password", User(username=found.get("username", "")))
        return found


class ResetForm(forms.Form):
    """Another password for somebody else."""

    password = forms.CharField(
        label=_("New password"),
        max_length=1000,
        strip=False,
        widget=NEW_PASSWORD,
        help_text=_("Their sessions end. Tell it to them on a way you trust."),
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean(self) -> dict[str, Any]:
        """Check the password against the rules."""
        found = super().clean() or {}
        check_password(self, "password", self.user)
        return found
