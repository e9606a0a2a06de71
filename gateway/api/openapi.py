"""The gateway's own endpoints in the OpenAPI document; the edge serves them, not Django."""

from __future__ import annotations

from typing import Any

_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
_KEY: list[dict[str, list[str]]] = [{"GatewayKey": []}, {"XApiKey": []}]
_ANY = {"application/json": {"schema": {"type": "object"}}}

# (path, method, summary, tag, needs a key)
_ROWS: tuple[tuple[str, str, str, str, bool], ...] = (
    ("/v1/chat/completions", "post", "OpenAI Chat Completions", "gateway", True),
    ("/v1/messages", "post", "Anthropic Messages", "gateway", True),
    (
        "/v1/messages/count_tokens",
        "post",
        "Count a Messages request's tokens",
        "gateway",
        True,
    ),
    (
        "/v1beta/models/{id}:generateContent",
        "post",
        "Google generateContent",
        "gateway",
        True,
    ),
    (
        "/v1beta/models/{id}:streamGenerateContent",
        "post",
        "Google generateContent as a stream",
        "gateway",
        True,
    ),
    (
        "/v1beta/models/{id}:countTokens",
        "post",
        "Count a generateContent request's tokens",
        "gateway",
        True,
    ),
    ("/v1beta/models", "get", "Models, in Google's shape", "gateway", True),
    ("/v1beta/models/{id}", "get", "One model, in Google's shape", "gateway", True),
    ("/v1/models", "get", "Models, in OpenAI's or Anthropic's shape", "gateway", True),
    ("/v1/models/{id}", "get", "One model", "gateway", True),
    ("/v1/completions", "post", "OpenAI text completions", "gateway", True),
    ("/v1/embeddings", "post", "OpenAI Embeddings", "gateway", True),
    ("/api/chat", "post", "Ollama chat", "gateway", True),
    ("/api/generate", "post", "Ollama prompt", "gateway", True),
    ("/api/embed", "post", "Ollama embeddings", "gateway", True),
    ("/api/tags", "get", "Models, in Ollama's shape", "gateway", True),
    ("/api/show", "post", "One model, in Ollama's shape", "gateway", True),
    ("/health", "get", "State of this process", "operations", False),
    ("/health/live", "get", "Whether the process answers", "operations", False),
    ("/health/ready", "get", "Whether it takes requests", "operations", False),
    ("/metrics", "get", "Prometheus metrics", "operations", False),
)


def gateway_paths() -> dict[str, Any]:
    """The `paths` that the edge serves."""
    return {
        path: {method: _operation(path, summary, tag, needs_key=needs_key)}
        for path, method, summary, tag, needs_key in _ROWS
    }


def security_schemes() -> dict[str, Any]:
    """Where a gateway key may stand."""
    return {
        "GatewayKey": {"type": "http", "scheme": "bearer"},
        "XApiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    }


def operation_takes_body(path: str) -> bool:
    """Whether it is a call of a model and not a list of them."""
    return "models" not in path or ":" in path


def _operation(path: str, summary: str, tag: str, *, needs_key: bool) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": summary,
        "operationId": summary.lower().replace(" ", "_").replace("'", ""),
        "tags": [tag],
        "responses": {"200": {"description": "the answer, in the dialect of the path"}},
        "security": _KEY if needs_key else [],
    }
    if "{id}" in path:
        operation["parameters"] = [_ID]
    if tag == "gateway" and operation_takes_body(path):
        operation["requestBody"] = {"required": True, "content": _ANY}
        operation["responses"]["default"] = {"description": "an error, in the same dialect"}
    return operation
