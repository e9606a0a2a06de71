"""The models list in Cohere's format, which shares its URL with OpenAI's and Anthropic's."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from gateway.edge.admission import unknown_model, usable_names
from gateway.routing.snapshot import ApiKey, Route, Snapshot, may_use

_DEFAULT_PAGE_SIZE, _MAX_PAGE_SIZE = 20, 1000


def cohere_models_page(snapshot: Snapshot, key: ApiKey | None, query: str) -> dict[str, Any]:
    """One page of the models that the key may use; `next_page_token` is the next offset."""
    params = {name: values[0] for name, values in parse_qs(query).items()}
    names = usable_names(snapshot, key)
    entries = [_cohere_entry(name, snapshot.route(name)) for name in names]
    if endpoint := params.get("endpoint"):
        entries = [entry for entry in entries if endpoint in entry["endpoints"]]
    start = _natural_or_default(params.get("page_token"), 0)
    size = min(_natural_or_default(params.get("page_size"), _DEFAULT_PAGE_SIZE), _MAX_PAGE_SIZE)
    end = start + (size or _DEFAULT_PAGE_SIZE)
    page: dict[str, Any] = {"models": entries[start:end]}
    if end < len(entries):
        page["next_page_token"] = str(end)
    return page


def _natural_or_default(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isdecimal() and len(text) <= 9 else default


def cohere_model_entry(snapshot: Snapshot, key: ApiKey | None, name: str) -> dict[str, Any]:
    """One entry of the list. Raises GatewayError (404)."""
    route = snapshot.route(name)
    if route is None or (key is not None and not may_use(key, route)):
        raise unknown_model(snapshot, key, name)
    return _cohere_entry(name, route)


def _cohere_entry(name: str, route: Route | None) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": name, "endpoints": ["chat"], "finetuned": False}
    if route is None or not route.targets:
        return entry
    traits = route.targets[0].model.traits
    if traits.embeddings == "only":
        entry["endpoints"] = ["embed"]
    if traits.context_window is not None:
        entry["context_length"] = traits.context_window
    features = {"tools": traits.tools, "vision": traits.images, "reasoning": traits.reasoning}
    entry["features"] = [feature for feature, is_supported in features.items() if is_supported]
    return entry
