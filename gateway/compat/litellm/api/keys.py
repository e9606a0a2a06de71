"""LiteLLM's endpoints for keys: create, update, delete, read and list.

Modelled on litellm/proxy/management_endpoints/key_management_endpoints.py (1.106.2). For admins
only, except that `/key/info` also shows a caller its own key. `key` and `keys` accept a whole
key or its `token`, here its public prefix.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Query, Router, Schema

from gateway import store
from gateway.api.auth import Admin, Reader
from gateway.api.idempotency import run_once
from gateway.compat.litellm.api.callers import Caller, Holder
from gateway.compat.litellm.api.failures import Wrong, body_of, guarded, reply, reshaped
from gateway.compat.litellm.api.fields import LIMITS, SPANS, check, expires_at, to_document
from gateway.compat.litellm.api.key_view import Spending, key_info, settings_of
from gateway.models import Alias, ApiKey
from gateway.routing.snapshot import ApiKey as Key
from gateway.store.documents import KINDS, Owned, Refused, merge_patch, owned
from gateway.store.keys import new_key_row

router = Router(tags=["litellm"])

MAX_PAGE = 100
_KEYS = KINDS["keys"]
# Fields of a document that have another name in LiteLLM.
_PARAMS = {
    "name": "key_alias",
    "routes": "models",
    "team": "team_id",
    "user": "user_id",
    **{f"limits.{name}": field for field, name in LIMITS.items()},
    **{f"budget.{span}_usd": "max_budget" for span in SPANS},
    "budget.soft_percent": "soft_budget",
}
_SORTS = {
    "created_at": "created_at",
    "updated_at": "updated_at",
    "key_alias": "name",
    "expires": "expires_at",
    "last_active": "last_used_at",
    "token": "prefix",
}
_GENERATE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "key_alias": {"type": "string"},
        "models": {"type": "array", "items": {"type": "string"}},
        "duration": {"type": "string", "example": "30d"},
        "max_budget": {"type": "number"},
        "soft_budget": {"type": "number"},
        "budget_duration": {"type": "string", "example": "30d"},
        "budget_limits": {"type": "array", "items": {"type": "object"}},
        **{name: {"type": "integer"} for name in LIMITS},
        "team_id": {"type": "string"},
        "user_id": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "metadata": {"type": "object"},
        "blocked": {"type": "boolean"},
    },
}
_UPDATE = {"type": "object", "properties": {"key": {"type": "string"}, **_GENERATE["properties"]}}
_NAMES = {"type": "array", "items": {"type": "string"}}
_DELETE = {"type": "object", "properties": {"keys": _NAMES, "key_aliases": _NAMES}}


def _wants(schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


# --- create, update and delete ----------------------------------------------------------


@router.post(
    "/key/generate",
    auth=Admin(),
    operation_id="litellm_key_generate",
    openapi_extra=_wants(_GENERATE),
)
def generate(request: HttpRequest) -> HttpResponse:
    """Make a key. `key` in the answer is told this once; `notes` say what is not kept."""
    return reshaped(run_once(request, lambda: guarded(lambda: _generate(body_of(request)))))


@router.post(
    "/key/update", auth=Admin(), operation_id="litellm_key_update", openapi_extra=_wants(_UPDATE)
)
def update(request: HttpRequest) -> HttpResponse:
    """Change what is said of a key, `key` or `key_alias`; null is no limit."""
    return guarded(lambda: _update(body_of(request)))


@router.post(
    "/key/delete", auth=Admin(), operation_id="litellm_key_delete", openapi_extra=_wants(_DELETE)
)
def delete(request: HttpRequest) -> HttpResponse:
    """Delete all of `keys`, or of `key_aliases`; none of them if one is not there."""
    return guarded(lambda: _delete(body_of(request)))


def _generate(fields: dict[str, Any]) -> HttpResponse:
    if fields.get("key") not in (None, ""):
        raise Wrong(400, "key: keys are made here, so that nobody can guess one", "key")
    row, secret = new_key_row()
    notes = check(fields)
    document, more = to_document(fields)
    document.setdefault("name", row.prefix)
    _write(document, row, fields)
    answer = {"key": secret, **key_info(row, Spending())}
    return reply({**answer, "notes": [*notes, *more]})


def _update(fields: dict[str, Any]) -> HttpResponse:
    key_or_alias = fields.get("key") or fields.get("key_alias")
    if not isinstance(key_or_alias, str) or not key_or_alias:
        raise Wrong(400, "key: says which key is meant; or its key_alias", "key")
    row = find_key(key_or_alias) if fields.get("key") else _aliased(key_or_alias)
    notes = check(fields)
    # LiteLLM treats an empty team as a field that was not sent.
    changed_fields = {
        name: value for name, value in fields.items() if (name, value) != ("team_id", "")
    }
    if (
        "metadata" in changed_fields
        and "tags" not in changed_fields
        and changed_fields["metadata"] is not None
    ):
        stored_tags = settings_of(row)["tags"]
        changed_fields["tags"] = changed_fields["metadata"].get("tags", stored_tags)
    document, more = to_document({**_with_stored_settings(row, changed_fields), **changed_fields})
    if changed_fields.get("key_alias", "-") in (None, ""):
        document["name"] = row.prefix
    unchanged = _KEYS.read(row)
    # The fields describe a whole budget, but only some of the limits of a key.
    budget = document.pop("budget")
    merged_document = {**merge_patch(unchanged, document), "budget": budget}
    _write(merged_document, row, changed_fields)
    return reply({"key": key_or_alias, **key_info(row, Spending()), "notes": [*notes, *more]})


def _with_stored_settings(row: ApiKey, changes: dict[str, Any]) -> dict[str, Any]:
    """Return the key's settings; clearing `max_budget` also clears the soft budget."""
    stored = settings_of(row)
    if changes.get("max_budget", 0) is None:
        stored |= {"budget_duration": None, "soft_budget": None}
    return stored


