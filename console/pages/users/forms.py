"""Forms of user accounts."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.utils.translation import gettext_lazy as _

from console import accounts
from console.folded_fields import FoldedFields
from console.form_fields import password_field, username_field
from console.limit_fields import trim_decimals
from console.optimistic_lock import ValuesLock
from console.pages.personal.limits import limits_of
from console.pages.session.forms import check_password
from gateway.models import Account, Change
from gateway.store.field_values import split_names

ROLES = (
    ("member", _("Member: only their personal keys, spend and requests")),
    ("viewer", _("Viewer: read-only access, without credentials")),
    ("editor", _("Editor: also changes models, routes, keys, teams and prices")),
    ("admin", _("Admin: full access")),
)


class RoleForm(FoldedFields, forms.Form):
    """The role of a user."""

    FIRST_FIELDS = frozenset({"username", "password", "role"})

    role = forms.ChoiceField(
        label=_("Role"), choices=ROLES, initial="viewer", widget=forms.RadioSelect
    )
    bodies = forms.BooleanField(
        label=_("Can read bodies"),
        required=False,
        help_text=_(
            "Prompts and responses of everyone, for viewers and editors. Admins can always read "
            "them; members read those of their personal keys."
        ),
    )


class AccountLock(ValuesLock):
    """A lock on a part of a user's account, as the audit log records it."""

    locked_user: User

    def last_editor(self) -> str:
        """The actor of the last change of the account in the audit log."""
        change = Change.objects.of_row("user", self.locked_user.pk).first()
        return change.actor if change else ""


class EditRoleForm(AccountLock, RoleForm):
    """The role of an existing user."""

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        self.locked_user = user
        self.locked_values = accounts.role_values(user)
        super().__init__(*args, initial=self.locked_values, **kwargs)


class NewUserForm(RoleForm):
    """A new account."""

    field_order = ("username", "password", "role", "bodies")
    username = username_field(
        "off",
        validators=[UnicodeUsernameValidator()],
        help_text=_("Letters, digits and @ . + - _"),
    )
    password = password_field(
        _("Initial password"),
        _("Use at least 8 characters. The user can change it after signing in."),
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


class PersonalLimitsForm(AccountLock, FoldedFields, forms.ModelForm):  # type: ignore[type-arg]
    """The limits of the keys that a user creates for themselves."""

    FIRST_FIELDS = frozenset({"max_keys", "month_usd", "key_days"})

    routes = forms.CharField(
        label=_("Routes"),
        required=False,
        max_length=4000,
        help_text=_("Comma-separated names and patterns, such as claude-*. Leave empty for all."),
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocapitalize": "none"}),
    )

    class Meta:
        model = Account
        fields = ("max_keys", "month_usd", "key_days", "routes", "team")

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        self.locked_user = user
        self.locked_values = accounts.limits_snapshot(user)
        account = getattr(user, "account", None)
        # The page has other forms, whose ids would be the same.
        super().__init__(*args, instance=account, auto_id="limits_%s", **kwargs)
        trim_decimals(self.initial)
        self.initial["routes"] = ", ".join(self.instance.routes)
        defaults = limits_of(None)
        default_usd = _("no limit") if defaults.month_usd is None else f"${defaults.month_usd:f}"
        default_days = _("no limit") if defaults.key_days is None else defaults.key_days
        texts = {
            "max_keys": (_("Active keys"), defaults.max_keys),
            "month_usd": (_("Monthly budget (USD)"), default_usd),
            "key_days": (_("Keys expire after (days)"), default_days),
        }
        for name, (label, default) in texts.items():
            self.fields[name].label = label
            self.fields[name].help_text = _("Default: %(default)s.") % {"default": default}
        self.fields["team"].label = _("Team or project")
        self.fields["team"].empty_label = _("None")  # type: ignore[attr-defined]
        self.fields["team"].help_text = _("New keys join it: its budget and limits apply too.")

    def clean_routes(self) -> list[str]:
        """The names without duplicates."""
        return split_names(self.cleaned_data["routes"])


class ResetForm(forms.Form):
    """A new password for another user."""

    password = password_field(
        _("New password"), _("Ends all their sessions. Share it over a secure channel.")
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean(self) -> dict[str, Any]:
        """Check the password against the rules."""
        cleaned_data = super().clean() or {}
        check_password(self, "password", self.user)
        return cleaned_data
