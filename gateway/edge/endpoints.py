"""Table of the paths that the gateway serves.

Every path also works without `/v1` and below `/anthropic` (clients append their
own prefix to a base URL that already has one).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

import msgspec

from gateway.edge import bedrock_paths, google_paths, passthrough, path_aliases

Action = Literal[
    "generate",
    "count_tokens",
    "embed",
    "passthrough",
    "models",
    "model",
    "metadata",
    "response",
    "traces",
    "realtime",
    "connection_test",
    "telemetry",
]


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """How one path is handled.

    `arg` is the part of the path after a prefix, if any. `model` and `stream` are set where
    the path encodes them.
    """

    name: str
    action: Action
    dialect: str
    methods: tuple[str, ...]
    arg: str = ""
    model: str = ""
    stream: bool = False


_GET_METHODS = ("GET", "HEAD")
_POST_METHODS = ("POST",)
ENDPOINTS: dict[str, Endpoint] = {
    "chat/completions": Endpoint(
        name="/v1/chat/completions", action="generate", dialect="openai_chat", methods=_POST_METHODS
    ),
    "messages": Endpoint(
        name="/v1/messages", action="generate", dialect="anthropic_messages", methods=_POST_METHODS
    ),
    "messages/count_tokens": Endpoint(
        name="/v1/messages/count_tokens",
        action="count_tokens",
        dialect="anthropic_messages",
        methods=_POST_METHODS,
    ),
    "responses": Endpoint(
        name="/v1/responses", action="generate", dialect="openai_responses", methods=_POST_METHODS
    ),
    "responses/input_tokens": Endpoint(
        name="/v1/responses/input_tokens",
        action="count_tokens",
        dialect="openai_responses",
        methods=_POST_METHODS,
    ),
    "responses/compact": Endpoint(
        name="/v1/responses/compact",
        action="generate",
        dialect="openai_responses",
        methods=_POST_METHODS,
    ),
    "models": Endpoint(
        name="/v1/models", action="models", dialect="openai_chat", methods=_GET_METHODS
    ),
    # Claude Code calls the first before its first turn and sends telemetry to the second.
    "api/hello": Endpoint(
        name="/api/hello",
        action="connection_test",
        dialect="anthropic_messages",
        methods=_GET_METHODS,
    ),
    "api/event_logging/batch": Endpoint(
        name="/api/event_logging/batch",
        action="telemetry",
        dialect="anthropic_messages",
        methods=_POST_METHODS,
    ),
    "completions": Endpoint(
        name="/v1/completions",
        action="generate",
        dialect="openai_completions",
        methods=_POST_METHODS,
    ),
    "embeddings": Endpoint(
        name="/v1/embeddings", action="embed", dialect="openai_embeddings", methods=_POST_METHODS
    ),
    "api/chat": Endpoint(
        name="/api/chat", action="generate", dialect="ollama", methods=_POST_METHODS
    ),
    "api/generate": Endpoint(
        name="/api/generate", action="generate", dialect="ollama", methods=_POST_METHODS
    ),
    "api/embed": Endpoint(
        name="/api/embed", action="embed", dialect="ollama", methods=_POST_METHODS
    ),
    # The older form of embeddings: one prompt, one vector.
    "api/embeddings": Endpoint(
        name="/api/embeddings", action="embed", dialect="ollama", methods=_POST_METHODS
    ),
    **{
        f"api/{operation}": Endpoint(
            name=f"/api/{operation}",
            action="metadata",
            dialect="ollama",
            methods=methods,
            arg=operation,
        )
        for operation, methods in (
            ("tags", _GET_METHODS),
            ("ps", _GET_METHODS),
            ("version", _GET_METHODS),
            ("show", _POST_METHODS),
        )
    },
    # A WebSocket (`realtime.serve_realtime`); by HTTP there is an explanation.
    "realtime": Endpoint(
        name="/v1/realtime", action="realtime", dialect="openai_chat", methods=_GET_METHODS
    ),
    # Spans of agents; `arg` is the format.
    "traces/ingest": Endpoint(
        name="/v1/traces/ingest",
        action="traces",
        dialect="openai_chat",
        methods=_POST_METHODS,
        arg="agents_sdk",
    ),
    "traces": Endpoint(
        name="/v1/traces",
        action="traces",
        dialect="openai_chat",
        methods=_POST_METHODS,
        arg="otlp",
    ),
    "v2/chat": Endpoint(
        name="/v2/chat", action="generate", dialect="cohere", methods=_POST_METHODS
    ),
    "v2/embed": Endpoint(name="/v2/embed", action="embed", dialect="cohere", methods=_POST_METHODS),
    # The bare base URL: served so that a client's connection test succeeds.
    "": Endpoint(name="/v1", action="connection_test", dialect="openai_chat", methods=_GET_METHODS),
}
# Only Google's clients send their key in this header.
_GOOGLE_KEY_HEADER = "x-goog-api-key"
# Cohere's SDKs share the path of the models list with others.
_SDK_NAME_HEADER, _COHERE_SDK = "x-fern-sdk-name", "cohere"
_MODEL_ENDPOINT = Endpoint(
    name="/v1/models/{id}", action="model", dialect="openai_chat", methods=_GET_METHODS
)
# The operation also depends on the method and the headers.
_PASSTHROUGH_ENDPOINT = Endpoint(
    name="passthrough", action="passthrough", dialect="openai_chat", methods=()
)
_RESPONSE_PATH = re.compile(r"responses/([^/]+)(?:/(cancel|input_items))?")
# Operations on one response, by the last segment of the path.
_RESPONSE_ENDPOINTS: dict[str | None, Endpoint] = {
    operation: Endpoint(
        name="/v1/responses/{id}" + (f"/{operation}" if operation else ""),
        action="response",
        dialect="openai_responses",
        methods=methods,
    )
    for operation, methods in (
        (None, ("GET", "DELETE")),
        ("cancel", _POST_METHODS),
        ("input_items", ("GET",)),
    )
}
# Would give a client a credential of the provider, or connect it to the provider itself.
_REALTIME_HTTP_PATH = re.compile(
    r"realtime/(?:client_secrets|sessions|transcription_sessions|translations|calls)(?:/.*)?",
    re.DOTALL,
)
_REALTIME_HTTP_ENDPOINT = Endpoint(
    name="/v1/realtime/{operation}",
    action="realtime",
    dialect="openai_chat",
    methods=(*_GET_METHODS, "POST"),
)
_PREFIX = re.compile(r"^/(?:(?:anthropic|ollama)(?:/|$))?(?:v1(?:/|$))?")

# Not the name of a model that begins so.
_MESSAGES_PATH = re.compile(r"(?:/api|/ollama)?(?:/v1)*/messages(?:/|\Z)")
_FILES_PATH = re.compile(r"^(?:/v1)?/(?:files|batches)(?:/|$)")

# Paths that the edge serves; Django serves all others.
_EDGE_PATH = re.compile(
    # Google's uploads are here only for an error in its format.
    # LiteLLM's list of models has a prefix of the edge, but belongs to the management API.
    r"(?!/v1/model/info/?\Z)/(?:(?:anthropic|ollama|v1|v1beta1?|v1alpha|v2)(?:/.*)?|upload/v1.*"
    r"|(?:chat/completions|completions|embeddings|messages|messages/count_tokens|models|models/.+)/?"
    r"|(?:responses|realtime)(?:/.*)?|traces(?:/ingest)?/?"
    # Passthrough.
    r"|(?:v2/)?rerank/?|moderations/?|(?:images|audio)/.*|messages/batches(?:/.*)?"
    r"|(?:files|batches)(?:/.*)?"
    r"|api/(?:hello|event_logging/batch)"
    r"|(?:bedrock/)?(?:model/.+/(?:converse|converse-stream|count-tokens|invoke"
    r"|invoke-with-response-stream)|foundation-models(?:/.+)?|inference-profiles)/?"
    # Ollama; all other paths below /api belong to the management API.
    r"|api/(?:chat|generate|embed|embeddings|tags|show|version|ps)"
    r"|health(?:/.*)?|metrics)",
    re.DOTALL,
)


# Below them are only paths of a vendor's clients, which get errors in its format.
_CLIENT_PREFIXES = ("/openai/", "/engines/", "/bedrock/", *path_aliases.VENDOR_PATHS)
# Ollama's management of models, whose clients also get errors in its format.
_OLLAMA_MANAGEMENT_PATH = re.compile(r"/api/(?:pull|push|create|copy|delete|blobs/[^/]+)")
_DIALECT_BY_PREFIX = {
    "/ollama": "ollama",
    "/gemini/": "gemini",
    "/vertex_ai/": "gemini",
    "/vertex-ai/": "gemini",
    "/cohere/": "cohere",
}


def _single_slash(path: str) -> str:
    """The path with one slash at its start: clients append to base URLs that end in one."""
    return "/" + path.lstrip("/") if path.startswith("//") else path


@lru_cache(maxsize=path_aliases.MAX_CACHED_PATHS)
def is_edge_path(path: str) -> bool:
    """Whether the edge serves a path, or explains in the caller's dialect why it does not."""
    path = _single_slash(path)
    if path.startswith(_CLIENT_PREFIXES) or _OLLAMA_MANAGEMENT_PATH.fullmatch(path):
        return True
    return _EDGE_PATH.fullmatch(path_aliases.resolve_path(path)[0]) is not None


