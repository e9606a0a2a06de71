"""Every spelling of a path that a client is known to use is understood."""

from __future__ import annotations

import pytest

from gateway.edge.endpoints import dialect_of, find, is_edge


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
    ],
)
def test_a_path_is_found_and_routed_to_the_edge(path: str, name: str) -> None:
    endpoint = find(path)
    assert endpoint is not None
    assert endpoint.name == name
    assert is_edge(path)


def test_a_model_id_may_hold_slashes() -> None:
    endpoint = find("/v1/models/openrouter/meta/llama-3:free")
    assert endpoint is not None
    assert endpoint.arg == "openrouter/meta/llama-3:free"


@pytest.mark.parametrize("path", ["/v1/nothing", "/anthropic/v1/complete", "/v1/messages/x"])
def test_an_unknown_path_is_nothing(path: str) -> None:
    assert find(path) is None


@pytest.mark.parametrize("path", ["/api/requests", "/docs", "/admin/", "/", "/console/"])
def test_the_console_keeps_its_paths(path: str) -> None:
    assert not is_edge(path)


def test_an_error_is_told_in_the_clients_dialect() -> None:
    assert dialect_of("/v1/nothing", {}) == "openai_chat"
    assert dialect_of("/v1/nothing", {"anthropic-version": "2023-06-01"}) == "anthropic_messages"
    assert dialect_of("/anthropic/v1/x", {}) == "anthropic_messages"
