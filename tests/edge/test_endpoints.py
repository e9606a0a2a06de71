"""Every path spelling that clients are known to use is routed."""

from __future__ import annotations

import tracemalloc

import pytest

from gateway.edge.endpoints import dialect_of, find_endpoint, is_edge_path
from gateway.edge.path_aliases import resolve_path


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/chat/completions", "/v1/chat/completions"),
        ("/v1/messages", "/v1/messages"),
        ("/messages", "/v1/messages"),
        ("/anthropic/v1/messages", "/v1/messages"),
        ("/anthropic/messages", "/v1/messages"),
        ("/anthropic/v1/messages/count_tokens", "/v1/messages/count_tokens"),
        ("/v1/messages/count_tokens", "/v1/messages/count_tokens"),
        ("/v1/models", "/v1/models"),
        ("/models", "/v1/models"),
        ("/anthropic/v1/models", "/v1/models"),
        ("/v1/models/openai/gpt-4o", "/v1/models/{id}"),
        ("/v1", "/v1"),
        ("/v1/", "/v1"),
        ("/anthropic", "/v1"),
        ("/api/hello", "/api/hello"),
        ("/v1/completions", "/v1/completions"),
        ("/completions", "/v1/completions"),
        ("/v1/embeddings", "/v1/embeddings"),
        ("/embeddings", "/v1/embeddings"),
        ("/api/chat", "/api/chat"),
        ("/api/generate", "/api/generate"),
        ("/api/embed", "/api/embed"),
        ("/api/embeddings", "/api/embeddings"),
        ("/api/tags", "/api/tags"),
        ("/api/show", "/api/show"),
        ("/api/version", "/api/version"),
        ("/api/ps", "/api/ps"),
        ("/ollama/api/chat", "/api/chat"),
    ],
)
def test_a_path_is_found_and_routed_to_the_edge(path: str, name: str) -> None:
    endpoint = find_endpoint(path)
    assert endpoint is not None
    assert endpoint.name == name
    assert is_edge_path(path)


@pytest.mark.parametrize(
    ("path", "action", "model", "stream"),
    [
        ("/bedrock/model/gw/invoke", "generate", "gw", False),
        ("/model/arn:a/b/invoke-with-response-stream", "generate", "arn:a/b", True),
        ("/model/us.anthropic.claude-v1:0/converse", "generate", "us.anthropic.claude-v1:0", False),
        ("/model/openai/gpt-4o/converse-stream", "generate", "openai/gpt-4o", True),
        ("/bedrock/model/gw/count-tokens", "count_tokens", "gw", False),
        ("/foundation-models", "models", "", False),
        ("/foundation-models/openai/gpt-4o", "model", "openai/gpt-4o", False),
    ],
)
def test_bedrocks_paths_name_the_model(path: str, action: str, model: str, stream: bool) -> None:
    endpoint = find_endpoint(path)
    assert endpoint is not None
    assert is_edge_path(path)
    is_messages = "/invoke" in path
    assert endpoint.dialect == ("anthropic_messages" if is_messages else "bedrock_converse")
    assert (endpoint.action, endpoint.model, endpoint.stream) == (action, model, stream)


def test_litellms_management_of_models_is_no_path_of_bedrock() -> None:
    for path in ("/model/info", "/model/new", "/model/converse", "/model"):
        assert not is_edge_path(path)
        assert find_endpoint(path) is None


@pytest.mark.parametrize(
    ("path", "verb", "model", "stream"),
    [
        ("/v1beta/models/gw:generateContent", "generate", "gw", False),
        ("/v1/models/gw:generateContent", "generate", "gw", False),
        ("/v1/v1beta/models/gw:generateContent", "generate", "gw", False),
        ("/models/gw:generateContent", "generate", "gw", False),
        ("/v1beta/models/openai/gpt-4o:streamGenerateContent", "generate", "openai/gpt-4o", True),
        ("/v1beta/models/llama3:8b:countTokens", "count_tokens", "llama3:8b", False),
        ("/v1beta/models/gw:batchEmbedContents", "embed", "gw", False),
        ("/v1beta/tunedModels/x:generateContent", "generate", "tunedModels/x", False),
        (
            "/v1beta1/projects/p/locations/l/publishers/google/models/gw:generateContent",
            "generate",
            "gw",
            False,
        ),
        ("/v1/publishers/google/models/gw:predict", "embed", "gw", False),
    ],
)
def test_googles_paths_name_the_model(path: str, verb: str, model: str, stream: bool) -> None:
    endpoint = find_endpoint(path)
    assert endpoint is not None
    assert endpoint.dialect == "gemini"
    assert (endpoint.action, endpoint.model, endpoint.stream) == (verb, model, stream)
    assert is_edge_path(path)


