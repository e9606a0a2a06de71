"""User accounts: roles, and changes to accounts with their checks.

An admin has `is_staff` and `is_superuser`; the role of anyone else is in their `Account`
(gateway.roles). Reading bodies is a separate permission of editors and viewers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission, User
from django.db import transaction
from django.db.models import QuerySet

from gateway import audit, store
from gateway.models import Account, ApiKey
from gateway.roles import MAY_READ_BODIES, PERMISSIONS, Role
from gateway.store import second_factors


class LastAdmin(ValueError):
    """The change would leave no active admin."""


class AdminExists(ValueError):
    """An admin exists already, so the setup cannot create the first one."""


def all_users() -> QuerySet[User]:
    """Return all users: active ones first, admins before others, then by name."""
    users = User.objects.order_by("-is_active", "-is_superuser", "username")
    return users.select_related("account")


def active_admins() -> QuerySet[User]:
    """Return the active admins."""
    return User.objects.filter(is_superuser=True, is_active=True)


def admin_exists() -> bool:
    """Whether an active or inactive admin exists."""
    return get_user_model().objects.filter(is_superuser=True).exists()


def users_with_body_access() -> set[int]:
    """Return the ids of users with their own permission to read bodies."""
    return set(_body_permission().user_set.values_list("pk", flat=True))


def make_first_admin(name: str, password: str) -> User:
    """Create the first account, an admin. Raises AdminExists, also for a concurrent request."""
    with transaction.atomic():
        store.bump_version()  # locks a row, so that concurrent calls wait
        if admin_exists():
            raise AdminExists
        user = User.objects.create_superuser(name, password=password)
        audit.record_change("user", user.pk, name, None, _audit_snapshot(user))
    return user


def create_account(name: str, password: str | None, *, role: Role, bodies: bool = False) -> User:
    """Create an account; without a password, it can only sign in through the identity provider."""
    with transaction.atomic():
        user = User.objects.create_user(name, password=password)
        _write_role(user, role, bodies=bodies)
        audit.record_change("user", user.pk, name, None, _audit_snapshot(user))
    return user


def set_role(user: User, *, role: Role, bodies: bool) -> None:
    """Change a user's role. Raises LastAdmin.

    A role without keys of its own revokes those that the user has.
    """
    with audit_changes(user):
        if role != "admin":
            _check_other_admins(user)
        _write_role(user, role, bodies=bodies)
        if "personal" not in PERMISSIONS[role]:
            ApiKey.objects.filter(owner=user).revoke()


def set_limits(user: User, **limits: Any) -> None:
    """Change the limits of a user's personal keys; they apply to keys created from now on."""
    with audit_changes(user):
        Account.objects.update_or_create(pk=user.pk, defaults=limits)


def set_active(user: User, *, active: bool) -> None:
    """Activate or deactivate a user. Raises LastAdmin.

    Deactivating ends their sessions and revokes their personal keys.
    """
    with audit_changes(user):
        if not active:
            _check_other_admins(user)
            ApiKey.objects.filter(owner=user).revoke()
        user.is_active = active
        user.save(update_fields=["is_active"])


def set_password(user: User, password: str) -> None:
    """Set a user's password, which ends the sessions of the old one."""
    with audit_changes(user):
        user.set_password(password)
        user.save(update_fields=["password"])


def delete(user: User) -> None:
    """Delete an account with its playground runs and presets. Raises LastAdmin.

    Its personal keys are revoked; they stay in the list of revoked keys.
    """
    with transaction.atomic():
        _check_other_admins(user)
        ApiKey.objects.filter(owner=user).revoke()
        audit.record_change("user", user.pk, user.get_username(), _audit_snapshot(user), None)
        if not settings.SSO_INSTALLED:
            second_factors.remove_stored_rows(user.pk)
        user.delete()


