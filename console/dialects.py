"""Names, paths and headers of the dialects in the console.

Clients may use all of `gateway.dialects.CLIENT_DIALECTS`. The playground and the dry run offer
those of `CONSOLE_DIALECTS`, which support conversations. Embeddings have none, so they have a
title here but are not offered.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from gateway.dialects import CLIENT_DIALECTS, DIALECTS
from gateway.dialects.base import Dialect

Json = dict[str, Any]

TITLES: dict[str, str | Promise] = {
    "openai_chat": "OpenAI Chat",
    "openai_responses": "OpenAI Responses",
    "openai_completions": "OpenAI Completions",
    "openai_embeddings": "OpenAI Embeddings",
    "anthropic_messages": "Anthropic Messages",
    "gemini": "Gemini",
    "bedrock_converse": "Bedrock Converse",
    "cohere": "Cohere",
    "ollama": "Ollama",
    "passthrough": _("Passthrough"),
}
CONSOLE_DIALECTS: dict[str, Dialect] = {
    name: CLIENT_DIALECTS[name]
    for name in (
        "openai_chat",
        "openai_responses",
        "anthropic_messages",
        "gemini",
        "ollama",
        "bedrock_converse",
        "cohere",
        "openai_completions",
    )
}
# Path of a dialect.
_PATHS = {
    "openai_chat": "/v1/chat/completions",
    "openai_responses": "/v1/responses",
    "openai_completions": "/v1/completions",
    "openai_embeddings": "/v1/embeddings",
    "anthropic_messages": "/v1/messages",
    "ollama": "/api/chat",
    "cohere": "/v2/chat",
}
# Path of a whole and of a streamed response, for dialects whose paths contain the model.
_MODEL_PATHS = {
    "gemini": (
        "/v1beta/models/{model}:generateContent",
        "/v1beta/models/{model}:streamGenerateContent?alt=sse",
    ),
    "bedrock_converse": ("/model/{model}/converse", "/model/{model}/converse-stream"),
}
# Headers of a dialect's clients in addition to the content type; `{key}` is the credential.
_HEADERS: dict[str, tuple[str, ...]] = {
    "anthropic_messages": ("x-api-key: {key}", "anthropic-version: 2023-06-01"),
    "gemini": ("x-goog-api-key: {key}",),
}
_BEARER = ("Authorization: Bearer {key}",)


def title(name: str) -> str:
    """Return the title of a dialect, by default its name with spaces."""
    return str(TITLES.get(name, name.replace("_", " ")))


def path_of(name: str, model: str, *, stream: bool) -> str:
    """Return the path and query of a conversation in this dialect."""
    if name in _PATHS:
        return _PATHS[name]
    return _MODEL_PATHS[name][stream].format(model=quote(model, safe="/:@"))


def headers_of(name: str, key: str) -> tuple[str, ...]:
    """Return the headers with which a client of the dialect sends `key`."""
    return tuple(header.format(key=key) for header in _HEADERS.get(name, _BEARER))


def with_path_fields(name: str, body: Json, model: str, *, stream: bool) -> Json:
    """Merge a client's body with the fields that its dialect has in the URL path."""
    if not DIALECTS[name].model_in_path:
        return body
    return {**body, "model": model, "stream": stream}