@pytest.mark.parametrize(
    ("path", "action", "arg"),
    [("/v1beta/models", "models", ""), ("/v1beta/models/openai/gpt-4o", "model", "openai/gpt-4o")],
)
def test_googles_lists_have_paths_of_their_own(path: str, action: str, arg: str) -> None:
    endpoint = find_endpoint(path)
    assert endpoint is not None
    assert (endpoint.action, endpoint.arg, endpoint.dialect) == (action, arg, "gemini")
    assert is_edge_path(path)


def test_a_model_id_may_contain_slashes() -> None:
    endpoint = find_endpoint("/v1/models/openrouter/meta/llama-3:free")
    assert endpoint is not None
    assert endpoint.arg == "openrouter/meta/llama-3:free"


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        ("//v1//chat/completions", "openai_chat"),
        ("//chat/completions", "openai_chat"),
        ("///v1/messages", "anthropic_messages"),
        ("//anthropic/v1/messages", "anthropic_messages"),
        ("//v1beta/models/gw:generateContent", "gemini"),
        ("//api/chat", "ollama"),
        ("//model/gw/converse", "bedrock_converse"),
    ],
)
def test_a_path_with_two_slashes_gets_an_error_in_the_clients_dialect(
    path: str, dialect: str
) -> None:
    assert is_edge_path(path)
    assert find_endpoint(path) is None
    assert dialect_of(path, {}) == dialect


@pytest.mark.parametrize("path", ["/v1/nothing", "/anthropic/v1/complete", "/v1/messages/x"])
def test_an_unknown_path_has_no_endpoint(path: str) -> None:
    assert find_endpoint(path) is None


@pytest.mark.parametrize(
    "path",
    [
        *("/api/requests", "/api/translate", "/api/openapi.json", "/api/chats", "/api/tags/x"),
        *("/docs", "/admin/", "/", "/console/", "/ollamas", "//console/", "//api/requests"),
    ],
)
def test_the_console_keeps_its_paths(path: str) -> None:
    assert not is_edge_path(path)


@pytest.mark.parametrize(
    "path",
    ["/v1/models/{}", "/v1/responses/{}", "/openai/deployments/{}/responses", "/x/{}"],
)
def test_long_paths_fill_little_memory(path: str) -> None:
    """Anyone can send them, also without a key."""
    tracemalloc.start()
    try:
        for number in range(1000):
            sent_path = resolve_path(path.format(f"{number}-" + "x" * 60_000))[0]
            is_edge_path(sent_path)
            find_endpoint(sent_path)
        kept_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept_bytes < 25_000_000


def test_the_dialect_of_an_error_follows_path_and_headers() -> None:
    assert dialect_of("/v1/nothing", {}) == "openai_chat"
    assert dialect_of("/v1/nothing", {"anthropic-version": "2023-06-01"}) == "anthropic_messages"
    assert dialect_of("/anthropic/v1/x", {}) == "anthropic_messages"
    assert dialect_of("/v1beta/nothing", {}) == "gemini"
    assert dialect_of("/v1/models", {"x-goog-api-key": "k"}) == "gemini"
    assert dialect_of("/v1/messages/nothing", {}) == "anthropic_messages"
    # Models whose names begin like the path of Messages.
    assert dialect_of("/v1beta/models/messages:predictLong", {}) == "gemini"
    assert dialect_of("/v1/models/messages-large", {}) == "openai_chat"