@contextmanager
def audited_transaction() -> Iterator[None]:
    """Open a transaction; at its end, record every account that changed in the audit log."""
    with transaction.atomic():
        before = {
            user.pk: (user.get_username(), _audit_snapshot(user)) for user in User.objects.all()
        }
        yield
        after = {
            user.pk: (user.get_username(), _audit_snapshot(user)) for user in User.objects.all()
        }
        for pk in before.keys() | after.keys():
            name = (after.get(pk) or before[pk])[0]
            old, new = (accounts[pk][1] if pk in accounts else None for accounts in (before, after))
            audit.record_change("user", pk, name, old, new)


@contextmanager
def audit_changes(user: User) -> Iterator[None]:
    """Open a transaction that records the change of one account in the audit log."""
    with transaction.atomic():
        before = _audit_snapshot(User.objects.get(pk=user.pk))
        yield
        after = _audit_snapshot(User.objects.get(pk=user.pk))
        audit.record_change("user", user.pk, user.get_username(), before, after)


def _audit_snapshot(user: User) -> dict[str, Any]:
    """Return the fields of an account for the audit log."""
    return {
        "role": stored_role(user),
        **limits_snapshot(user),
        "two_factor": two_factor_kinds(user),
        "connected": is_connected(user),
        "active": user.is_active,
        "bodies": user.user_permissions.filter(pk=_body_permission().pk).exists(),
        "password": user.password,
    }


def two_factor_kinds(user: User) -> list[str]:
    """The kinds of a user's second factors: `totp`, `recovery_codes`, `webauthn` per passkey."""
    if not settings.SSO_INSTALLED:
        return second_factors.stored_kinds(user.pk)
    rows = apps.get_model("mfa", "Authenticator")._default_manager.filter(user=user)
    return sorted(rows.values_list("type", flat=True))


def is_connected(user: User) -> bool:
    """Whether a user can sign in through the identity provider."""
    if not settings.SSO_INSTALLED:
        return False
    rows = apps.get_model("socialaccount", "SocialAccount")._default_manager.filter(user=user)
    return bool(rows.exists())


def remove_two_factor(user: User) -> None:
    """Remove all second factors of a user who has lost them."""
    with audit_changes(user):
        if not settings.SSO_INSTALLED:
            second_factors.remove_stored_factors(user.pk)
            return
        apps.get_model("mfa", "Authenticator")._default_manager.filter(user=user).delete()


def role_values(user: User) -> dict[str, Any]:
    """Return the role of a user and whether they have the permission to read bodies."""
    return {"role": stored_role(user), "bodies": user.pk in users_with_body_access()}


def limits_snapshot(user: User) -> dict[str, Any]:
    """Return the limits of a user's personal keys."""
    account = Account.objects.filter(pk=user.pk).first() or Account()
    return {
        "max_keys": account.max_keys,
        "month_usd": account.month_usd,
        "key_days": account.key_days,
        "own_routes": account.routes,
        "team_id": account.team_id,
    }


def _check_other_admins(user: User) -> None:
    """Raise LastAdmin if there is no other admin; two admins cannot demote each other."""
    ids = set(active_admins().select_for_update().values_list("pk", flat=True))
    if ids <= {user.pk} and user.pk in ids:
        raise LastAdmin


def stored_role(user: User) -> Role:
    """Return a user's role, also of a deactivated user."""
    if user.is_staff:
        return "admin"
    account = Account.objects.filter(pk=user.pk).first()
    return "viewer" if account is None else cast("Role", account.role)


def _write_role(user: User, role: Role, *, bodies: bool) -> None:
    user.is_staff = user.is_superuser = role == "admin"
    user.save(update_fields=["is_staff", "is_superuser"])
    if role == "admin":
        Account.objects.get_or_create(pk=user.pk)
    else:
        Account.objects.update_or_create(pk=user.pk, defaults={"role": role})
    _set_body_access(user, granted=bodies and role in {"editor", "viewer"})


def _body_permission() -> Permission:
    label, codename = MAY_READ_BODIES.split(".")
    return Permission.objects.get(content_type__app_label=label, codename=codename)


def _set_body_access(user: User, *, granted: bool) -> None:
    if granted:
        user.user_permissions.add(_body_permission())
    else:
        user.user_permissions.remove(_body_permission())
