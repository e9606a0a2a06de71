"""The endpoints of the edge in the OpenAPI document; they are not served by Django."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from gateway.api import model_request_fields as fields
from gateway.api.model_examples import error_example, response_example
from gateway.providers.passthrough_catalog import OPERATIONS, Operation

_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
_STRING_SCHEMA = {"type": "string"}
_JSON, _FORM = "application/json", "multipart/form-data"
_KEY: list[dict[str, list[str]]] = [{"GatewayKey": []}, {"XApiKey": []}]


class _Body(NamedTuple):
    """A JSON body: its fields, those that are required, and the vendor's reference."""

    fields: fields.Schema
    required: tuple[str, ...]
    reference: str = ""


# End of a path -> the fields of its body, those that are required, and the vendor's reference.
_OPENAI_DOCS = "https://platform.openai.com/docs/api-reference"
_OLLAMA_DOCS = "https://docs.ollama.com/api"
_GOOGLE_DOCS = "https://ai.google.dev/api"
_BEDROCK_DOCS = "https://docs.aws.amazon.com/bedrock/latest/APIReference"
_ANTHROPIC_DOCS = "https://platform.claude.com/docs/en/api"
_BODIES = {
    "/chat/completions": _Body(fields.CHAT, ("model", "messages"), f"{_OPENAI_DOCS}/chat/create"),
    "/completions": _Body(
        fields.COMPLETIONS, ("model", "prompt"), f"{_OPENAI_DOCS}/completions/create"
    ),
    "/v2/embed": _Body(
        fields.COHERE_EMBED,
        ("model", "texts", "input_type"),
        "https://docs.cohere.com/reference/embed",
    ),
    "/api/embed": _Body(fields.OLLAMA_EMBED, ("model", "input"), f"{_OLLAMA_DOCS}/embed"),
    "/api/embeddings": _Body(
        fields.OLLAMA_EMBEDDINGS, ("model", "prompt"), f"{_OLLAMA_DOCS}/embed"
    ),
    "/v1/embeddings": _Body(
        fields.EMBEDDINGS, ("model", "input"), f"{_OPENAI_DOCS}/embeddings/create"
    ),
    "/embeddings": _Body(
        fields.EMBEDDINGS, ("model", "input"), f"{_OPENAI_DOCS}/embeddings/create"
    ),
    "/v1/responses": _Body(
        fields.RESPONSES, ("model", "input"), f"{_OPENAI_DOCS}/responses/create"
    ),
    "/v1/messages": _Body(
        fields.MESSAGES,
        ("model", "messages", "max_tokens"),
        f"{_ANTHROPIC_DOCS}/messages",
    ),
    "/messages/count_tokens": _Body(
        fields.COUNT_TOKENS,
        ("model", "messages"),
        f"{_ANTHROPIC_DOCS}/messages-count-tokens",
    ),
    ":generateContent": _Body(
        fields.GENERATE_CONTENT,
        ("contents",),
        f"{_GOOGLE_DOCS}/generate-content",
    ),
    ":streamGenerateContent": _Body(
        fields.GENERATE_CONTENT,
        ("contents",),
        f"{_GOOGLE_DOCS}/generate-content",
    ),
    ":countTokens": _Body(
        {"contents": fields.GENERATE_CONTENT["contents"]},
        ("contents",),
        f"{_GOOGLE_DOCS}/tokens",
    ),
    "/v2/chat": _Body(
        fields.COHERE_CHAT,
        ("model", "messages"),
        "https://docs.cohere.com/reference/chat",
    ),
    **dict.fromkeys(
        ("/invoke", "/invoke-with-response-stream"),
        _Body(
            {"anthropic_version": fields.ANTHROPIC_VERSION, **fields.MESSAGES},
            ("anthropic_version", "messages", "max_tokens"),
            f"{_BEDROCK_DOCS}/API_runtime_InvokeModel.html",
        ),
    ),
    "/converse": _Body(fields.CONVERSE, (), f"{_BEDROCK_DOCS}/API_runtime_Converse.html"),
    "/converse-stream": _Body(
        fields.CONVERSE, (), f"{_BEDROCK_DOCS}/API_runtime_ConverseStream.html"
    ),
    "/api/chat": _Body(fields.OLLAMA_CHAT, ("model", "messages"), f"{_OLLAMA_DOCS}/chat"),
    "/api/generate": _Body(fields.OLLAMA_GENERATE, ("model", "prompt"), f"{_OLLAMA_DOCS}/generate"),
}
# Headers of model requests and responses; docs/headers.md has all of them.
_HEADERS = [
    {"name": name, "in": "header", "required": False, "description": text, "schema": _STRING_SCHEMA}
    for name, text in {
        "x-dragoman-session": "Id of the conversation: for sticky routing and the request log.",
        "x-dragoman-end-user": "Id of the end user: for limits, budgets and the request log.",
        "x-dragoman-tags": "Tags, separated by commas: they select targets.",
        "x-request-id": "The client's id of the request; it is returned and logged.",
    }.items()
]
_RESPONSE_HEADERS = {
    name: {"description": text, "schema": _STRING_SCHEMA}
    for name, text in {
        "x-request-id": "Id of the request: the client's, else the gateway's.",
        "x-dragoman-target": "The provider and model that answered.",
        "x-dragoman-attempts": "Number of attempts, if there were several.",
        "x-dragoman-cost-usd": "The charge in US dollars; not of streams.",
        "x-dragoman-cache": "`hit`, `semantic`, `miss` or `bypass`, on routes with a cache.",
        "x-dragoman-dropped": "Fields of the request that the provider's API does not have.",
        "x-dragoman-approximated": "Fields that were translated with a different effect.",
    }.items()
}
_MODEL_ONLY = _Body({"model": fields.CHAT["model"]}, ("model",))
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
    ("/v1/realtime", "get", "OpenAI Realtime (WebSocket only)", "gateway"),
    ("/v1/traces/ingest", "post", "Traces of the OpenAI Agents SDK", "gateway"),
    ("/v1/traces", "post", "Traces of OpenTelemetry (OTLP)", "gateway"),
    ("/v1beta/models/{id}:embedContent", "post", "Google embedContent", "gateway"),
    ("/v1beta/models/{id}:batchEmbedContents", "post", "Google batchEmbedContents", "gateway"),
    ("/v2/chat", "post", "Cohere Chat", "gateway"),
    ("/v2/embed", "post", "Cohere Embed", "gateway"),
    ("/model/{id}/converse", "post", "Amazon Bedrock Converse", "gateway"),
    ("/model/{id}/converse-stream", "post", "Amazon Bedrock ConverseStream", "gateway"),
    ("/model/{id}/invoke", "post", "Amazon Bedrock InvokeModel of Claude models", "gateway"),
    (
        "/model/{id}/invoke-with-response-stream",
        "post",
        "Amazon Bedrock InvokeModelWithResponseStream of Claude models",
        "gateway",
    ),
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
    ("/health", "get", "Status of the process", "operations"),
    ("/health/live", "get", "Liveness probe", "operations"),
    ("/health/ready", "get", "Readiness probe", "operations"),
    ("/health/liveliness", "get", "Liveness probe (LiteLLM's path)", "operations"),
    ("/health/liveness", "get", "Liveness probe (alias)", "operations"),
    ("/health/readiness", "get", "Readiness probe (LiteLLM's path)", "operations"),
    ("/metrics", "get", "Prometheus metrics", "operations"),
)


