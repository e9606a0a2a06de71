"""User accounts over the API."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from ninja import Field, Router, Schema

from console import accounts
from gateway.api.failures import failure
from gateway.api.idempotency import run_once
from gateway.api.pages import page_of_rows
from gateway.api.resources import reply, run_guarded
from gateway.models import Account, Team
from gateway.models.account import MAX_KEY_DAYS, MAX_PERSONAL_KEYS
from gateway.roles import Role
from gateway.store.documents import Refused
from gateway.store.key_values import MAX_USD, strip_trailing_zeros

router = Router(tags=["users"])

_MAX_PASSWORD = 1000


class PersonalKeyLimits(Schema):
    """Limits of the keys that a user creates; null and empty: the settings' defaults, all routes.

    `team` is the name of the team that the keys join. They apply to keys created from now on.
    """

    max_keys: int | None = Field(None, ge=0, le=MAX_PERSONAL_KEYS)
    month_usd: Decimal | None = Field(None, ge=0, lt=MAX_USD, decimal_places=6)
    key_days: int | None = Field(None, ge=1, le=MAX_KEY_DAYS)
    routes: list[str] = Field([], max_length=200)
    team: str | None = None


class UserIn(Schema):
    """A new account. `bodies` permits an editor or viewer to read prompts and responses."""

    name: str
    password: str
    role: Role = "viewer"
    bodies: bool = False
    personal_keys: PersonalKeyLimits | None = None


class UserChange(Schema):
    """Changes of an account; fields that are omitted or null are unchanged.

    Sessions end with a new password, and with `active: false`.
    """

    role: Role | None = None
    bodies: bool | None = None
    active: bool | None = None
    password: str | None = None
    personal_keys: PersonalKeyLimits | None = None


class UserOut(Schema):
    """An account. Admins can read bodies regardless of `bodies`."""

    id: int
    name: str
    role: Role
    bodies: bool
    personal_keys: PersonalKeyLimits
    active: bool
    joined: dt.datetime
    last_signed_in: dt.datetime | None


class UserPage(Schema):
    """Accounts, oldest first, and the cursor of the next page; null at the end."""

    items: list[UserOut]
    next: int | None


@router.get("/users", response=UserPage)
def list_users(request: HttpRequest, cursor: int = 0, limit: int = 50) -> Any:
    """A page of all accounts."""
    users = User.objects.select_related("account__team").order_by("pk")
    later_users = users.filter(pk__gt=min(max(cursor, 0), 2**31))
    rows, next_cursor = page_of_rows(lambda count: later_users[:count], limit)
    users_with_access = accounts.users_with_body_access()
    return {"items": [_user_out(row, users_with_access) for row in rows], "next": next_cursor}


@router.post("/users", response={201: UserOut})
def create_user(request: HttpRequest, payload: UserIn) -> HttpResponse:
    """Create an account, once per `Idempotency-Key`."""
    return run_once(request, lambda: run_guarded(lambda: _create_user(payload)))


@router.get("/users/{name}", response=UserOut)
def get_user(request: HttpRequest, name: str) -> Any:
    """One account, by its name."""
    row = _find_user(name)
    return (
        _user_not_found(name) if row is None else _user_out(row, accounts.users_with_body_access())
    )


@router.patch("/users/{name}", response=UserOut)
def change_user(request: HttpRequest, name: str, payload: UserChange) -> HttpResponse:
    """Change role, permission, access, password or limits of personal keys, all or nothing."""
    return _with_user(name, lambda row: _change_user(row, payload))


@router.delete("/users/{name}", response={204: None})
def delete_user(request: HttpRequest, name: str) -> HttpResponse:
    """Remove an account, with its runs and presets of the playground."""

    def operation(row: User) -> HttpResponse:
        accounts.delete(row)
        return HttpResponse(status=204)

    return _with_user(name, operation)


def _with_user(name: str, operation: Any) -> HttpResponse:
    """Run `operation` for the account; the last admin is protected."""
    row = _find_user(name)
    if row is None:
        return _user_not_found(name)
    try:
        return run_guarded(lambda: operation(row))
    except accounts.LastAdmin:
        return failure(409, "this is the only admin: make another user an admin first", "role")


def _create_user(user_in: UserIn) -> HttpResponse:
    try:
        UnicodeUsernameValidator()(user_in.name)
    except ValidationError as error:
        raise Refused("name", " ".join(error.messages)) from None
    if len(user_in.name) > 150:
        raise Refused("name", "must have at most 150 characters")
    if User.objects.filter(username__iexact=user_in.name).exists():
        raise Refused("name", "this name is already taken")
    _check_password(user_in.password, User(username=user_in.name))
    try:
        with transaction.atomic():
            row = accounts.create_account(
                user_in.name, user_in.password, role=user_in.role, bodies=user_in.bodies
            )
    except IntegrityError:
        raise Refused("name", "this name is already taken") from None
    if user_in.personal_keys is not None:
        _set_limits(row, user_in.personal_keys)
    return reply(201, _user_out(_find_user(user_in.name) or row, accounts.users_with_body_access()))


def _change_user(row: User, change: UserChange) -> HttpResponse:
    if change.password is not None:
        _check_password(change.password, row)
    if change.role is not None or change.bodies is not None:
        role = accounts.stored_role(row) if change.role is None else change.role
        granted = row.pk in accounts.users_with_body_access()
        bodies = granted if change.bodies is None else change.bodies
        accounts.set_role(row, role=role, bodies=bodies)
    if change.active is not None:
        accounts.set_active(row, active=change.active)
    if change.password is not None:
        accounts.set_password(row, change.password)
    if change.personal_keys is not None:
        _set_limits(row, change.personal_keys)
    return reply(
        200, _user_out(_find_user(row.get_username()) or row, accounts.users_with_body_access())
    )


def _set_limits(row: User, limits: PersonalKeyLimits) -> None:
    """Store limits of personal keys. Raises Refused for a team that does not exist."""
    team = Team.objects.filter(name=limits.team).first() if limits.team else None
    if limits.team and team is None:
        raise Refused("personal_keys.team", f"there is no team `{limits.team[:200]}`")
    accounts.set_limits(row, **{**limits.dict(), "team": team})


def _check_password(password: str, user: User) -> None:
    if len(password) > _MAX_PASSWORD:
        raise Refused("password", f"must have at most {_MAX_PASSWORD} characters")
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Refused("password", " ".join(error.messages)) from None


def _find_user(name: str) -> User | None:
    return None if "\0" in name else User.objects.filter(username=name).first()


def _user_not_found(name: str) -> HttpResponse:
    return failure(404, f"there is no user `{name[:200]}`")


def _personal_key_limits(row: User) -> dict[str, Any]:
    account: Account = getattr(row, "account", None) or Account()
    return {
        "max_keys": account.max_keys,
        "month_usd": strip_trailing_zeros(account.month_usd),
        "key_days": account.key_days,
        "routes": account.routes,
        "team": account.team.name if account.team is not None else None,
    }


def _user_out(row: User, users_with_access: set[int]) -> dict[str, Any]:
    return {
        "id": row.pk,
        "name": row.get_username(),
        "role": accounts.stored_role(row),
        "bodies": row.pk in users_with_access,
        "personal_keys": _personal_key_limits(row),
        "active": row.is_active,
        "joined": row.date_joined,
        "last_signed_in": row.last_login,
    }
