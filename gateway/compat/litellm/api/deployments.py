"""LiteLLM's endpoints that change models: `/model/new`, `/model/update`, `/model/delete`.

Modeled on litellm/proxy/management_endpoints/model_management_endpoints.py (1.106.2). An entry is
read like one of `model_list` in a configuration file. The ID of a model is that of its target.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from ninja import Router

from gateway import store
from gateway.api.auth import Admin
from gateway.compat.litellm.api.failures import (
    RejectedRequest,
    body_of,
    reply,
    run_in_transaction,
    run_once_in_transaction,
)
from gateway.compat.litellm.api.fields import STRING_SCHEMA, request_body_schema
from gateway.compat.litellm.api.models import entry_of
from gateway.compat.litellm.config.apply import add_deployments
from gateway.compat.litellm.config.defaults import edit_reason
from gateway.compat.litellm.config.deployment import COSTS, EDIT_PARAMETERS, MODEL_FIELDS
from gateway.compat.litellm.config.parse import read_files
from gateway.compat.litellm.config.reader import ConfigError, File, to_node
from gateway.compat.litellm.config.upload import open_environment
from gateway.models import Model, Route, RowSource, Target
from gateway.models.limits import BUDGETS, LIMITS
from gateway.providers.auth import VARIABLE_PREFIX
from gateway.routing import snapshot
from gateway.store.documents import OwnedElsewhere
from gateway.store.documents.provider import is_new_recipient, recipient_of

router = Router(tags=["litellm"])

_FIELDS = frozenset({"model_name", "litellm_params", "model_info"})
_FILE = "request"
_MAX_ID_DIGITS = 18
# Parameters of a deployment -> the columns of its target that they set.
_LIMIT_COLUMNS = tuple(LIMITS)
_COLUMNS: dict[str, tuple[str, ...]] = {
    "weight": ("weight",),
    "order": ("order",),
    "tags": ("tags",),
    "timeout": ("timeouts",),
    "stream_timeout": ("timeouts",),
    "rpm": ("weight", *_LIMIT_COLUMNS),
    "tpm": ("weight", *_LIMIT_COLUMNS),
    "max_parallel_requests": _LIMIT_COLUMNS,
    "max_budget": tuple(BUDGETS),
    "budget_duration": tuple(BUDGETS),
}
# Parameters that change neither the provider nor the model.
_TARGET_PARAMETERS = frozenset({*_COLUMNS, *EDIT_PARAMETERS})


@router.post(
    "/model/new",
    auth=Admin(),
    operation_id="litellm_model_new",
    openapi_extra=request_body_schema(
        {
            "model_name": STRING_SCHEMA,
            "litellm_params": {"type": "object"},
            "model_info": {"type": "object"},
        },
        "model_name",
        "litellm_params",
    ),
)
def new(request: HttpRequest) -> HttpResponse:
    """Add a deployment: a target of the route `model_name`, which is created if there is none."""
    return run_once_in_transaction(request, _create_deployment)


@router.post(
    "/model/update",
    auth=Admin(),
    operation_id="litellm_model_update",
    openapi_extra=request_body_schema(
        {
            "model_name": STRING_SCHEMA,
            "litellm_params": {"type": "object"},
            "model_info": {
                "type": "object",
                "properties": {"id": STRING_SCHEMA},
                "required": ["id"],
            },
        },
        "model_info",
    ),
)
def update(request: HttpRequest) -> HttpResponse:
    """Change a deployment by `model_info.id`, which stays; parameters that are not sent stay."""
    return run_in_transaction(lambda: _update_deployment(body_of(request)))


@router.post(
    "/model/delete",
    auth=Admin(),
    operation_id="litellm_model_delete",
    openapi_extra=request_body_schema({"id": STRING_SCHEMA}, "id"),
)
def delete(request: HttpRequest) -> HttpResponse:
    """Delete a deployment by its `id` in `/model/info`; with the last one, its route."""
    return run_in_transaction(lambda: _delete_deployment(body_of(request)))


def _create_deployment(fields: dict[str, Any]) -> HttpResponse:
    for name in sorted(set(fields) - _FIELDS):
        raise RejectedRequest(400, f"{name}: there is no such field", name)
    entry = {name: value for name, value in fields.items() if value is not None}
    (target, *_), notes = _add_entry(entry)
    notes += _note_shared_model(target, entry.get("litellm_params"), entry.get("model_info"))
    return _deployment_response(target, notes)


def _add_entry(entry: dict[str, Any]) -> tuple[list[Target], list[str]]:
    """Add an entry of `model_list`; return its targets, and notes.

    It has several targets only if it is the wildcard of a cloud with several APIs.

    Raises RejectedRequest, OwnedElsewhere.
    """
    info = entry.get("model_info")
    if isinstance(info, dict):
        entry["model_info"] = {name: value for name, value in info.items() if name != "id"}
    try:
        root = to_node({"model_list": [entry]}, _FILE)
        config = read_files(_FILE, [File(root, [])], open_environment(), uploaded=True)
    except ConfigError as mistake:
        field = mistake.field.removeprefix("model_list[0].")
        raise RejectedRequest(
            400, f"{field}: {mistake.reason}" if field else mistake.reason, field
        ) from None
    if not config.routes:
        reasons = "; ".join(map(_without_position, config.remarks))
        raise RejectedRequest(400, reasons or "the model is not supported", "litellm_params")
    targets, notes = add_deployments(config)
    return targets, [_without_position(note) for note in (*config.remarks, *notes)]


def _without_position(note: str) -> str:
    """The note without a position in a file, as a request has none."""
    return note.removeprefix(f"{_FILE}:0: ").removeprefix("model_list[0].")


def _note_shared_model(target: Target, *sent_fields: Any) -> list[str]:
    """Note that prices and capabilities belong to a model, which other targets use too."""
    names = {name for fields in sent_fields if isinstance(fields, dict) for name in fields}
    if names.isdisjoint(MODEL_FIELDS):
        return []
    if target.model.source == RowSource.FILE or target.model.targets.count() < 2:
        return []
    return [f"prices and capabilities of {target.model} also apply to its other targets"]


def _deployment_response(row: Target, notes: list[str]) -> HttpResponse:
    """Return a deployment as in `/model/info`. Raises RejectedRequest if it cannot be used."""
    route, target = _find_in_snapshot(row)
    if route is None or target is None:
        raise RejectedRequest(
            400, "the model cannot be used with these litellm_params", "litellm_params"
        )
    entry = entry_of(route.name, target, admin=True)
    return reply({"model_id": str(row.pk), **entry, "notes": notes})


def _find_in_snapshot(row: Target) -> tuple[snapshot.Route | None, snapshot.Target | None]:
    """Return the route and the target of a row in the snapshot; None if they are not in it."""
    route = store.load_snapshot().routes.get(row.route.name)
    matching_targets = [
        target for target in (route.targets if route else ()) if target.id == row.pk
    ]
    return route, matching_targets[0] if matching_targets else None


def _update_deployment(fields: dict[str, Any]) -> HttpResponse:
    for name in sorted(set(fields) - _FIELDS):
        raise RejectedRequest(400, f"{name}: there is no such field", name)
    info, changed_params = fields.get("model_info"), fields.get("litellm_params") or {}
    if not isinstance(info, dict):
        raise RejectedRequest(400, "model_info: needs the id of the model", "model_info")
    if not isinstance(changed_params, dict):
        raise RejectedRequest(400, "litellm_params: must be a mapping", "litellm_params")
    target = _find_target(info.get("id"), "model_info.id")
    old_provider, old_route = target.model.provider, target.route
    with transaction.atomic():
        entry = {
            "model_name": fields.get("model_name") or old_route.name,
            "litellm_params": {**_params_of(target, changed_params), **changed_params},
            "model_info": info,
        }
        (added_row, *targets_of_other_apis), notes = _add_entry(entry)
        for other_target in targets_of_other_apis:
            _remove_target(other_target)
        new_provider = added_row.model.provider
        is_secret_sent = changed_params.get("api_key") is None and bool(new_provider.credential)
        recipients = recipient_of(old_provider), recipient_of(new_provider)
        if is_secret_sent and is_new_recipient(*recipients):
            reason = "the server has changed: enter the key again to confirm sending it there"
            raise RejectedRequest(
                400, f"litellm_params.api_key: {reason}", "litellm_params.api_key"
            )
        target.route = added_row.route
        if not (changed_params.keys() <= _TARGET_PARAMETERS and info.keys() <= {"id"}):
            target.model = added_row.model
        _remove_prices(target.model, {**info, **changed_params})
        target.edits = _updated_edits(target.edits, added_row.edits, changed_params)
        for parameter, columns in _COLUMNS.items():
            if parameter in changed_params:
                for column in columns:
                    setattr(target, column, getattr(added_row, column))
        added_row.delete()
        target.save()
        if not old_route.targets.exists():
            old_route.delete()
        notes += _note_shared_model(target, changed_params, info)
        return _deployment_response(target, notes)


def _remove_prices(model: Model, sent_fields: dict[str, Any]) -> None:
    """Remove the prices that are sent as null, unless the model belongs to a file."""
    columns = [
        f"price_{COSTS[name]}"
        for name in COSTS
        if name in sent_fields and sent_fields[name] is None
    ]
    if not columns or model.source == RowSource.FILE:
        return
    for column in columns:
        setattr(model, column, None)
    model.save()


def _updated_edits(
    old_edits: list[dict[str, Any]], new_edits: list[dict[str, Any]], changed_params: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return a deployment's edits: new ones of the changed parameters, the others as they were."""
    reasons = {edit_reason(name) for name in changed_params}
    changed_edits = {(edit["op"], edit["path"]) for edit in new_edits}
    unchanged_edits = [
        edit
        for edit in old_edits
        if edit.get("reason") not in reasons and (edit["op"], edit["path"]) not in changed_edits
    ]
    return [*unchanged_edits, *new_edits]


