"""Amazon Bedrock's Converse, ConverseStream and CountTokens."""

from __future__ import annotations

from gateway.dialects.base import Client, Dialect, Provider
from gateway.dialects.bedrock_converse.client_request import check_passthrough, parse_request
from gateway.dialects.bedrock_converse.client_response import (
    ConverseStreamRenderer,
    render_response,
)
from gateway.dialects.bedrock_converse.context import NAME
from gateway.dialects.bedrock_converse.errors import parse_error, render_error
from gateway.dialects.bedrock_converse.messages import needs_bytes
from gateway.dialects.bedrock_converse.request import (
    provider_path,
    render_request,
    token_count_body,
)
from gateway.dialects.bedrock_converse.response import ConverseStreamParser, parse_response
from gateway.dialects.shared.last_user_text import last_user_text_reader
from gateway.dialects.shared.token_count import count_parser, count_renderer

DIALECT = Dialect(
    name=NAME,
    output_limits=(("inferenceConfig", "maxTokens"),),
    # A binary stream has no comments.
    keepalive=b"",
    client=Client(
        parse_request=parse_request,
        render_response=render_response,
        stream_renderer=ConverseStreamRenderer,
        render_error=render_error,
        render_count=count_renderer("inputTokens"),
    ),
    provider=Provider(
        path=provider_path,
        render_request=render_request,
        parse_response=parse_response,
        stream_parser=ConverseStreamParser,
        parse_error=parse_error,
        parse_count=count_parser("inputTokens"),
    ),
    model_in_path=True,
    carries_reasoning_state=True,
    # LangChain's `ChatBedrockConverse` sends reasoning back only to names of Claude models.
    may_omit_thoughts=True,
    replays_reasoning=True,
    framing="eventstream",
    check_passthrough=check_passthrough,
    token_count_body=token_count_body,
    needs_inline_media=needs_bytes,
    last_user_text=last_user_text_reader("messages", None),
)
