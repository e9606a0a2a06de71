"""Converts base URLs as other programs write them to the form that is stored here."""

from __future__ import annotations

from urllib.parse import urlsplit

from gateway.dialects import DIALECTS
from gateway.providers.profile import Preset


def normalize_base_url(preset: Preset, base_url: str, model: str) -> str:
    """Return the base URL without the path that the dialect appends for this model.

    A self-hosted server's URL without a path gets the `/v1` of its preset.
    """
    dialect = DIALECTS[preset.dialect]
    path = dialect.provider.path(model, stream=False, verb="generate")
    base_url = base_url.rstrip("/").removesuffix(path).rstrip("/")
    if dialect.model_in_path:
        # LiteLLM's base includes the version, which is part of the path here.
        base_url = base_url.removesuffix("/" + path.split("/")[1])
    if preset.local and preset.base_url.endswith("/v1") and not urlsplit(base_url).path:
        return f"{base_url}/v1"
    return base_url
