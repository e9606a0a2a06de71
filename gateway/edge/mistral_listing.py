"""The models list in Mistral's format, which shares its URL with OpenAI's.

Mistral's SDKs reject entries without `type` and `capabilities`
(https://github.com/mistralai/client-python/blob/main/src/mistralai/client/models/basemodelcard.py).
"""

from __future__ import annotations

from typing import Any

from gateway.edge.listing import model_entry, models_page
from gateway.routing.snapshot import ApiKey, Route, Snapshot


def mistral_models_page(snapshot: Snapshot, key: ApiKey | None, query: str) -> dict[str, Any]:
    """The models that the key may use."""
    page = models_page(snapshot, key, query, anthropic=False)
    entries = [_mistral_entry(entry, snapshot.route(entry["id"])) for entry in page["data"]]
    return {**page, "data": entries}


def mistral_model_entry(snapshot: Snapshot, key: ApiKey | None, name: str) -> dict[str, Any]:
    """One entry of the list. Raises GatewayError (404)."""
    entry = model_entry(snapshot, key, name, anthropic=False)
    return _mistral_entry(entry, snapshot.route(name))


def _mistral_entry(openai_entry: dict[str, Any], route: Route | None) -> dict[str, Any]:
    """The entry of OpenAI's list with Mistral's fields."""
    entry = {**openai_entry, "name": openai_entry["id"], "type": "base", "capabilities": {}}
    if route is None or not route.targets:
        return entry
    traits = route.targets[0].model.traits
    is_chat = traits.embeddings != "only"
    entry["capabilities"] = {
        "completion_chat": is_chat,
        "function_calling": is_chat and traits.tools,
        "reasoning": traits.reasoning,
        "vision": is_chat and traits.images,
        "audio": traits.audio,
    }
    if traits.context_window is not None:
        entry["max_context_length"] = traits.context_window
    return entry