@lru_cache(maxsize=path_aliases.MAX_CACHED_PATHS)
def find_endpoint(path: str) -> Endpoint | None:
    """The endpoint at a path, or None."""
    if path.startswith("//"):
        return None
    google_path = google_paths.parse(path)
    if google_path is not None:
        return _google_endpoint(google_path)
    if (bedrock_path := bedrock_paths.parse(path)) is not None:
        return _bedrock_endpoint(bedrock_path)
    relative_path = _PREFIX.sub("", path, count=1).lstrip("/").rstrip("/")
    endpoint = ENDPOINTS.get(relative_path)
    if endpoint is not None:
        return endpoint
    if relative_path.startswith("models/"):
        return msgspec.structs.replace(_MODEL_ENDPOINT, arg=relative_path.removeprefix("models/"))
    if match := _RESPONSE_PATH.fullmatch(relative_path):
        return msgspec.structs.replace(_RESPONSE_ENDPOINTS[match[2]], arg=match[1])
    if _REALTIME_HTTP_PATH.fullmatch(relative_path):
        return _REALTIME_HTTP_ENDPOINT
    if passthrough.has_operation(path):
        return _PASSTHROUGH_ENDPOINT
    return None


def is_google_files_call(path: str, headers: dict[str, str]) -> bool:
    """Whether a client of Google means Google's files or batches, not OpenAI's at this path."""
    return _GOOGLE_KEY_HEADER in headers and _FILES_PATH.search(path) is not None


