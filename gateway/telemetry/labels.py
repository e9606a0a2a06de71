"""Names of operations and providers in OpenTelemetry's semantic conventions for generative AI.

https://opentelemetry.io/docs/specs/semconv/registry/attributes/gen-ai/
"""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec

from gateway.relay.exchange.log_record import LogRecord
from gateway.routing.snapshot import Snapshot

_OPERATIONS = {
    "gemini": "generate_content",
    "openai_completions": "text_completion",
    "openai_embeddings": "embeddings",
}
# Presets that the conventions name differently; others keep the preset's name.
_PROVIDERS = {
    "azure_openai": "azure.ai.openai",
    "azure-openai-v1": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "azure-anthropic": "azure.ai.inference",
    "bedrock": "aws.bedrock",
    "bedrock-anthropic": "aws.bedrock",
    "vertex": "gcp.vertex_ai",
    "vertex-anthropic": "gcp.vertex_ai",
    "vertex-openai": "gcp.vertex_ai",
    "gemini": "gcp.gemini",
    "gemini-openai": "gcp.gemini",
    "openai_responses": "openai",
    "mistral": "mistral_ai",
    "xai": "x_ai",
}


class ProviderLabel(msgspec.Struct, frozen=True):
    """A provider's name in the conventions, and the server that is called."""

    name: str
    address: str = ""
    port: int = 0


def provider_labels(snapshot: Snapshot) -> dict[str, ProviderLabel]:
    """The labels of all providers, by the provider's name."""
    labels = {}
    for provider in snapshot.providers.values():
        url = urlsplit(provider.base_url)
        port = url.port or (443 if url.scheme == "https" else 80)
        name = _PROVIDERS.get(provider.preset, provider.preset)
        labels[provider.name] = ProviderLabel(name, url.hostname or "", port)
    return labels


def operation_name(record: LogRecord, dialect: str) -> str:
    """The operation of a request or of an attempt in this dialect."""
    if "embed" in record.endpoint.lower():
        return "embeddings"
    return _OPERATIONS.get(dialect, "chat")
