"""The endpoints of the edge in the OpenAPI document; they are not served by Django."""

from __future__ import annotations

import re
from typing import Any

from gateway.providers.passthrough_catalog import OPERATIONS, Operation

_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
_JSON, _FORM = "application/json", "multipart/form-data"
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
    "/v1/responses": "input",
    "/completions": "prompt",
    "/api/generate": "prompt",
}
_TURNS = {"type": "array", "items": {"type": "object"}}
_TEXTS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_MESSAGES = {**_TURNS, "example": [{"role": "user", "content": "Hello"}]}
_CONTENTS = {**_TURNS, "example": [{"role": "user", "parts": [{"text": "Hello"}]}]}
_INPUT = {**_TEXTS, "example": "Hello"}
_FIELDS = {"messages": _MESSAGES, "contents": _CONTENTS, "input": _INPUT, "prompt": _INPUT}
# Path of traces -> the field with the items.
_TRACES = {"/v1/traces": "resourceSpans", "/v1/traces/ingest": "data"}
_STREAMS = re.compile(r"(completions|messages|api/chat|api/generate|streamGenerateContent)$")

# (path, method, summary, tag); operations tagged `gateway` require an API key.
_ROWS: tuple[tuple[str, str, str, str], ...] = (
    ("/v1/chat/completions", "post", "OpenAI Chat Completions", "gateway"),
    ("/v1/messages", "post", "Anthropic Messages", "gateway"),
    ("/v1/messages/count_tokens", "post", "Count the tokens of a Messages request", "gateway"),
    ("/v1beta/models/{id}:generateContent", "post", "Google generateContent", "gateway"),
    (
        "/v1beta/models/{id}:streamGenerateContent",
        "post",
        "Google generateContent, streaming",
        "gateway",
    ),
    (
        "/v1beta/models/{id}:countTokens",
        "post",
        "Count the tokens of a generateContent request",
        "gateway",
    ),
    ("/v1beta/models", "get", "List models (Google format)", "gateway"),
    ("/v1beta/models/{id}", "get", "Get a model (Google format)", "gateway"),
    ("/v1/models", "get", "List models (OpenAI or Anthropic format)", "gateway"),
    ("/v1/models/{id}", "get", "Get a model", "gateway"),
    ("/v1/completions", "post", "OpenAI Completions", "gateway"),
    ("/v1/embeddings", "post", "OpenAI Embeddings", "gateway"),
    ("/v1/responses", "post", "OpenAI Responses", "gateway"),
    ("/v1/responses/{id}", "get", "A stored response", "gateway"),
    ("/v1/responses/{id}", "delete", "Delete a stored response", "gateway"),
    ("/v1/responses/{id}/cancel", "post", "Cancel a background response", "gateway"),
    ("/v1/responses/{id}/input_items", "get", "Input items of a stored response", "gateway"),
    ("/v1/responses/input_tokens", "post", "Count a Responses request's tokens", "gateway"),
    ("/v1/responses/compact", "post", "Compact a Responses conversation", "gateway"),
    ("/v1/realtime", "get", "OpenAI Realtime: a WebSocket; by HTTP it is refused", "gateway"),
    ("/v1/traces/ingest", "post", "Traces of the OpenAI Agents SDK", "gateway"),
    ("/v1/traces", "post", "Traces of OpenTelemetry (OTLP)", "gateway"),
    ("/v1beta/models/{id}:embedContent", "post", "Google embedContent", "gateway"),
    ("/v1beta/models/{id}:batchEmbedContents", "post", "Google batchEmbedContents", "gateway"),
    ("/v2/chat", "post", "Cohere Chat", "gateway"),
    ("/v2/embed", "post", "Cohere Embed", "gateway"),
    ("/model/{id}/converse", "post", "Amazon Bedrock Converse", "gateway"),
    ("/model/{id}/converse-stream", "post", "Amazon Bedrock ConverseStream", "gateway"),
    ("/model/{id}/count-tokens", "post", "Amazon Bedrock CountTokens", "gateway"),
    ("/foundation-models", "get", "List models (Amazon Bedrock format)", "gateway"),
    ("/foundation-models/{id}", "get", "Get a model (Amazon Bedrock format)", "gateway"),
    ("/api/chat", "post", "Ollama chat", "gateway"),
    ("/api/generate", "post", "Ollama generate", "gateway"),
    ("/api/embed", "post", "Ollama embeddings", "gateway"),
    ("/api/embeddings", "post", "Ollama embeddings (legacy)", "gateway"),
    ("/api/ps", "get", "List running models (Ollama format)", "gateway"),
    ("/api/version", "get", "Get the version (Ollama format)", "gateway"),
    ("/api/tags", "get", "List models (Ollama format)", "gateway"),
    ("/api/show", "post", "Show a model (Ollama format)", "gateway"),
    ("/api/hello", "get", "Connection test of Claude Code", "gateway"),
    ("/api/event_logging/batch", "post", "Telemetry of Claude Code, discarded", "gateway"),
    *(
        (f"/openai/deployments/{{id}}/{path}", "post", f"Azure OpenAI: {path}", "gateway")
        for path in (
            "chat/completions",
            "completions",
            "embeddings",
            "images/generations",
            "images/edits",
            "audio/transcriptions",
            "audio/translations",
            "audio/speech",
        )
    ),
    *(
        (f"/engines/{{id}}/{path}", "post", f"OpenAI's older API: {path}", "gateway")
        for path in ("chat/completions", "completions", "embeddings")
    ),
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
    paths: dict[str, Any] = {}
    for path, method, summary, tag in _ROWS:
        paths.setdefault(path, {})[method] = _operation(path, method, summary, tag)
    for operation in OPERATIONS:
        path, method = f"/v1/{operation.path}", operation.method.lower()
        paths.setdefault(path, {}).setdefault(method, _passthrough(operation, path, method))
    return paths


def _passthrough(operation: Operation, path: str, method: str) -> dict[str, Any]:
    summary = f"Passthrough: {operation.method} {operation.path}"
    document = _operation(path, method, summary, "gateway")
    document.pop("requestBody", None)
    if operation.body_type != "none":
        schema = {"schema": {"type": "object", "additionalProperties": True}}
        types = {"json": (_JSON,), "form": (_FORM,), "either": (_JSON, _FORM)}
        content = dict.fromkeys(types[operation.body_type], schema)
        document["requestBody"] = {"required": method == "post", "content": content}
    if operation.binary_response:
        content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
        document["responses"]["200"]["content"] = content
    return document


def security_schemes() -> dict[str, Any]:
    """The headers that can carry an API key."""
    return {
        "GatewayKey": {"type": "http", "scheme": "bearer"},
        "XApiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    }


def _operation(path: str, method: str, summary: str, tag: str) -> dict[str, Any]:
    description = "The response, in the format of the path's dialect."
    operation: dict[str, Any] = {
        "summary": summary,
        "operationId": re.sub(r"[^a-z0-9]+", "_", summary.lower()),
        "tags": [tag],
        "responses": {"200": {"description": description, "content": _response_content(path, tag)}},
        "security": _KEY if tag == "gateway" else [],
    }
    if path == "/v1/traces/ingest":
        operation["responses"] = {"204": {"description": "All items are stored."}}
    if "{id}" in path:
        operation["parameters"] = [_ID]
    if tag == "gateway" and method == "post":
        operation["requestBody"] = {"required": True, "content": _body(path)}
        error = {
            "type": "object",
            "description": "In the format of the path's dialect.",
        }
        operation["responses"]["default"] = {
            "description": "An error, in the format of the same dialect.",
            "content": {"application/json": {"schema": error}},
        }
    return operation


def _response_content(path: str, tag: str) -> dict[str, Any]:
    if path == "/metrics":
        return {"text/plain": {"schema": {"type": "string"}}}
    description = (
        "The gateway's status." if tag == "operations" else "See the documentation of the dialect."
    )
    content = {"application/json": {"schema": {"type": "object", "description": description}}}
    if _STREAMS.search(path):
        stream = {"schema": {"type": "string", "description": "Events, if the request streams."}}
        content["text/event-stream"] = stream
    return content


def _body(path: str) -> dict[str, Any]:
    """The required fields of a request body; other fields of the dialect are allowed."""
    if path in _TRACES:
        items = {"type": "array", "items": {"type": "object"}, "example": []}
        properties = {_TRACES[path]: items}
        document = {"type": "object", "properties": properties, "additionalProperties": True}
        binary = {"schema": {"type": "string", "format": "binary"}}
        protobuf = {"application/x-protobuf": binary} if path == "/v1/traces" else {}
        return {_JSON: {"schema": document}, **protobuf}
    description = "Name of a route."
    fields: dict[str, Any] = {
        "model": {"type": "string", "description": description, "example": "demo"}
    }
    what = next((name for end, name in _MAIN.items() if path.endswith(end)), "")
    if path.startswith(("/v1beta/", "/openai/", "/engines/", "/model/")):
        fields = {}  # the model is in the path
    if what:
        fields[what] = _FIELDS[what]
    if path == "/v1/messages":
        fields["max_tokens"] = {"type": "integer", "example": 1024}
    schema = {
        "type": "object",
        "properties": fields,
        "required": sorted(fields),
        "additionalProperties": True,
    }
    return {"application/json": {"schema": schema}}
