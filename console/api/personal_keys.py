"""A user's personal keys over the API: create, rotate, delete; their spend and requests.

The caller is a signed-in user whose role may have personal keys. The secret of a personal key is a
credential too: for the spend and the requests of that key, and to rotate it.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, cast

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Field, Query, Router, Schema
from ninja.errors import HttpError

from console.pages.personal import creation
from console.pages.personal.limits import limits_of_user, unassigned_usd
from gateway import store
from gateway.accounting.spend import parse_period, spend
from gateway.api.auth import Admin, admin_credential, token_of
from gateway.api.failures import failure
from gateway.api.idempotency import run_once
from gateway.api.pages import MAX_ID, page_of_rows
from gateway.api.requests import BodiesOut, Page, RequestOut, bodies_of
from gateway.api.resources import MAX_GRACE_S, reply, run_guarded
from gateway.api.spend import SpendOut, spend_items
from gateway.models import ApiKey, RequestLog
from gateway.models.account import MAX_KEY_DAYS
from gateway.roles import has_permission
from gateway.store.documents import Refused
from gateway.store.key_values import MAX_USD, strip_trailing_zeros

_DIMENSIONS = frozenset({"day", "key", "model", "route", "tag", "end_user"})


class KeyOwner(Admin):
    """A signed-in user whose role may have personal keys; or the secret of a personal key.

    Returns the user; with a secret, `personal_key_id` of the request is the key's row id.
    """

    permission = "personal"
    reason = "your role cannot have personal keys"

    def __call__(self, request: HttpRequest) -> Any | None:
        """The user, or None (401). Raises HttpError (403)."""
        token = token_of(request)
        if not token:
            return super().__call__(request)
        if admin_credential(token):
            raise HttpError(403, "the admin key belongs to no user: use /api/keys")
        key = store.find_key(store.current_snapshot(), token)
        if key is None or (key.expires_at is not None and key.expires_at <= time.time()):
            return None
        owner = ApiKey.objects.select_related("owner__account").get(pk=key.id).owner
        if owner is None:
            return None
        if not has_permission(owner, "personal"):
            raise HttpError(403, self.reason)
        request.personal_key_id = key.id  # type: ignore[attr-defined]
        return owner


router = Router(tags=["personal keys"], auth=KeyOwner())


class PersonalKeyIn(Schema):
    """A new key, within the limits of the account. `days` is how long it is valid.

    Without `routes`, it may use all that the account may. With a spend limit of the account,
    `month_usd` is required.
    """

    name: str = Field(min_length=1, max_length=200)
    routes: list[str] = Field([], max_length=200)
    month_usd: Decimal | None = Field(None, ge=0, lt=MAX_USD, decimal_places=6)
    days: int | None = Field(None, ge=1, le=MAX_KEY_DAYS)


class PersonalKeyOut(Schema):
    """A key of the user without its secret; `prefix` is the public part of the secret."""

    id: int
    name: str
    prefix: str
    routes: list[str]
    month_usd: Decimal | None
    team: str
    created_at: dt.datetime
    expires_at: dt.datetime | None
    last_used_at: dt.datetime | None


class PersonalKeySecret(PersonalKeyOut):
    """A key of the user; `key` is its secret, returned only once."""

    key: str


class PersonalKeyLimitsOut(Schema):
    """Limits of an account's keys; null and empty are no limit.

    `unassigned_usd` is the part of `month_usd` that is not assigned to a key yet.
    """

    max_keys: int
    month_usd: Decimal | None
    unassigned_usd: Decimal | None
    key_days: int | None
    routes: list[str]
    team: str


class PersonalKeysOut(Schema):
    """The keys of an account that are not revoked, oldest first, and their limits."""

    items: list[PersonalKeyOut]
    limits: PersonalKeyLimitsOut


class PersonalFilters(Schema):
    """Filters of the list. `cursor` is the `next` of the previous page."""

    cursor: int | None = Field(None, ge=0, le=MAX_ID)
    limit: int = 50
    route: str | None = None
    model: str | None = None
    status: str | None = None
    session: str | None = None


@router.get("/personal/keys", response=PersonalKeysOut)
def get_personal_keys(request: HttpRequest) -> dict[str, Any]:
    """The user's keys, and the limits for further ones."""
    user = _signed_in_user(request)
    limits = limits_of_user(user)
    unassigned = unassigned_usd(user, limits, timezone.now())
    return {
        "items": [_key_item(row) for row in _visible_keys(request).live()],
        "limits": {
            "max_keys": limits.max_keys,
            "month_usd": strip_trailing_zeros(limits.month_usd),
            "unassigned_usd": strip_trailing_zeros(unassigned),
            "key_days": limits.key_days or None,
            "routes": list(limits.routes),
            "team": limits.team.name if limits.team is not None else "",
        },
    }


@router.post("/personal/keys", response={201: PersonalKeySecret})
def create_personal_key(request: HttpRequest, payload: PersonalKeyIn) -> HttpResponse:
    """Create a key within the limits of the account, once per `Idempotency-Key`."""
    if _key_of_caller(request) is not None:
        return failure(403, "keys cannot create keys: sign in")
    return run_once(
        request, lambda: run_guarded(lambda: _create_key(_signed_in_user(request), payload))
    )