def gateway_paths() -> dict[str, Any]:
    """The `paths` of the edge."""
    paths: dict[str, Any] = {}
    for path, method, summary, tag in _ROWS:
        paths.setdefault(path, {})[method] = _build_operation(path, method, summary, tag)
    for operation in OPERATIONS:
        path, method = f"/v1/{operation.path}", operation.method.lower()
        paths.setdefault(path, {}).setdefault(
            method, _passthrough_operation(operation, path, method)
        )
    return paths


def _passthrough_operation(operation: Operation, path: str, method: str) -> dict[str, Any]:
    summary = f"Passthrough: {operation.method} {operation.path}"
    document = _build_operation(path, method, summary, "gateway")
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


def _build_operation(path: str, method: str, summary: str, tag: str) -> dict[str, Any]:
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
        operation["requestBody"] = {"required": True, "content": _body_schema(path)}
        if body := _body_of(path):
            operation["parameters"] = [*operation.get("parameters", ()), *_HEADERS]
            operation["responses"]["200"]["headers"] = _RESPONSE_HEADERS
            operation["externalDocs"] = {"url": body.reference}
        error: dict[str, Any] = {
            "type": "object",
            "description": "In the format of the path's dialect.",
        }
        if example := error_example(path):
            error["example"] = example
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
    schema: dict[str, Any] = {"type": "object", "description": description}
    if tag == "gateway" and (example := response_example(path)):
        schema["example"] = example
    content: dict[str, Any] = {"application/json": {"schema": schema}}
    if _STREAMS.search(path):
        stream = {"schema": {"type": "string", "description": "Events, if the request streams."}}
        content["text/event-stream"] = stream
    return content


def _body_schema(path: str) -> dict[str, Any]:
    """The fields of a request body; other fields of the dialect are allowed."""
    if path in _TRACES:
        items = {"type": "array", "items": {"type": "object"}, "example": []}
        properties = {_TRACES[path]: items}
        document = {"type": "object", "properties": properties, "additionalProperties": True}
        binary = {"schema": {"type": "string", "format": "binary"}}
        protobuf = {"application/x-protobuf": binary} if path == "/v1/traces" else {}
        return {_JSON: {"schema": document}, **protobuf}
    known_fields, required, _reference = _body_of(path) or _MODEL_ONLY
    if path.startswith(
        ("/v1beta/", "/openai/", "/engines/", "/model/")
    ):  # the model is in the path
        known_fields = {name: field for name, field in known_fields.items() if name != "model"}
    schema = {
        "type": "object",
        "properties": known_fields,
        "required": [name for name in known_fields if name in required],
        "additionalProperties": True,
    }
    return {"application/json": {"schema": schema}}


def _body_of(path: str) -> _Body | None:
    return next((body for end, body in _BODIES.items() if path.endswith(end)), None)
