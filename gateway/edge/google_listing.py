"""The models list in Google's format."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from gateway.canon.errors import invalid
from gateway.edge.admission import unknown_model, usable_names
from gateway.routing.snapshot import ApiKey, Route, Snapshot, may_use

_METHODS = ("generateContent", "countTokens", "embedContent")
_DEFAULT_PAGE_SIZE, _MAX_PAGE_SIZE = 50, 1000


def google_models_page(snapshot: Snapshot, key: ApiKey | None, query: str) -> dict[str, Any]:
    """One page of the models that the key may use; `nextPageToken` is the next offset."""
    params = {name: values[0] for name, values in parse_qs(query).items()}
    size = _int_param(params, "pageSize", _DEFAULT_PAGE_SIZE) or _DEFAULT_PAGE_SIZE
    start = _int_param(params, "pageToken", 0)
    names = usable_names(snapshot, key)
    end = start + min(size, _MAX_PAGE_SIZE)
    page: dict[str, Any] = {
        "models": [_google_entry(n, snapshot.route(n)) for n in names[start:end]]
    }
    if end < len(names):
        page["nextPageToken"] = str(end)
    return page


def _int_param(params: dict[str, str], name: str, default: int) -> int:
    text = params.get(name, "")
    if not text:
        return default
    if not text.isdecimal() or len(text) > 9:
        raise invalid(f"{name} must be a whole number from 0", name)
    return int(text)


def google_model_entry(snapshot: Snapshot, key: ApiKey | None, name: str) -> dict[str, Any]:
    """One entry of the list. Raises GatewayError (404)."""
    route = snapshot.route(name)
    if route is None or (key is not None and not may_use(key, route)):
        raise unknown_model(snapshot, key, name)
    return _google_entry(name, route)


def _google_entry(name: str, route: Route | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": f"models/{name}",
        "version": "1",
        "displayName": name,
        "supportedGenerationMethods": list(_METHODS),
    }
    if route is not None and route.targets:
        traits = route.targets[0].model.traits
        limits = {"inputTokenLimit": traits.context_window, "outputTokenLimit": traits.max_output}
        row |= {key: value for key, value in limits.items() if value is not None}
        row["thinking"] = traits.reasoning
        if traits.embeddings == "only":
            row["supportedGenerationMethods"] = ["embedContent"]
    return row
