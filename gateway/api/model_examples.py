"""Examples of responses of the model endpoints, rendered by the dialects themselves."""

from __future__ import annotations

import re
from typing import Any

from gateway.canon.embeddings import EmbedRequest, EmbedResponse
from gateway.canon.errors import Error
from gateway.canon.request import Text
from gateway.canon.response import Response, Usage
from gateway.dialects import DIALECTS
from gateway.dialects.base import ErrorReply, ResponseContext
from gateway.edge.endpoints import Endpoint, dialect_of, find_endpoint
from gateway.edge.path_aliases import resolve_path

MODEL = "demo"
_ID = "0123456789abcdef"
_CREATED = 1_767_225_600
_PROMPT_TOKENS = 8
_RESPONSE = Response(
    parts=(Text(text="Hello! How can I help?"),), usage=Usage(input=_PROMPT_TOKENS, output=7)
)
_EMBEDDING = EmbedResponse(vectors=([0.0123, -0.0456, 0.0789],), usage=Usage(input=_PROMPT_TOKENS))
_RATE_LIMIT_ERROR = Error(
    kind="rate_limit",
    message="the key is limited to 60 requests per minute; 60 are used",
    retry_after_s=12,
)
# Actions with paths whose response is not that of the action.
_OTHER_RESPONSES = re.compile(r"/responses/(?!input_tokens)|batchEmbedContents$")


def response_example(path: str) -> dict[str, Any] | None:
    """The JSON response at a path of the API reference; None if it has no example."""
    endpoint = _find_endpoint(path)
    if endpoint is None or endpoint.stream or _OTHER_RESPONSES.search(path):
        return None
    dialect = DIALECTS[endpoint.dialect]
    context = ResponseContext(id=_ID, created=_CREATED, model=MODEL, endpoint=endpoint.name)
    if endpoint.action == "generate":
        return dialect.client.render_response(_RESPONSE, context)[0]
    if endpoint.action == "count_tokens":
        return dialect.client.render_count(_PROMPT_TOKENS)
    if endpoint.action == "embed" and dialect.embed_client is not None:
        request = EmbedRequest(model=MODEL, inputs=("Hello",))
        return dialect.embed_client.render_embed(_EMBEDDING, request, context)
    return None


def error_example(path: str) -> dict[str, Any] | None:
    """The JSON of an error at a path of the API reference; None if it has no example."""
    if _find_endpoint(path) is None:
        return None
    dialect = dialect_of(resolve_path(path.replace("{id}", MODEL))[0], {})
    return error_reply(dialect, _RATE_LIMIT_ERROR).body


def _find_endpoint(path: str) -> Endpoint | None:
    return find_endpoint(resolve_path(path.replace("{id}", MODEL))[0])


def error_reply(dialect: str, error: Error) -> ErrorReply:
    """An error as clients of a dialect receive it."""
    return DIALECTS[dialect].client.render_error(error, f"req_{_ID}")
