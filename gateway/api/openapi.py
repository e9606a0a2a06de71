"""The endpoints of the edge in the OpenAPI document; they are not served by Django."""

from __future__ import annotations

import re
from typing import Any

_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
_KEY: list[dict[str, list[str]]] = [{"GatewayKey": []}, {"XApiKey": []}]

# Suffix of a path -> the required field with the model's input.
_MAIN = {
    "/messages": "messages",
    "/chat/completions": "messages",
    "/count_tokens": "messages",
    "/api/chat": "messages",
    ":generateContent": "contents",
    ":streamGenerateContent": "contents",
    ":countTokens": "contents",
    "/embeddings": "input",
    "/api/embed": "input",
    "/completions": "prompt",
    "/api/generate": "prompt",
}
_TURNS = {"type": "array", "items": {"type": "object"}}
_TEXTS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_FIELDS = {"messages": _TURNS, "contents": _TURNS, "input": _TEXTS, "prompt": _TEXTS}
_STREAMS = re.compile(r"(completions|messages|api/chat|api/generate|streamGenerateContent)$")

# (path, method, summary, tag); operations tagged `gateway` require an API key.
_ROWS: tuple[tuple[str, str, str, str], ...] = (
    ("/v1/chat/completions", "post", "OpenAI Chat Completions", "gateway"),
    ("/v1/messages", "post", "Anthropic Messages", "gateway"),
    ("/v1/messages/count_tokens", "post", "Count a Messages request's tokens", "gateway"),
    ("/v1beta/models/{id}:generateContent", "post", "Google generateContent", "gateway"),
    (
        "/v1beta/models/{id}:streamGenerateContent",
        "post",
        "Google generateContent as a stream",
        "gateway",
    ),
    (
        "/v1beta/models/{id}:countTokens",
        "post",
        "Count a generateContent request's tokens",
        "gateway",
    ),
    ("/v1beta/models", "get", "Models, in Google's shape", "gateway"),
    ("/v1beta/models/{id}", "get", "One model, in Google's shape", "gateway"),
    ("/v1/models", "get", "Models, in OpenAI's or Anthropic's shape", "gateway"),
    ("/v1/models/{id}", "get", "One model", "gateway"),
    ("/v1/completions", "post", "OpenAI text completions", "gateway"),
    ("/v1/embeddings", "post", "OpenAI Embeddings", "gateway"),
    ("/api/chat", "post", "Ollama chat", "gateway"),
    ("/api/generate", "post", "Ollama prompt", "gateway"),
    ("/api/embed", "post", "Ollama embeddings", "gateway"),
    ("/api/tags", "get", "Models, in Ollama's shape", "gateway"),
    ("/api/show", "post", "One model, in Ollama's shape", "gateway"),
    ("/health", "get", "State of this process", "operations"),
    ("/health/live", "get", "Whether the process answers", "operations"),
    ("/health/ready", "get", "Whether it takes requests", "operations"),
    ("/health/liveliness", "get", "The same, in LiteLLM's words", "operations"),
    ("/health/liveness", "get", "Whether the process answers, by its other name", "operations"),
    ("/health/readiness", "get", "Whether it takes requests, for LiteLLM", "operations"),
    ("/metrics", "get", "Prometheus metrics", "operations"),
)


def gateway_paths() -> dict[str, Any]:
    """The `paths` of the edge."""
    return {
        path: {method: _operation(path, method, summary, tag)}
        for path, method, summary, tag in _ROWS
    }


def security_schemes() -> dict[str, Any]:
    """The headers that can carry an API key."""
    return {
        "GatewayKey": {"type": "http", "scheme": "bearer"},
        "XApiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    }


def _operation(path: str, method: str, summary: str, tag: str) -> dict[str, Any]:
    description = "the answer, as the dialect of the path has it"
    operation: dict[str, Any] = {
        "summary": summary,
        "operationId": re.sub(r"[^a-z0-9]+", "_", summary.lower()),
        "tags": [tag],
        "responses": {"200": {"description": description, "content": _response_content(path, tag)}},
        "security": _KEY if tag == "gateway" else [],
    }
    if "{id}" in path:
        operation["parameters"] = [_ID]
    if tag == "gateway" and method == "post":
        operation["requestBody"] = {"required": True, "content": _body(path)}
        error = {"type": "object", "description": "as the dialect of the path has it"}
        operation["responses"]["default"] = {
            "description": "an error, in the same dialect",
            "content": {"application/json": {"schema": error}},
        }
    return operation


def _response_content(path: str, tag: str) -> dict[str, Any]:
    if path == "/metrics":
        return {"text/plain": {"schema": {"type": "string"}}}
    description = (
        "a page of the gateway's state" if tag == "operations" else "see the dialect's own"
    )
    content = {"application/json": {"schema": {"type": "object", "description": description}}}
    if _STREAMS.search(path):
        stream = {"schema": {"type": "string", "description": "events, if it is to stream"}}
        content["text/event-stream"] = stream
    return content


def _body(path: str) -> dict[str, Any]:
    """The required fields of a request body; other fields of the dialect are allowed."""
    fields: dict[str, Any] = {"model": {"type": "string", "description": "the name of a route"}}
    what = next((name for end, name in _MAIN.items() if path.endswith(end)), "")
    if path.startswith("/v1beta/"):
        fields = {}  # the model is in the path
    if what:
        fields[what] = _FIELDS[what]
    schema = {
        "type": "object",
        "properties": fields,
        "required": sorted(fields),
        "additionalProperties": True,
    }
    return {"application/json": {"schema": schema}}
