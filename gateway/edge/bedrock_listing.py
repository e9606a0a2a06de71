"""The models list in Amazon Bedrock's format (ListFoundationModels, GetFoundationModel)."""

from __future__ import annotations

from typing import Any

from gateway.edge.admission import unknown_model, usable_names
from gateway.routing.snapshot import ApiKey, Route, Snapshot, may_use


def bedrock_models_page(snapshot: Snapshot, key: ApiKey | None, query: str) -> dict[str, Any]:
    """All models that the key may use; Bedrock's list has no pages."""
    names = usable_names(snapshot, key)
    return {"modelSummaries": [_bedrock_entry(name, snapshot.route(name)) for name in names]}


def bedrock_model_entry(snapshot: Snapshot, key: ApiKey | None, name: str) -> dict[str, Any]:
    """One entry of the list. Raises GatewayError (404)."""
    route = snapshot.route(name)
    if route is None or (key is not None and not may_use(key, route)):
        raise unknown_model(snapshot, key, name)
    return {"modelDetails": _bedrock_entry(name, route)}


def _bedrock_entry(name: str, route: Route | None) -> dict[str, Any]:
    provider, input_modalities, output_modality = "dragoman", ["TEXT"], "TEXT"
    if route is not None and route.targets:
        model = route.targets[0].model
        provider = model.provider.name
        if model.traits.images:
            input_modalities = ["TEXT", "IMAGE"]
        if model.traits.embeddings == "only":
            output_modality = "EMBEDDING"
    return {
        "modelArn": f"arn:aws:bedrock:::foundation-model/{name}",
        "modelId": name,
        "modelName": name,
        "providerName": provider,
        "inputModalities": input_modalities,
        "outputModalities": [output_modality],
        "responseStreamingSupported": output_modality == "TEXT",
        "inferenceTypesSupported": ["ON_DEMAND"],
        "modelLifecycle": {"status": "ACTIVE"},
    }
