"""The models list in OpenAI's and Anthropic's formats, which share a URL."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from gateway.edge.admission import unknown_model, usable_names
from gateway.routing.snapshot import ApiKey, Route, Snapshot, may_use

# Placeholder: both dialects require a creation time, which is not meaningful for a route.
_CREATED = 1_767_225_600
_CREATED_AT = "2026-01-01T00:00:00Z"


def models_page(
    snapshot: Snapshot, key: ApiKey | None, query: str, *, anthropic: bool
) -> dict[str, Any]:
    """The models that the key may use: OpenAI's list, or a page in Anthropic's format."""
    names = usable_names(snapshot, key)
    if not anthropic:
        entries = [_openai_entry(name, snapshot.route(name)) for name in names]
        return {"object": "list", "data": entries}
    return _anthropic_page(snapshot, names, query)


def _anthropic_page(snapshot: Snapshot, names: list[str], query: str) -> dict[str, Any]:
    params = {name: values[0] for name, values in parse_qs(query).items()}
    limit = min(max(_int_or_default(params.get("limit"), 20), 1), 1000)
    has_earlier = False
    if params.get("after_id") in names:
        names = names[names.index(params["after_id"]) + 1 :]
    elif params.get("before_id") in names:
        names = names[: names.index(params["before_id"])]
        has_earlier = len(names) > limit
        names = names[-limit:]
    page = names[:limit]
    return {
        "data": [_anthropic_entry(name, snapshot.route(name)) for name in page],
        "has_more": has_earlier or len(names) > limit,
        "first_id": page[0] if page else None,
        "last_id": page[-1] if page else None,
    }


def _int_or_default(text: str | None, default: int) -> int:
    is_number = text is not None and text.isascii() and text.isdigit() and len(text) < 10
    return int(text) if text is not None and is_number else default


def model_entry(
    snapshot: Snapshot, key: ApiKey | None, name: str, *, anthropic: bool
) -> dict[str, Any]:
    """One entry of the list. Raises GatewayError (404)."""
    route = snapshot.route(name)
    if route is None or (key is not None and not may_use(key, route)):
        raise unknown_model(snapshot, key, name)
    return _anthropic_entry(name, route) if anthropic else _openai_entry(name, route)


def _openai_entry(name: str, route: Route | None) -> dict[str, Any]:
    provider_name = route.targets[0].model.provider.name if route and route.targets else "dragoman"
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": provider_name}


def _anthropic_entry(name: str, route: Route | None) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": _CREATED_AT,
    }
    if route is not None and route.targets:
        traits = route.targets[0].model.traits
        entry["max_input_tokens"] = traits.context_window
        entry["max_tokens"] = traits.max_output
    return entry
