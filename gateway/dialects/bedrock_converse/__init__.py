"""Amazon Bedrock's Converse and ConverseStream, for providers only."""

from __future__ import annotations

from gateway.dialects.base import Dialect, Provider
from gateway.dialects.bedrock_converse.context import NAME
from gateway.dialects.bedrock_converse.errors import parse_error
from gateway.dialects.bedrock_converse.messages import needs_bytes
from gateway.dialects.bedrock_converse.request import (
    provider_path,
    render_request,
    token_count_body,
)
from gateway.dialects.bedrock_converse.response import ConverseStreamParser, parse_response
from gateway.dialects.shared.provider_only import provider_only_client
from gateway.dialects.shared.token_count import count_parser

DIALECT = Dialect(
    name=NAME,
    keepalive=b"",
    client=provider_only_client(NAME),
    provider=Provider(
        path=provider_path,
        render_request=render_request,
        parse_response=parse_response,
        stream_parser=ConverseStreamParser,
        parse_error=parse_error,
        parse_count=count_parser("inputTokens"),
    ),
    replays_reasoning=True,
    framing="eventstream",
    serves_clients=False,
    token_count_body=token_count_body,
    needs_inline_media=needs_bytes,
)
