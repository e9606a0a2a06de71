"""The documented fields of model requests equal those of the vendors' SDKs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from gateway.api import model_request_fields as documented
from gateway.api.openapi import gateway_paths

ROOT = Path(__file__).resolve().parents[2]
_HEADER = re.compile(r"x-dragoman-[a-z]+(?:-[a-z]+)*")
# A marker within the gateway, and names that are composed from a prefix.
_INTERNAL = {"x-dragoman-verb"}
_COMPOSED = {"x-dragoman-dropped", "x-dragoman-approximated"}


def test_fields_of_openai_are_those_of_its_sdk() -> None:
    from openai.types import completion_create_params, embedding_create_params
    from openai.types.chat import completion_create_params as chat_params
    from openai.types.responses import response_create_params

    for fields, type_ in (
        (documented.CHAT, chat_params.CompletionCreateParamsStreaming),
        (documented.COMPLETIONS, completion_create_params.CompletionCreateParamsStreaming),
        (documented.EMBEDDINGS, embedding_create_params.EmbeddingCreateParams),
        (documented.RESPONSES, response_create_params.ResponseCreateParamsStreaming),
    ):
        assert set(fields) - _names(type_) == set()


def test_fields_of_anthropic_are_those_of_its_sdk() -> None:
    from anthropic.types import message_count_tokens_params, message_create_params

    sdk_fields = _names(message_create_params.MessageCreateParamsStreaming)
    counted = _names(message_count_tokens_params.MessageCountTokensParams)
    of_the_older_version = {"temperature", "top_p", "top_k"}
    assert set(documented.MESSAGES) - sdk_fields == of_the_older_version
    assert set(documented.COUNT_TOKENS) - counted == set()


def test_fields_of_converse_are_those_of_botocore() -> None:
    import botocore.session

    model = botocore.session.get_session().get_service_model("bedrock-runtime")
    members = set(model.operation_model("Converse").input_shape.members)
    assert set(documented.CONVERSE) - members == set()


def test_fields_of_gemini_are_those_of_its_sdk() -> None:
    from google.genai import types

    # The SDK's one configuration has the fields of the body beside the contents.
    names = {field.alias for field in types.GenerateContentConfig.model_fields.values()}
    body = set(documented.GENERATE_CONTENT) - {"contents", "generationConfig"}
    assert body - names == set()


def test_fields_of_ollama_are_those_of_its_sdk() -> None:
    from ollama import _types

    for fields, model in (
        (documented.OLLAMA_CHAT, _types.ChatRequest),
        (documented.OLLAMA_GENERATE, _types.GenerateRequest),
        (documented.OLLAMA_EMBED, _types.EmbedRequest),
        (documented.OLLAMA_EMBEDDINGS, _types.EmbeddingsRequest),
    ):
        assert set(fields) - set(model.model_fields) == set()


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/openai/deployments/{id}/chat/completions"]
)
def test_the_model_is_required_where_the_path_has_none(path: str) -> None:
    schema = _body(path)
    assert ("model" in schema["required"]) is ("{id}" not in path)
    assert ("model" in schema["properties"]) is ("{id}" not in path)
    assert {"messages", "tools", "temperature"} <= set(schema["properties"])


def test_every_endpoint_of_a_dialect_has_its_own_body() -> None:
    assert "texts" in _body("/v2/embed")["properties"]
    assert set(_body("/api/embeddings")["properties"]) == {"model", "prompt"}
    assert "max_tokens" in _body("/v1/messages")["required"]


def test_the_page_of_headers_has_every_header() -> None:
    sources = (ROOT / "gateway").rglob("*.py")
    used_headers = {
        name for path in sources for name in _HEADER.findall(path.read_text(encoding="utf-8"))
    } - _INTERNAL
    listed_names = set(_HEADER.findall((ROOT / "docs" / "headers.md").read_text(encoding="utf-8")))
    assert (used_headers | _COMPOSED) - listed_names == set()
    assert listed_names - used_headers - _COMPOSED == set()


def _names(type_: Any) -> set[str]:
    return set(get_type_hints(type_))


def _body(path: str) -> Any:
    body = gateway_paths()[path]["post"]["requestBody"]
    return body["content"]["application/json"]["schema"]