def _params_of(target: Target, changed_params: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of a deployment that define its provider and its model."""
    _, current_params = _find_in_snapshot(target)
    if current_params is None:
        return {}
    provider = target.model.provider
    params = {"model": entry_of("", current_params, admin=True)["litellm_params"]["model"]}
    model = changed_params.get("model")
    if isinstance(model, str) and model.partition("/")[0] != params["model"].partition("/")[0]:
        return params  # another provider: neither its address nor its key stay
    if provider.credential_env:
        credential = f"{VARIABLE_PREFIX}{provider.credential_env}"
    else:
        credential = store.credential_of(provider)
    version = (provider.query or {}).get("api-version")
    provider_params = {
        "api_base": provider.base_url,
        "api_key": credential,
        "extra_headers": provider.headers,
        "api_version": version,
        "ssl_verify": None if provider.ssl_verify else False,
        "drop_params": None if provider.drop_params else False,
    }
    return {
        **params,
        **{name: value for name, value in provider_params.items() if value not in ("", None)},
    }


def _delete_deployment(fields: dict[str, Any]) -> HttpResponse:
    for name in sorted(set(fields) - {"id"}):
        raise RejectedRequest(400, f"{name}: there is no such field", name)
    _remove_target(_find_target(fields.get("id"), "id"))
    return reply({"message": f"Model: {fields['id']} deleted successfully"})


def _remove_target(target: Target) -> None:
    """Delete a target; with the last one, its route."""
    route: Route = target.route
    target.delete()
    if not route.targets.exists():
        route.delete()


def _find_target(model_id: Any, field: str) -> Target:
    """Return the target with this ID.

    Raises RejectedRequest, or OwnedElsewhere if a file has it.
    """
    if not isinstance(model_id, str) or not model_id:
        raise RejectedRequest(400, f"{field}: is required", field)
    pk = int(model_id) if model_id.isdecimal() and len(model_id) <= _MAX_ID_DIGITS else 0
    target = Target.objects.select_related("route", "model__provider").filter(pk=pk).first()
    if target is None:
        raise RejectedRequest(400, f"Model with id={model_id[:200]} not found in db", field)
    for row in (target, target.route):
        if row.read_only:
            raise OwnedElsewhere("", f"{row} is managed by {row.managed_by}; change it there")
    return target