def _create_key(user: User, payload: PersonalKeyIn) -> HttpResponse:
    creation_result = creation.create_personal_key(user, payload.dict())
    if creation_result.row is None:
        field, messages = next(iter(creation_result.form.errors.items()))
        raise Refused("" if field == "__all__" else field, " ".join(map(str, messages)))
    return reply(201, {**_key_item(creation_result.row), "key": creation_result.secret})


@router.post("/personal/keys/{int:number}/rotate", response=PersonalKeySecret)
def rotate_personal_key(request: HttpRequest, number: int, grace_s: int = 0) -> HttpResponse:
    """Create a new secret; the old one stays valid for `grace_s` seconds."""

    def rotate() -> HttpResponse:
        if not 0 <= grace_s <= MAX_GRACE_S:
            raise Refused("grace_s", f"must be 0 to {MAX_GRACE_S} seconds")
        row = _find_key(request, number)
        try:
            secret = store.rotate_key(row, grace=dt.timedelta(seconds=grace_s))
        except ValueError as error:  # it was revoked meanwhile
            raise Refused("", str(error)) from None
        return reply(200, {**_key_item(row), "key": secret})

    return run_once(request, lambda: run_guarded(rotate))


@router.delete("/personal/keys/{int:number}", response={204: None})
def delete_personal_key(request: HttpRequest, number: int) -> HttpResponse:
    """Revoke a key. What it has spent still counts for the account's limit of this month."""
    if _key_of_caller(request) is not None:
        return failure(403, "keys cannot revoke keys: sign in")
    row = _find_key(request, number)
    ApiKey.objects.with_pk(row.pk).revoke()
    return HttpResponse(status=204)


@router.get("/personal/spend", response=SpendOut)
def get_personal_spend(
    request: HttpRequest, since: str = "", until: str = "", by: str = "day"
) -> dict[str, Any]:
    """Spend of the user's keys, revoked ones included, as `GET /api/spend`.

    `by` is one or more of day, key, model, route, tag and end_user, separated by commas.
    """
    names = [name.strip() for name in by.split(",") if name.strip()]
    if unknown := set(names) - _DIMENSIONS:
        raise HttpError(422, f"by: `{min(unknown)[:40]}` must be {', '.join(sorted(_DIMENSIONS))}")
    try:
        start, end = parse_period(since, until, timezone.now())
        rows = spend(start, end, names, _key_ids(request))
    except ValueError as error:
        raise HttpError(422, str(error)) from None
    return spend_items(start, end, names, rows)


@router.get("/personal/requests", response=Page)
def list_personal_requests(request: HttpRequest, filters: Query[PersonalFilters]) -> dict[str, Any]:
    """A page of the requests of the user's keys, newest first."""
    columns = filters.dict(exclude={"cursor", "limit"})
    rows = (
        RequestLog.objects.matching(**columns)
        .of_keys(_key_ids(request))
        .older_than_row(filters.cursor)
    )
    items, next_cursor = page_of_rows(rows.prefetch_related("scores").newest, filters.limit)
    return {"items": items, "next": next_cursor}


@router.get("/personal/requests/{request_id}", response=RequestOut)
def get_personal_request(request: HttpRequest, request_id: str) -> RequestLog:
    """One request of a personal key, by row ID or request ID."""
    return _find_request(request, request_id)


@router.get("/personal/requests/{request_id}/bodies", response=BodiesOut)
def get_personal_bodies(request: HttpRequest, request_id: str) -> dict[str, Any]:
    """Bodies and headers of a request of a personal key, of the client and of the provider."""
    return bodies_of(_find_request(request, request_id))


def _signed_in_user(request: HttpRequest) -> User:
    return cast("User", request.auth)  # type: ignore[attr-defined]


def _key_of_caller(request: HttpRequest) -> int | None:
    """The row id of the key whose secret is the credential; None for a session."""
    key_id: int | None = getattr(request, "personal_key_id", None)
    return key_id


def _visible_keys(request: HttpRequest) -> Any:
    """The keys that the caller may see, revoked ones included."""
    rows = ApiKey.objects.owned_by(_signed_in_user(request)).select_related("team")
    key_id = _key_of_caller(request)
    return rows if key_id is None else rows.with_pk(key_id)


def _key_ids(request: HttpRequest) -> Sequence[int]:
    return list(_visible_keys(request).values_list("pk", flat=True))


def _find_key(request: HttpRequest, number: int) -> ApiKey:
    row: ApiKey | None = _visible_keys(request).live().filter(pk=min(number, MAX_ID)).first()
    if row is None:
        raise HttpError(404, "you have no such key")
    return row


def _find_request(request: HttpRequest, request_id: str) -> RequestLog:
    row = RequestLog.objects.by_id(request_id)
    if row is None or row.key_id not in _key_ids(request):
        raise HttpError(404, "your keys have no such request")
    return row


def _key_item(row: ApiKey) -> dict[str, Any]:
    return {
        "id": row.pk,
        "name": row.name,
        "prefix": row.prefix,
        "routes": row.routes,
        "month_usd": strip_trailing_zeros(row.budget_month_usd),
        "team": row.team.name if row.team is not None else "",
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "last_used_at": row.last_used_at,
    }