def _write(document: dict[str, Any], row: ApiKey, fields: dict[str, Any]) -> None:
    """Write a key, its expiry and whether it is blocked. Raises Wrong."""
    _check_names(document, row)
    try:
        _KEYS.write(document, row)
    except Owned:
        raise
    except Refused as error:
        param = _PARAMS.get(error.field, error.field)
        raise Wrong(400, f"{param}: {error.why}" if param else error.why, param) from None
    blocked = fields.get("blocked")
    if blocked is not None and not isinstance(blocked, bool):
        raise Wrong(400, "blocked: must be true or false", "blocked")
    before = (row.expires_at, row.revoked_at)
    if "duration" in fields:
        row.expires_at = expires_at(fields["duration"], timezone.now())
    if blocked is not None:
        row.revoked_at = (row.revoked_at or timezone.now()) if blocked else None
    if (row.expires_at, row.revoked_at) == before:
        return
    row.save()
    if blocked:
        store.end_grace(row)


def _check_names(document: dict[str, Any], row: ApiKey) -> None:
    """Raise Wrong if the name is in use, or if `models` contains an alias without its route."""
    name = document.get("name", "")
    if ApiKey.objects.with_names([name]).exclude(pk=row.pk).exists():
        raise Wrong(400, f"key_alias: `{name[:200]}` is the name of another key", "key_alias")
    routes = [route for route in document["routes"] if "\0" not in route]
    alias = Alias.objects.filter(pattern__in=routes).select_related("route").first()
    if alias is not None and alias.route.name not in routes:
        why = f"`{alias.pattern}` is another name of `{alias.route.name}`: name that"
        raise Wrong(400, f"models: {why}", "models")


def _delete(fields: dict[str, Any]) -> HttpResponse:
    if unknown := set(fields) - {"keys", "key_aliases"}:
        raise Wrong(400, f"{min(unknown)}: there is no such field", min(unknown))
    keys, aliases = _names(fields, "keys"), _names(fields, "key_aliases")
    if not keys and not aliases:
        raise Wrong(400, "keys: at least one of keys and key_aliases must be given", "keys")
    # As in LiteLLM, aliases count only if no keys are named.
    rows = [find_key(name) for name in keys] or [_aliased(name) for name in aliases]
    for row in {row.pk: row for row in rows}.values():
        if owner_ref := owned(row):
            raise Owned("", f"{row} is owned by {owner_ref}: take it out there")
        row.delete()
    return reply({"deleted_keys": keys or aliases})


def _names(fields: dict[str, Any], field: str) -> list[str]:
    names = fields.get(field) or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Wrong(400, f"{field}: must be a list of texts", field)
    return names


def find_key(name: str) -> ApiKey:
    """Return the key with this secret or public prefix. Raises Wrong (404)."""
    rows = ApiKey.objects.select_related("team")
    if "\0" not in name:
        digest = store.digest(name)
        row = rows.filter(Q(prefix=name) | Q(digest=digest) | Q(previous_digest=digest)).first()
        if row is not None:
            return row
    raise Wrong(404, "there is no such key", "key", "token_not_found_in_db")


def token_of_key(name: str) -> str:
    """Return the public prefix of a key, as the request log stores it.

    A key that no longer exists is looked up in the log by the name as passed.
    """
    try:
        return find_key(name).prefix
    except Wrong:
        return name


def _aliased(name: str) -> ApiKey:
    rows = list(ApiKey.objects.with_names([name]).select_related("team")[:2])
    if not rows:
        raise Wrong(404, f"there is no key with the alias `{name[:200]}`", "key_alias")
    if len(rows) > 1:
        raise Wrong(
            400, f"several keys have the alias `{name[:200]}`: name one by key", "key_alias"
        )
    return rows[0]


# --- reading ----------------------------------------------------------------------------


@router.get("/key/info", auth=Holder(), operation_id="litellm_key_info")
def info(request: HttpRequest, key: str = "") -> HttpResponse:
    """A key by `key`; without it the one that asks. Another's is told to admins only."""
    return guarded(lambda: _info(request.auth, key))  # type: ignore[attr-defined]


