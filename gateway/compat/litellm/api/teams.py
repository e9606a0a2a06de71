"""LiteLLM's endpoints for teams: create, update, delete, read, list, and members.

Modeled on litellm/proxy/management_endpoints/team_endpoints.py (1.106.2). Members of a team are
the users of its keys: they are not stored apart from the keys.
"""

from __future__ import annotations

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
    REFUSED_KEY_FIELDS,
    SPANS,
    STRING_SCHEMA,
    budget_of,
    check,
    limits_of,
    request_body_schema,
    string_field,
)
from gateway.compat.litellm.api.key_view import Spending, amounts_of, key_info, span_of
from gateway.compat.litellm.api.rows import delete_rows, write_row
from gateway.models import ApiKey, Team
from gateway.store.documents import KINDS, merge_patch

router = Router(tags=["litellm"])

_TEAMS = KINDS["teams"]
_MAX_ID = 200
AMOUNTS = (*LIMITS, "max_budget", "budget_duration", "budget_limits", "soft_budget")
_MEMBERS = ("members", "admins", "members_with_roles", "team_member_permissions")
SUPPORTED_FIELDS = frozenset(
    {*AMOUNTS, *_MEMBERS, "team_id", "team_alias", "organization_id", "metadata"}
)
_PER_KEY = "set it on each key of the team"
_PER_MEMBER = "limits and budgets belong to keys and teams: set them on the member's keys"
REFUSED_FIELDS: dict[str, str] = {
    **{name: reason for name, reason in REFUSED_KEY_FIELDS.items() if name not in SUPPORTED_FIELDS},
    **dict.fromkeys(("models", "tags", "guardrails", "default_team_member_models"), _PER_KEY),
    **dict.fromkeys(
        (
            "team_member_budget",
            "team_member_budget_duration",
            "team_member_rpm_limit",
            "team_member_tpm_limit",
            "team_member_key_duration",
        ),
        _PER_MEMBER,
    ),
    "blocked": "revoke the keys of the team instead",
    "model_aliases": "routes map model names: create an alias of the route",
    "secret_manager_settings": "set secrets in the environment or in files",
    "enforced_batch_output_expires_after": "files are stored by the provider",
    "enforced_file_expires_after": "files are stored by the provider",
}
_PARAMS = {
    "name": "team_alias",
    "parent": "organization_id",
    **{f"limits.{name}": field for field, name in LIMITS.items()},
    **{f"budget.{span}_usd": "max_budget" for span in SPANS},
}
_NOT_STORED = "is not stored: a user is a member of a team through its keys"
_NUMBER = {"type": "number"}
_SETTINGS: dict[str, Any] = {
    "team_alias": STRING_SCHEMA,
    "team_id": STRING_SCHEMA,
    "organization_id": STRING_SCHEMA,
    "max_budget": _NUMBER,
    "soft_budget": _NUMBER,
    "budget_duration": {"type": "string", "example": "30d"},
    "budget_limits": {"type": "array", "items": {"type": "object"}},
    **{name: {"type": "integer"} for name in LIMITS},
    "members_with_roles": {"type": "array", "items": {"type": "object"}},
    "metadata": {"type": "object"},
}
_MEMBER: dict[str, Any] = {"team_id": STRING_SCHEMA, "user_id": STRING_SCHEMA}


# --- create, update and delete ----------------------------------------------------------


@router.post(
    "/team/new",
    auth=Editor(),
    operation_id="litellm_team_new",
    openapi_extra=request_body_schema(_SETTINGS),
)
def new(request: HttpRequest) -> HttpResponse:
    """Create a team; `notes` list what is not stored."""
    return run_once_in_transaction(request, _create_team)


@router.post(
    "/team/update",
    auth=Editor(),
    operation_id="litellm_team_update",
    openapi_extra=request_body_schema(_SETTINGS, "team_id"),
)
def update(request: HttpRequest) -> HttpResponse:
    """Change a team; null removes a limit."""
    return run_in_transaction(lambda: _update_team(body_of(request)))


@router.post(
    "/team/delete",
    auth=Editor(),
    operation_id="litellm_team_delete",
    openapi_extra=request_body_schema(
        {"team_ids": {"type": "array", "items": STRING_SCHEMA}}, "team_ids"
    ),
)
def delete(request: HttpRequest) -> HttpResponse:
    """Delete teams with their keys; none if one of them does not exist."""
    return run_in_transaction(lambda: _delete_teams(body_of(request)))


