"""People over the API: who may sign in, and what they may see."""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal

from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema

from console import accounts
from gateway.api.failures import failure
from gateway.api.idempotency import once
from gateway.api.pages import MAX_PAGE
from gateway.api.resources import guarded, reply
from gateway.store.documents import Refused

router = Router(tags=["users"])

Role = Literal["admin", "viewer"]
_MAX_PASSWORD = 1000


class UserIn(Schema):
    """A new account. `bodies` is a viewer's grant to read what clients and models said."""

    name: str
    password: str
    role: Role = "viewer"
    bodies: bool = False


class UserChange(Schema):
    """What is to be different; what is left out or null stays.

    Sessions end with a new password, and with `active: false`.
    """

    role: Role | None = None
    bodies: bool | None = None
    active: bool | None = None
    password: str | None = None


class UserOut(Schema):
    """An account. Admins may read bodies whatever `bodies` says."""

    id: int
    name: str
    role: Role
    bodies: bool
    active: bool
    joined: dt.datetime
    last_signed_in: dt.datetime | None


class UserPage(Schema):
    """Accounts, oldest first, and the cursor of the next page; null at the end."""

    items: list[UserOut]
    next: int | None


@router.get("/users", response=UserPage)
def list_users(request: HttpRequest, cursor: int = 0, limit: int = 50) -> Any:
    """A page of everybody."""
    size = min(max(limit, 1), MAX_PAGE)
    rows = list(User.objects.filter(pk__gt=min(max(cursor, 0), 2**31)).order_by("pk")[: size + 1])
    granted, shown = accounts.granted(), rows[:size]
    items = [_told(row, granted) for row in shown]
    return {"items": items, "next": shown[-1].pk if len(rows) > size else None}


@router.post("/users", response={201: UserOut})
def make_user(request: HttpRequest, payload: UserIn) -> HttpResponse:
    """Make an account. With an `Idempotency-Key`, only once, however often it is sent."""
    return once(request, lambda: guarded(lambda: _made(payload)))


@router.get("/users/{name}", response=UserOut)
def get_user(request: HttpRequest, name: str) -> Any:
    """One account, by its name."""
    row = _find(name)
    return _missing(name) if row is None else _told(row, accounts.granted())


@router.patch("/users/{name}", response=UserOut)
def change_user(request: HttpRequest, name: str, payload: UserChange) -> HttpResponse:
    """Change role, grant, access or password: all that is given, or nothing."""
    return _acted(name, lambda row: _changed(row, payload))


@router.delete("/users/{name}", response={204: None})
def delete_user(request: HttpRequest, name: str) -> HttpResponse:
    """Remove an account, with its runs and presets of the playground."""

    def act(row: User) -> HttpResponse:
        accounts.delete(row)
        return HttpResponse(status=204)

    return _acted(name, act)


def _acted(name: str, act: Any) -> HttpResponse:
    """What `act` makes of the account, or why it can not be."""
    row = _find(name)
    if row is None:
        return _missing(name)
    try:
        return guarded(lambda: act(row))
    except accounts.LastAdmin:
        return failure(409, "this is the only admin: make somebody else admin first", "role")


def _made(given: UserIn) -> HttpResponse:
    try:
        UnicodeUsernameValidator()(given.name)
    except ValidationError as error:
        raise Refused("name", " ".join(error.messages)) from None
    if len(given.name) > 150:
        raise Refused("name", "must have at most 150 characters")
    if User.objects.filter(username__iexact=given.name).exists():
        raise Refused("name", "somebody has this name already")
    _check_password(given.password, User(username=given.name))
    try:
        with transaction.atomic():
            row = accounts.make(
                given.name, given.password, admin=given.role == "admin", bodies=given.bodies
            )
    except IntegrityError:
        raise Refused("name", "somebody has this name already") from None
    return reply(201, _told(row, accounts.granted()))


def _changed(row: User, given: UserChange) -> HttpResponse:
    if given.password is not None:
        _check_password(given.password, row)
    if given.role is not None or given.bodies is not None:
        admin = row.is_superuser if given.role is None else given.role == "admin"
        held = row.pk in accounts.granted()
        bodies = held if given.bodies is None else given.bodies
        accounts.set_role(row, admin=admin, bodies=bodies)
    if given.active is not None:
        accounts.set_active(row, active=given.active)
    if given.password is not None:
        accounts.set_password(row, given.password)
    return reply(200, _told(row, accounts.granted()))


def _check_password(password: str, user: User) -> None:
    if len(password) > _MAX_PASSWORD:
        raise Refused("password", f"must have at most {_MAX_PASSWORD} characters")
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Refused("password", " ".join(error.messages)) from None


def _find(name: str) -> User | None:
    return None if "\0" in name else User.objects.filter(username=name).first()


def _missing(name: str) -> HttpResponse:
    return failure(404, f"there is no user `{name[:200]}`")


def _told(row: User, granted: set[int]) -> dict[str, Any]:
    return {
        "id": row.pk,
        "name": row.get_username(),
        "role": "admin" if row.is_superuser else "viewer",
        "bodies": row.pk in granted,
        "active": row.is_active,
        "joined": row.date_joined,
        "last_signed_in": row.last_login,
    }
