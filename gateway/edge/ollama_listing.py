"""What Ollama's clients ask before they chat: the models, one of them, the version."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import msgspec

from gateway.canon.errors import GatewayError, invalid
from gateway.edge.auth import find_route
from gateway.edge.listing import visible_names
from gateway.routing.snapshot import ApiKey, Route, Snapshot

# The release whose API is served; clients compare it with the least that they need.
API_VERSION = "0.13.0"
# Routes have no birthday worth telling.
_MODIFIED_AT = "2026-01-01T00:00:00Z"
_ARCHITECTURE = "dragoman"


def version() -> dict[str, Any]:
    """The answer of /api/version."""
    return {"version": API_VERSION}


def running_models() -> dict[str, Any]:
    """The answer of /api/ps: no model is in this machine's memory."""
    return {"models": []}


def tags(snapshot: Snapshot, key: ApiKey | None) -> dict[str, Any]:
    """The answer of /api/tags: what the key may use."""
    names = visible_names(snapshot, key)
    return {"models": [_tag(name, snapshot.route(name)) for name in names]}


def _tag(name: str, route: Route | None) -> dict[str, Any]:
    return {
        "name": name,
        "model": name,
        "modified_at": _MODIFIED_AT,
        "size": 0,
        "digest": sha256(name.encode()).hexdigest(),
        "details": _details(route),
    }


def _details(route: Route | None) -> dict[str, Any]:
    provider_name = (
        route.targets[0].model.provider.name if route and route.targets else _ARCHITECTURE
    )
    return {
        "parent_model": "",
        "format": "",
        "family": provider_name,
        "families": [provider_name],
        "parameter_size": "",
        "quantization_level": "",
    }


def show(snapshot: Snapshot, key: ApiKey | None, body: bytes) -> dict[str, Any]:
    """The answer of /api/show: what a model can do. Raises GatewayError (400, 403, 404)."""
    route = find_route(snapshot, key, _requested_model(body))
    info: dict[str, Any] = {"general.architecture": _ARCHITECTURE, "general.basename": route.name}
    capabilities = ["completion"]
    if route.targets:
        traits = route.targets[0].model.traits
        if traits.context_window is not None:
            info[f"{_ARCHITECTURE}.context_length"] = traits.context_window
        capabilities += ["tools"] if traits.tools else []
        capabilities += ["vision"] if traits.images else []
        capabilities += ["thinking"] if traits.reasoning else []
    return {
        "modelfile": "",
        "parameters": "",
        "template": "",
        "details": _details(route),
        "model_info": info,
        "capabilities": capabilities,
        "modified_at": _MODIFIED_AT,
    }


def _requested_model(body: bytes) -> str:
    try:
        fields = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise invalid("the request body must be a JSON object") from None
    # `name` is what older clients write.
    name = fields.get("model") or fields.get("name")
    if not isinstance(name, str):
        raise invalid("model is required: the name of a route or `provider/model`", "model")
    return name


def answer_metadata(
    operation: str, snapshot: Snapshot, key: ApiKey | None, body: bytes
) -> dict[str, Any]:
    """The answer of one of these paths. Raises GatewayError."""
    match operation:
        case "tags":
            return tags(snapshot, key)
        case "show":
            return show(snapshot, key, body)
        case "ps":
            return running_models()
        case "version":
            return version()
        case _:
            raise GatewayError(invalid(f"nothing is known of {operation}").error)