def _create_team(fields: dict[str, Any]) -> HttpResponse:
    notes = check_team(fields)
    team_id, alias = (
        string_field(fields, "team_id").strip(),
        string_field(fields, "team_alias").strip(),
    )
    name = alias or team_id
    if not name:
        raise RejectedRequest(400, "team_alias: required, or team_id", "team_alias")
    if len(team_id) > _MAX_ID:
        raise RejectedRequest(400, f"team_id: must have at most {_MAX_ID} characters", "team_id")
    for team_name, param in ((team_id, "team_id"), (name, "team_alias")):
        if team_name and team_rows.find(team_name) is not None:
            raise RejectedRequest(
                400, f"{param}: there is already a team `{team_name[:200]}`", param
            )
    ref = team_rows.TEAM + team_id if team_id and team_id != name else ""
    row = Team(source_ref=ref)
    budget, budget_notes = budget_of(fields)
    document = {"name": name, "limits": limits_of(fields), "budget": budget}
    document["parent"] = _organization_name(fields)
    write_team(document, row)
    return reply({**team_info(row, Spending()), "notes": [*notes, *budget_notes]})


def _update_team(fields: dict[str, Any]) -> HttpResponse:
    row = find_team(fields)
    notes = check_team(fields)
    before, team_id = _TEAMS.read(row), team_rows.id_of(row)
    merged_amounts = merge_amounts(before, fields)
    budget, budget_notes = budget_of(merged_amounts)
    changes: dict[str, Any] = {"limits": limits_of(merged_amounts)}
    if alias := string_field(fields, "team_alias").strip():
        changes["name"] = alias
    if "organization_id" in fields:
        changes["parent"] = _organization_name(fields)
    if changes.get("name", team_id) != team_id:  # its ID stays
        row.source_ref = team_rows.TEAM + team_id
    write_team({**merge_patch(before, changes), "budget": budget}, row)
    data = team_info(row, Spending())
    return reply({"team_id": team_id, "data": data, "notes": [*notes, *budget_notes]})


def _delete_teams(fields: dict[str, Any]) -> HttpResponse:
    ids = list_of_ids(fields, "team_ids")
    rows = [find_team({"team_id": team_id}) for team_id in ids]
    for row in rows:
        delete_rows([*ApiKey.objects.filter(team=row), row])
    return reply({"deleted_teams": ids})


