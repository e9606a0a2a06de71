"""LiteLLM's endpoints for internal users.

Modeled on litellm/proxy/management_endpoints/internal_user_endpoints.py (1.106.2). A user is the
team of the keys that have this `user_id` and no other team; the user's budget and limits are those
of that team. Accounts of the console are separate (/api/users).
"""

from __future__ import annotations

import uuid
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router

from gateway.api.auth import Editor
from gateway.compat.litellm.api import team_rows
from gateway.compat.litellm.api.callers import (
    Caller,
    EditorOrKeyHolder,
    caller_of,
    own_key_row,
)
from gateway.compat.litellm.api.failures import (
    RejectedRequest,
    body_of,
    check_filters,
    reply,
    run_in_transaction,
    run_once_in_transaction,
)
from gateway.compat.litellm.api.fields import (
    LIMITS,
    STRING_SCHEMA,
    budget_of,
    check,
    limits_of,
    request_body_schema,
    string_field,
)
from gateway.compat.litellm.api.key_view import Spending, key_info
from gateway.compat.litellm.api.keys import MAX_PAGE, generate_key
from gateway.compat.litellm.api.rows import delete_rows
from gateway.compat.litellm.api.teams import (
    AMOUNTS,
    REFUSED_FIELDS,
    list_of_ids,
    merge_amounts,
    team_info,
    write_team,
)
from gateway.models import ApiKey, Team
from gateway.store.documents import KINDS, merge_patch

router = Router(tags=["litellm"])

_TEAMS = KINDS["teams"]
_MAX_ID = 190
# Of the key that /user/new creates.
_OF_KEY = ("models", "key_alias", "duration", "tags", "guardrails")
_DESCRIPTIVE_FIELDS = ("user_email", "user_alias", "teams", "sso_user_id", "organizations")
SUPPORTED_FIELDS = frozenset(
    {
        *AMOUNTS,
        *_OF_KEY,
        *_DESCRIPTIVE_FIELDS,
        "user_id",
        "user_role",
        "auto_create_key",
        "metadata",
    }
)
REFUSED_USER_FIELDS = {
    **{name: reason for name, reason in REFUSED_FIELDS.items() if name not in SUPPORTED_FIELDS},
    "send_invite_email": "the gateway sends no invitations",
    "password": "accounts of the console are created with POST /api/users",
    "password_reset_required": "accounts of the console are created with POST /api/users",
}
_ROLES = frozenset({"internal_user", "internal_user_viewer", ""})
_SETTINGS: dict[str, Any] = {
    "user_id": STRING_SCHEMA,
    "user_email": STRING_SCHEMA,
    "user_role": STRING_SCHEMA,
    "max_budget": {"type": "number"},
    "budget_duration": {"type": "string", "example": "30d"},
    **{name: {"type": "integer"} for name in LIMITS},
    "models": {"type": "array", "items": STRING_SCHEMA},
    "auto_create_key": {"type": "boolean"},
    "key_alias": STRING_SCHEMA,
    "duration": STRING_SCHEMA,
}


@router.post(
    "/user/new",
    auth=Editor(),
    operation_id="litellm_user_new",
    openapi_extra=request_body_schema(_SETTINGS),
)
def new(request: HttpRequest) -> HttpResponse:
    """Create a user, and a key unless `auto_create_key` is false."""
    return run_once_in_transaction(request, _create_user)


@router.post(
    "/user/update",
    auth=Editor(),
    operation_id="litellm_user_update",
    openapi_extra=request_body_schema(_SETTINGS, "user_id"),
)
def update(request: HttpRequest) -> HttpResponse:
    """Change the budget and the limits of a user; null removes a limit."""
    return run_in_transaction(lambda: _update_user(body_of(request)))


