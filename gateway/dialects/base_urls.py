"""Converts base URLs as other programs write them to the form that is stored here."""

from __future__ import annotations

from urllib.parse import urlsplit

from gateway.canon.model_names import encode_segment
from gateway.dialects import DIALECTS
from gateway.providers.profile import Preset


def normalize_base_url(preset: Preset, base_url: str, model: str) -> str:
    """Return the base URL without the path that the dialect appends for this model.

    A self-hosted server's URL without a path gets the `/v1` of its preset.
    """
    dialect = DIALECTS[preset.dialect]
    path = dialect.provider.path(model, stream=False, verb="generate")
    base_url = base_url.rstrip("/").removesuffix(path).rstrip("/")
    if base_url.endswith("/rerank"):
        base_url = base_url.removesuffix("/rerank")
        if path.startswith(("/v1/", "/v2/")):  # the version belongs to the path of a call
            base_url = base_url.removesuffix("/v1").removesuffix("/v2")
    if (template := preset.paths.get("generate")) is not None:
        base_url = _without_model_path(base_url, template, model)
    if dialect.model_in_path:
        # LiteLLM's base includes the version, which is part of the path here.
        base_url = base_url.removesuffix("/" + path.split("/")[1])
    if preset.local and preset.base_url.endswith("/v1") and not urlsplit(base_url).path:
        return f"{base_url}/v1"
    return base_url


def _without_model_path(base_url: str, template: str, model: str) -> str:
    """Return the base URL without the path of the call, or of the model, of this template."""
    head, _, action = template.partition("{model}")
    model_path = head + encode_segment(model)
    return base_url.removesuffix(action).removesuffix(model_path)
