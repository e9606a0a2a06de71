"""Amazon Bedrock's Converse and ConverseStream, for providers only."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from gateway.dialects.base import Dialect, Provider, Verb
from gateway.dialects.bedrock_converse.context import NAME
from gateway.dialects.bedrock_converse.errors import parse_error
from gateway.dialects.bedrock_converse.messages import needs_bytes
from gateway.dialects.bedrock_converse.request import render_request
from gateway.dialects.bedrock_converse.response import ConverseStreamParser, parse_response
from gateway.dialects.shared.provider_only import provider_only_client
from gateway.dialects.shared.token_count import count_parser

# Tokens are counted by the model itself, not by an inference profile for it.
_INFERENCE_PROFILE_PREFIX = re.compile(r"^(?:us|us-gov|eu|apac|au|ca|jp|global)\.(?=[a-z0-9]+\.)")
_COUNTED_FIELDS = ("messages", "system", "toolConfig")


def _count_body(body: dict[str, Any], model: str) -> dict[str, Any]:
    """The body of a token count: messages, instructions and tools."""
    return {"input": {"converse": {key: body[key] for key in _COUNTED_FIELDS if key in body}}}


def _path(model: str, *, stream: bool, verb: Verb) -> str:
    if verb == "count_tokens":
        return f"/model/{quote(_INFERENCE_PROFILE_PREFIX.sub('', model), safe='')}/count-tokens"
    action = "converse-stream" if stream else "converse"
    return f"/model/{quote(model, safe='')}/{action}"


DIALECT = Dialect(
    name=NAME,
    keepalive=b"",
    client=provider_only_client(NAME),
    provider=Provider(
        path=_path,
        render_request=render_request,
        parse_response=parse_response,
        stream_parser=ConverseStreamParser,
        parse_error=parse_error,
        parse_count=count_parser("inputTokens"),
    ),
    replays_reasoning=True,
    framing="eventstream",
    serves_clients=False,
    token_count_body=_count_body,
    needs_inline_media=needs_bytes,
)