@router.post(
    "/user/delete",
    auth=Editor(),
    operation_id="litellm_user_delete",
    openapi_extra=request_body_schema(
        {"user_ids": {"type": "array", "items": STRING_SCHEMA}}, "user_ids"
    ),
)
def delete(request: HttpRequest) -> HttpResponse:
    """Delete users with all their keys; none if one of them does not exist."""
    return run_in_transaction(lambda: _delete_users(body_of(request)))


@router.get("/user/info", auth=EditorOrKeyHolder(), operation_id="litellm_user_info")
def info(request: HttpRequest, user_id: str = "") -> HttpResponse:
    """A user with the user's keys and teams; with a gateway key, that of the key (the default)."""
    return run_in_transaction(lambda: _user_info(caller_of(request), user_id))


@router.get("/user/list", auth=Editor(), operation_id="litellm_user_list")
def list_users(request: HttpRequest, page: int = 1, page_size: int = 25) -> HttpResponse:
    """A page of users: those with a budget or limits, and those who have keys."""
    check_filters(request, ("page", "page_size"))
    return run_in_transaction(lambda: _list_users(page, page_size))


def _create_user(fields: dict[str, Any]) -> HttpResponse:
    notes = _check_fields(fields)
    user_id = string_field(fields, "user_id").strip() or string_field(fields, "user_email").strip()
    user_id = user_id or str(uuid.uuid4())
    if len(user_id) > _MAX_ID:
        raise RejectedRequest(400, f"user_id: at most {_MAX_ID} characters", "user_id")
    if team_rows.find_user(user_id) is not None:
        raise RejectedRequest(409, f"User with id {user_id} already exists", "user_id")
    create_key = fields.get("auto_create_key", True)
    if not isinstance(create_key, bool):
        raise RejectedRequest(400, "auto_create_key: must be true or false", "auto_create_key")
    if fields.get("models") and not create_key:
        raise RejectedRequest(400, "models: set it on each key of the user", "models")
    row = Team(source_ref=team_rows.USER + user_id)
    budget, budget_notes = budget_of(fields)
    name = f"user {user_id}"
    write_team({"name": name, "limits": limits_of(fields), "budget": budget}, row)
    created_key: dict[str, Any] = {"key": None}
    if create_key:
        key = {name: fields[name] for name in _OF_KEY if name in fields}
        created_key = generate_key({**key, "user_id": user_id})
        budget_notes += created_key.pop("notes")
    ApiKey.objects.filter(user=user_id, team=None).update(team=row)
    return reply(
        {**created_key, **user_info(user_id, row, Spending()), "notes": [*notes, *budget_notes]}
    )


def _update_user(fields: dict[str, Any]) -> HttpResponse:
    notes = _check_fields(fields)
    for name in _OF_KEY:
        if fields.get(name):
            raise RejectedRequest(400, f"{name}: set it on each key of the user", name)
    user_id = _user_id(fields)
    row = team_rows.find_user(user_id)
    if row is None:
        _keys_of(user_id)
        row = Team(source_ref=team_rows.USER + user_id, name=f"user {user_id}")
    before = _TEAMS.read(row)
    merged_amounts = merge_amounts(before, fields)
    budget, budget_notes = budget_of(merged_amounts)
    document = {**merge_patch(before, {"limits": limits_of(merged_amounts)}), "budget": budget}
    write_team(document, row)
    ApiKey.objects.filter(user=user_id, team=None).update(team=row)
    data = user_info(user_id, row, Spending())
    return reply({"user_id": user_id, "data": data, "notes": [*notes, *budget_notes]})


def _delete_users(fields: dict[str, Any]) -> HttpResponse:
    ids = list_of_ids(fields, "user_ids")
    for user_id in ids:
        row = team_rows.find_user(_user_id({"user_id": user_id}))
        keys = ApiKey.objects.filter(user=user_id) if row is not None else _keys_of(user_id)
        delete_rows([*keys, *([row] if row is not None else ())])
    return reply({"deleted_users": ids})


