"""Creates a person's personal key within the limits of the account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from console.pages.personal.forms import PersonalKeyForm
from console.pages.personal.limits import PersonalLimits, limits_of, unassigned_usd
from gateway import store
from gateway.models import Account, ApiKey


class NewKey(NamedTuple):
    """A created key with its secret; both are None if the form has errors."""

    form: PersonalKeyForm
    limits: PersonalLimits
    row: ApiKey | None = None
    secret: str | None = None


def create_personal_key(user: User, data: Mapping[str, Any]) -> NewKey:
    """Create a key of a person's own from the fields of PersonalKeyForm."""
    with transaction.atomic():
        # Locked, so that concurrent requests together stay within the limits.
        Account.objects.get_or_create(pk=user.pk)
        limits = limits_of(Account.objects.select_for_update().get(pk=user.pk))
        available_usd = unassigned_usd(user, limits, timezone.now())
        form = PersonalKeyForm(data, limits=limits, available_usd=available_usd)
        if count_active_keys(user) >= limits.max_keys:
            form.add_error(None, _("You have the maximum number of keys. Revoke one first."))
        if not form.is_valid():
            return NewKey(form, limits)
        row, secret = store.create_key(
            form.cleaned_data["name"],
            owner=user,
            user=user.get_username(),
            **form.row_values(timezone.now()),
        )
    return NewKey(form, limits, row, secret)


def count_active_keys(user: User) -> int:
    """The number of a person's keys that are neither revoked nor expired."""
    return sum(not row.is_expired for row in ApiKey.objects.owned_by(user).live())