def _google_endpoint(google_path: google_paths.GooglePath) -> Endpoint:
    """The endpoint of a Google path."""
    if not google_path.action:
        name = "/v1beta/models/{id}" if google_path.model else "/v1beta/models"
        action: Action = "model" if google_path.model else "models"
        return Endpoint(
            name=name, action=action, dialect="gemini", methods=_GET_METHODS, arg=google_path.model
        )
    return Endpoint(
        name=f"/v1beta/models/{{id}}:{google_path.verb}",
        action=google_path.action,
        dialect="gemini",
        methods=_POST_METHODS,
        model=google_path.model,
        stream=google_path.stream,
    )


def _bedrock_endpoint(bedrock_path: bedrock_paths.BedrockPath) -> Endpoint:
    """The endpoint of a path of Amazon Bedrock."""
    methods = _GET_METHODS if bedrock_path.action in {"models", "model"} else _POST_METHODS
    return Endpoint(
        name=bedrock_path.name,
        action=bedrock_path.action,
        dialect=bedrock_path.dialect,
        methods=methods,
        arg=bedrock_path.model if bedrock_path.action == "model" else "",
        model=bedrock_path.model,
        stream=bedrock_path.stream,
    )


def dialect_of(path: str, headers: dict[str, str]) -> str:
    """The dialect of errors at a path, which may be unknown."""
    path = _single_slash(path)
    if (
        path.startswith("/anthropic")
        or "anthropic-version" in headers
        or _MESSAGES_PATH.match(path) is not None
    ):
        return "anthropic_messages"
    for prefix, dialect in _DIALECT_BY_PREFIX.items():
        if path.startswith(prefix):
            return dialect
    if _OLLAMA_MANAGEMENT_PATH.fullmatch(path):
        return "ollama"
    if headers.get(_SDK_NAME_HEADER) == _COHERE_SDK:
        return "cohere"
    if bedrock_paths.is_bedrock(path):
        return "bedrock_converse"
    endpoint = find_endpoint(path)
    if path.startswith(("/v1beta", "/v1alpha", "/upload/")) or _GOOGLE_KEY_HEADER in headers:
        return "gemini"
    return endpoint.dialect if endpoint is not None else "openai_chat"