def merge_amounts(document: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """The limits and budget of a team, changed by those sent; no `max_budget`, no budget at all."""
    amounts = amounts_of(document)
    if fields.get("max_budget", 0) is None:
        amounts |= {"budget_duration": None, "soft_budget": None}
    return {**amounts, **{name: fields[name] for name in AMOUNTS if name in fields}}


def check_team(fields: dict[str, Any]) -> list[str]:
    """Return notes on what is not stored. Raises RejectedRequest."""
    if fields.get("models") == ["all-proxy-models"]:
        fields["models"] = []
    notes = check(fields, SUPPORTED_FIELDS, REFUSED_FIELDS)
    return notes + [f"{name}: {_NOT_STORED}" for name in _MEMBERS if fields.get(name)]


def write_team(document: dict[str, Any], row: Team) -> None:
    """Write a team. Raises RejectedRequest."""
    write_row(_TEAMS, document, row, _PARAMS)


def find_team(fields: dict[str, Any]) -> Team:
    """Return the team with `team_id`. Raises RejectedRequest."""
    team_id = string_field(fields, "team_id")
    if not team_id:
        raise RejectedRequest(400, "team_id: is required", "team_id")
    row = team_rows.find(team_id)
    if row is None:
        raise RejectedRequest(404, f"Team not found, passed team id: {team_id[:200]}.", "team_id")
    return row


def _organization_name(fields: dict[str, Any]) -> str:
    """Return the name of the team that stands for an organization."""
    organization = string_field(fields, "organization_id")
    row = team_rows.find(organization, team_rows.ORGANIZATION)
    if organization and row is None:
        reason = f"there is no team `{organization[:200]}`: an organization is a team of teams here"
        raise RejectedRequest(400, f"organization_id: {reason}", "organization_id")
    return row.name if row is not None else ""


def list_of_ids(fields: dict[str, Any], name: str) -> list[str]:
    """The distinct ids in the only field of a request. Raises RejectedRequest."""
    if unknown := set(fields) - {name}:
        raise RejectedRequest(400, f"{min(unknown)}: there is no such field", min(unknown))
    ids = fields.get(name)
    if not isinstance(ids, list) or not ids or not all(isinstance(i, str) for i in ids):
        raise RejectedRequest(400, f"{name}: must be a list of strings", name)
    return list(dict.fromkeys(ids))


# --- members ----------------------------------------------------------------------------


@router.post(
    "/team/member_add",
    auth=Editor(),
    operation_id="litellm_team_member_add",
    openapi_extra=request_body_schema(
        {"team_id": STRING_SCHEMA, "member": {"type": "object"}}, "team_id", "member"
    ),
)
def member_add(request: HttpRequest) -> HttpResponse:
    """Return the team: a user becomes a member with a key of the team, by `/key/generate`."""
    return run_in_transaction(lambda: _member_add(body_of(request)))


@router.post(
    "/team/member_delete",
    auth=Editor(),
    operation_id="litellm_team_member_delete",
    openapi_extra=request_body_schema(_MEMBER, "team_id", "user_id"),
)
def member_delete(request: HttpRequest) -> HttpResponse:
    """Delete the keys that a user has in a team."""
    return run_in_transaction(lambda: _member_delete(body_of(request)))


def _member_add(fields: dict[str, Any]) -> HttpResponse:
    for name, value in fields.items():
        if name not in {"team_id", "member"} and value is not None:
            raise RejectedRequest(400, f"{name}: {_PER_MEMBER}", name)
    row, member_field = find_team(fields), fields.get("member")
    members = member_field if isinstance(member_field, list) else [member_field]
    for member in members:
        if not isinstance(member, dict) or not (member.get("user_id") or member.get("user_email")):
            raise RejectedRequest(400, "member: must have a user_id or a user_email", "member")
    info = team_info(row, Spending())
    added_member = {**info, "updated_users": [], "updated_team_memberships": []}
    return reply(
        {**added_member, "notes": [f"member: {_NOT_STORED}: pass user_id to /key/generate"]}
    )


def _member_delete(fields: dict[str, Any]) -> HttpResponse:
    for name in sorted(set(fields) - {"team_id", "user_id", "user_email"}):
        raise RejectedRequest(400, f"{name}: there is no such field", name)
    row = find_team(fields)
    user = string_field(fields, "user_id") or string_field(fields, "user_email")
    if not user:
        raise RejectedRequest(400, "user_id: is required", "user_id")
    keys = ApiKey.objects.none() if "\0" in user else ApiKey.objects.filter(team=row, user=user)
    if not keys.exists():
        raise RejectedRequest(400, f"user_id: `{user[:200]}` has no key in this team", "user_id")
    delete_rows(keys)
    return reply(team_info(row, Spending()))


# --- reading ----------------------------------------------------------------------------


@router.get("/team/info", auth=EditorOrKeyHolder(), operation_id="litellm_team_info")
def info(request: HttpRequest, team_id: str = "") -> HttpResponse:
    """A team with its keys and its spend; with a gateway key, that of the key (the default)."""
    return run_in_transaction(lambda: _team_info(caller_of(request), team_id))


@router.get("/team/list", auth=Editor(), operation_id="litellm_team_list")
def list_teams(request: HttpRequest, user_id: str = "", organization_id: str = "") -> HttpResponse:
    """All teams with their keys; or those of a user or of an organization."""
    check_filters(request, ("user_id", "organization_id"))
    return run_in_transaction(lambda: _list_teams(user_id, organization_id))


def _team_info(caller: Caller, team_id: str) -> HttpResponse:
    spending = Spending()
    if caller.admin:
        row = find_team({"team_id": team_id})
        keys = list(row.keys.select_related("team"))
    else:
        key = own_key_row(caller, "team_id")
        row, keys = _own_team(key, team_id), [key]
    return reply(
        {
            "team_id": team_rows.id_of(row),
            "team_info": team_info(row, spending),
            "keys": [key_info(key, spending) for key in keys],
            "team_memberships": [],
        }
    )


def _own_team(key: ApiKey, team_id: str) -> Team:
    """Return the team of a key. Raises RejectedRequest if another one is named."""
    team = None if key.team is None or team_rows.is_user(key.team) else key.team
    if team_id and (team is None or team_rows.find(team_id) != team):
        message = "team_id: only admins may read other teams"
        raise RejectedRequest(403, message, "team_id", "auth_error")
    if team is None:
        raise RejectedRequest(404, "team_id: this key has no team", "team_id")
    return team


def _list_teams(user_id: str, organization_id: str) -> HttpResponse:
    rows, spending = team_rows.teams().prefetch_related("keys"), Spending()
    if "\0" in user_id + organization_id:
        return reply([])
    if user_id:
        rows = rows.filter(keys__user=user_id).distinct()
    if organization_id:
        rows = rows.filter(parent__name=_organization_name({"organization_id": organization_id}))
    return reply(
        [
            {
                **team_info(row, spending),
                "keys": [key_info(key, spending) for key in row.keys.all()],
                "team_memberships": [],
            }
            for row in rows
        ]
    )


def team_info(row: Team, spending: Spending) -> dict[str, Any]:
    """Return a team as LiteLLM does (`LiteLLM_TeamTable`)."""
    amounts = amounts_of(_TEAMS.read(row))
    span = span_of(amounts)
    keys = ApiKey.objects.filter(team=row) | ApiKey.objects.filter(team__parent=row)
    users = sorted({key.user for key in keys if key.user})
    return {
        "team_id": team_rows.id_of(row),
        "team_alias": row.name,
        "organization_id": row.parent.name if row.parent is not None else None,
        **amounts,
        "spend": sum(spending.usd_of(key, span) for key in keys),
        "budget_reset_at": spending.resets_at(span),
        "models": [],
        "blocked": False,
        "admins": [],
        "members": users,
        "members_with_roles": [{"user_id": user, "role": "user"} for user in users],
        "metadata": {},
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }
