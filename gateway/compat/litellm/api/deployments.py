"""LiteLLM's endpoints that add and delete models: `/model/new` and `/model/delete`.

Modelled on litellm/proxy/management_endpoints/model_management_endpoints.py (1.106.2). An entry is
read like one of `model_list` in a configuration file. The ID of a model is that of its target.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router

from gateway import store
from gateway.api.auth import Admin
from gateway.api.idempotency import run_once
from gateway.compat.litellm.api.failures import Wrong, body_of, guarded, reply, reshaped
from gateway.compat.litellm.api.models import entry_of
from gateway.compat.litellm.config.apply import add_deployments
from gateway.compat.litellm.config.parse import read_files
from gateway.compat.litellm.config.reader import File, Mistake, to_node
from gateway.compat.litellm.config.upload import open_environment
from gateway.models import Route, Target
from gateway.store.documents import Owned, owned

router = Router(tags=["litellm"])

_FIELDS = frozenset({"model_name", "litellm_params", "model_info"})
_FILE = "request"
_TEXT = {"type": "string"}
_MAX_ID_DIGITS = 18


def _wants(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


@router.post(
    "/model/new",
    auth=Admin(),
    operation_id="litellm_model_new",
    openapi_extra=_wants(
        {
            "model_name": _TEXT,
            "litellm_params": {"type": "object"},
            "model_info": {"type": "object"},
        },
        "model_name",
        "litellm_params",
    ),
)
def new(request: HttpRequest) -> HttpResponse:
    """Add a deployment: a target of the route `model_name`, which is created if there is none."""
    return reshaped(run_once(request, lambda: guarded(lambda: _new(body_of(request)))))


@router.post(
    "/model/delete",
    auth=Admin(),
    operation_id="litellm_model_delete",
    openapi_extra=_wants({"id": _TEXT}, "id"),
)
def delete(request: HttpRequest) -> HttpResponse:
    """Delete a deployment by its `id` in `/model/info`; with the last one, its route."""
    return guarded(lambda: _delete(body_of(request)))


def _new(fields: dict[str, Any]) -> HttpResponse:
    for name in sorted(set(fields) - _FIELDS):
        raise Wrong(400, f"{name}: there is no such field", name)
    entry = {name: value for name, value in fields.items() if value is not None}
    info = entry.get("model_info")
    if isinstance(info, dict):
        entry["model_info"] = {name: value for name, value in info.items() if name != "id"}
    root = to_node({"model_list": [entry]}, _FILE)
    try:
        config = read_files(_FILE, [File(root, [])], open_environment())
    except Mistake as mistake:
        field = mistake.field.removeprefix("model_list[0].")
        raise Wrong(400, f"{field}: {mistake.why}" if field else mistake.why, field) from None
    notes = [
        note.removeprefix(f"{_FILE}:0: ").removeprefix("model_list[0].") for note in config.notes
    ]
    if not config.routes:
        raise Wrong(400, "; ".join(notes) or "the model is not supported", "litellm_params")
    targets = add_deployments(config)
    pk = targets[0].pk
    route = store.load_snapshot().routes.get(targets[0].route.name)
    found = [target for target in (route.targets if route else ()) if target.id == pk]
    if route is None or not found:
        raise Wrong(400, "the model cannot be used with these litellm_params", "litellm_params")
    answer = entry_of(route.name, found[0], admin=True)
    return reply({"model_id": str(pk), **answer, "notes": notes})


def _delete(fields: dict[str, Any]) -> HttpResponse:
    for name in sorted(set(fields) - {"id"}):
        raise Wrong(400, f"{name}: there is no such field", name)
    model_id = fields.get("id")
    if not isinstance(model_id, str) or not model_id:
        raise Wrong(400, "id: is required", "id")
    pk = int(model_id) if model_id.isdecimal() and len(model_id) <= _MAX_ID_DIGITS else 0
    target = Target.objects.select_related("route").filter(pk=pk).first()
    if target is None:
        raise Wrong(400, f"Model with id={model_id[:200]} not found in db", "id")
    for row in (target, target.route):
        if owner_ref := owned(row):
            raise Owned("", f"{row} is owned by {owner_ref}; remove it there")
    route: Route = target.route
    target.delete()
    if not route.targets.exists():
        route.delete()
    return reply({"message": f"Model: {model_id} deleted successfully"})