def _check_fields(fields: dict[str, Any]) -> list[str]:
    notes = check(fields, SUPPORTED_FIELDS, REFUSED_USER_FIELDS)
    if string_field(fields, "user_role") not in _ROLES:
        reason = "accounts of the console have roles: POST /api/users; a key only calls models"
        raise RejectedRequest(400, f"user_role: {reason}", "user_role")
    return notes + [
        f"{name}: is not stored: keys have a user_id and a team"
        for name in _DESCRIPTIVE_FIELDS
        if fields.get(name)
    ]


def _user_id(fields: dict[str, Any]) -> str:
    user_id = string_field(fields, "user_id") or string_field(fields, "user_email")
    if not user_id or "\0" in user_id:
        raise RejectedRequest(400, "user_id: is required", "user_id")
    return user_id


def _keys_of(user_id: str) -> Any:
    """Return the keys of a user without a team of its own.

    Raises RejectedRequest if there are none.
    """
    keys = ApiKey.objects.filter(user=user_id)
    if not keys.exists():
        raise RejectedRequest(404, f"User {user_id[:200]} not found", "user_id")
    return keys


# --- reading ----------------------------------------------------------------------------


def _user_info(caller: Caller, user_id: str) -> HttpResponse:
    if not caller.admin:
        own_id = own_key_row(caller, "user_id").user
        if user_id not in ("", own_id):
            message = "user_id: only admins may read other users"
            raise RejectedRequest(403, message, "user_id", "auth_error")
        if not own_id:
            raise RejectedRequest(404, "user_id: this key has no user", "user_id")
        user_id = own_id
    user_id, spending = _user_id({"user_id": user_id}), Spending()
    row = team_rows.find_user(user_id)
    if row is None:
        _keys_of(user_id)
    keys = ApiKey.objects.filter(user=user_id).select_related("team")
    teams = team_rows.teams().filter(keys__user=user_id).distinct()
    return reply(
        {
            "user_id": user_id,
            "user_info": user_info(user_id, row, spending),
            "keys": [key_info(key, spending) for key in keys],
            "teams": [team_info(team, spending) for team in teams],
        }
    )


def _list_users(page: int, page_size: int) -> HttpResponse:
    if page < 1 or not 1 <= page_size <= MAX_PAGE:
        reason = f"page must be at least 1 and page_size 1 to {MAX_PAGE}"
        raise RejectedRequest(400, reason, "page_size")
    rows = {row.source_ref.removeprefix(team_rows.USER): row for row in team_rows.users()}
    labels = ApiKey.objects.exclude(user="").values_list("user", flat=True).distinct()
    ids, spending = sorted({*rows, *labels}), Spending()
    start = (page - 1) * page_size
    return reply(
        {
            "users": [
                user_info(user_id, rows.get(user_id), spending)
                for user_id in ids[start : start + page_size]
            ],
            "total": len(ids),
            "page": page,
            "page_size": page_size,
            "total_pages": -(-len(ids) // page_size),
        }
    )


def user_info(user_id: str, row: Team | None, spending: Spending) -> dict[str, Any]:
    """Return a user as LiteLLM does (`LiteLLM_UserTable`)."""
    keys = list(ApiKey.objects.filter(user=user_id).select_related("team"))
    team_fields = team_info(row, spending) if row is not None else {}
    amounts = {name: team_fields.get(name) for name in (*AMOUNTS, "budget_reset_at")}
    names = {team_rows.id_of(key.team) for key in keys if key.team is not None and key.team != row}
    return {
        "user_id": user_id,
        "user_email": None,
        "user_alias": None,
        "user_role": "internal_user",
        **amounts,
        "spend": team_fields.get("spend", sum(spending.usd_of(key, "total") for key in keys)),
        "models": [],
        "teams": sorted(names),
        "key_count": len(keys),
        "metadata": {},
        "created_at": row.created_at if row is not None else None,
        "updated_at": row.updated_at if row is not None else None,
    }