def _info(caller: Caller, key_or_alias: str) -> HttpResponse:
    if not key_or_alias and caller.key is None:
        raise Wrong(400, "key: says which key is meant", "key")
    if caller.admin:
        row = find_key(key_or_alias)
    elif caller.key is None:
        raise Wrong(403, "key: only an admin may read keys", "key", "auth_error")
    else:
        row = _caller_key(caller.key, key_or_alias)
    return reply({"key": key_or_alias or row.prefix, "info": key_info(row, Spending())})


def _caller_key(key: Key, key_or_alias: str) -> ApiKey:
    """Return the row of the caller's own key. Raises Wrong if another key is named."""
    row = ApiKey.objects.select_related("team").get(pk=key.id)
    if (
        key_or_alias
        and key_or_alias not in (row.prefix, key.prefix)
        and store.digest(key_or_alias) != key.digest
    ):
        raise Wrong(403, "key: another key is told to admins only", "key", "auth_error")
    return row


class KeyFilters(Schema):
    """Which keys to list, as LiteLLM's /key/list has it; empty is any."""

    page: int = 1
    size: int = 10
    team_id: str = ""
    user_id: str = ""
    key_hash: str = ""
    key_alias: str = ""
    search: str = ""
    substring_matching: bool = False
    status: str = ""
    expires: str = ""
    sort_by: str = ""
    sort_order: str = "desc"
    return_full_object: bool = False
    include_team_keys: bool = False
    include_created_by_keys: bool = False


@router.get("/key/list", auth=Reader(), operation_id="litellm_key_list")
def list_keys(request: HttpRequest, filters: Query[KeyFilters]) -> HttpResponse:
    """A page of keys, the newest first: their tokens, or with `return_full_object` all of each."""
    unknown = set(request.GET) - set(KeyFilters.model_fields)
    return guarded(lambda: _listed(filters, unknown))


def _listed(filters: KeyFilters, unknown: Iterable[str]) -> HttpResponse:
    for name in sorted(unknown):
        raise Wrong(400, f"{name}: keys are not found by it here", name)
    if filters.page < 1 or not 1 <= filters.size <= MAX_PAGE:
        raise Wrong(400, f"page must be at least 1 and size 1 to {MAX_PAGE}", "size")
    rows = _sorted(_matching(filters), filters)
    count = rows.count()
    start = (filters.page - 1) * filters.size
    page = list(rows[start : start + filters.size])
    spending = Spending()
    keys = [key_info(row, spending) if filters.return_full_object else row.prefix for row in page]
    return reply(
        {
            "keys": keys,
            "total_count": count,
            "current_page": filters.page,
            "total_pages": -(-count // filters.size),
        }
    )


def _matching(filters: KeyFilters) -> QuerySet[ApiKey]:
    texts = (
        filters.team_id,
        filters.user_id,
        filters.key_hash,
        filters.key_alias,
        filters.search,
    )
    rows = ApiKey.objects.select_related("team")
    if any("\0" in text for text in texts):
        return rows.none()
    if filters.team_id:
        rows = rows.filter(team__name=filters.team_id)
    if filters.key_hash:
        rows = rows.filter(Q(prefix=filters.key_hash) | Q(digest=store.digest(filters.key_hash)))
    how = "__icontains" if filters.substring_matching else ""
    if filters.key_alias:
        rows = rows.filter(**{f"name{how}": filters.key_alias})
    if filters.user_id:
        rows = rows.filter(**{f"user{how}": filters.user_id})
    if filters.search:
        rows = rows.filter(Q(prefix=filters.search) | Q(name__icontains=filters.search))
    return _in_state(_in_state(rows, filters.status, "status"), filters.expires, "expires")


def _in_state(rows: QuerySet[ApiKey], state: str, param: str) -> QuerySet[ApiKey]:
    """Return the keys in a state; for `expires`, blocked keys are included. Raises Wrong."""
    over = Q(expires_at__lte=timezone.now())
    if param == "status" and state:
        if state == "revoked":
            return rows.exclude(revoked_at=None)
        rows = rows.filter(revoked_at=None)
    match state:
        case "":
            return rows
        case "active":
            return rows.exclude(over)
        case "expired":
            return rows.filter(over)
    allowed_states = "active or expired" + (" or revoked" if param == "status" else "")
    raise Wrong(400, f"{param}: must be {allowed_states}; deleted keys are not kept", param)


def _sorted(rows: QuerySet[ApiKey], filters: KeyFilters) -> QuerySet[ApiKey]:
    column = _SORTS.get(filters.sort_by or "created_at")
    if column is None:
        raise Wrong(400, f"sort_by: must be one of {', '.join(_SORTS)}", "sort_by")
    if filters.sort_order not in {"asc", "desc"}:
        raise Wrong(400, "sort_order: must be asc or desc", "sort_order")
    sign = "-" if filters.sort_order == "desc" else ""
    return rows.order_by(f"{sign}{column}", f"{sign}pk")
