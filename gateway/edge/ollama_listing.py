"""Metadata for Ollama's clients: the models, one model, the version."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import msgspec

from gateway.canon.errors import GatewayError, invalid
from gateway.edge.admission import find_route, usable_names
from gateway.routing.snapshot import ApiKey, Route, Snapshot

# The release whose API is served; clients compare it with their minimum version.
API_VERSION = "0.13.0"
# Placeholder: a modification time is not meaningful for a route.
_MODIFIED_AT = "2026-01-01T00:00:00Z"
_ARCHITECTURE = "dragoman"


def version() -> dict[str, Any]:
    """The response of /api/version."""
    return {"version": API_VERSION}


def running_models() -> dict[str, Any]:
    """The response of /api/ps: no model is loaded on this machine."""
    return {"models": []}


def tags(snapshot: Snapshot, key: ApiKey | None) -> dict[str, Any]:
    """The response of /api/tags: the models that the key may use."""
    names = usable_names(snapshot, key)
    return {"models": [_tag_entry(name, snapshot.route(name)) for name in names]}


def _tag_entry(name: str, route: Route | None) -> dict[str, Any]:
    return {
        "name": name,
        "model": name,
        "modified_at": _MODIFIED_AT,
        "size": 0,
        "digest": sha256(name.encode()).hexdigest(),
        "details": _model_details(route),
    }


def _model_details(route: Route | None) -> dict[str, Any]:
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
    """The response of /api/show: a model's capabilities. Raises GatewayError (400, 403, 404)."""
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
        if traits.embeddings == "only":
            capabilities = ["embedding"]
    return {
        "modelfile": "",
        "parameters": "",
        "template": "",
        "details": _model_details(route),
        "model_info": info,
        "capabilities": capabilities,
        "modified_at": _MODIFIED_AT,
    }


def _requested_model(body: bytes) -> str:
    try:
        fields = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise invalid("the request body must be a JSON object") from None
    # Older clients send `name`.
    name = fields.get("model") or fields.get("name")
    if not isinstance(name, str):
        raise invalid("model is required: the name of a route or `provider/model`", "model")
    return name


def answer_metadata(
    operation: str, snapshot: Snapshot, key: ApiKey | None, body: bytes
) -> dict[str, Any]:
    """The response for a metadata endpoint (`Endpoint.arg`). Raises GatewayError."""
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
            raise GatewayError(invalid(f"there is no information about {operation}").error)
