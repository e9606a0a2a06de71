"""Amazon Bedrock's Converse and ConverseStream: the half that calls it.

`request_out` (with `messages_out` and `blocks_out` for the history, `tools`, `thinking`,
`output`) writes a request; `stream_in` and `response` (with `usage`, `finish`, `citations`)
read an answer, `errors` a refusal. No client speaks it to the gateway.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from gateway.canon.errors import Error, bad_upstream
from gateway.canon.request import Request
from gateway.canon.response import Response
from gateway.canon.traits import Traits
from gateway.dialects.base import Dialect, RenderedRequest, Verb
from gateway.dialects.bedrock_converse import errors, request_out, response, stream_in
from gateway.dialects.bedrock_converse.blocks_out import needs_bytes
from gateway.dialects.bedrock_converse.names import NAME
from gateway.dialects.shared.provider_only import ProviderOnlyClient

# Tokens are counted by the model itself, not by an inference profile for it.
_INFERENCE_PROFILE_PREFIX = re.compile(r"^(?:us|us-gov|eu|apac|au|ca|jp|global)\.(?=[a-z0-9]+\.)")
_COUNTED_FIELDS = ("messages", "system", "toolConfig")


class _Provider:
    """Adapter for Bedrock."""

    def path(self, model: str, *, stream: bool, verb: Verb) -> str:
        if verb == "count_tokens":
            return f"/model/{quote(_INFERENCE_PROFILE_PREFIX.sub('', model), safe='')}/count-tokens"
        action = "converse-stream" if stream else "converse"
        return f"/model/{quote(model, safe='')}/{action}"

    def render_request(self, request: Request, traits: Traits) -> RenderedRequest:
        return request_out.render_request(request, traits)

    def parse_response(
        self, body: Any, traits: Traits, rendered: RenderedRequest | None
    ) -> Response:
        return response.parse_response(body, traits, rendered)

    def stream_parser(
        self, traits: Traits, rendered: RenderedRequest | None
    ) -> stream_in.ConverseStreamParser:
        return stream_in.ConverseStreamParser(traits, rendered)

    def parse_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Error:
        return errors.parse_error(status, headers, body)

    def parse_count(self, body: Any) -> int:
        tokens = body.get("inputTokens") if isinstance(body, dict) else None
        if type(tokens) is not int or tokens < 0:
            raise bad_upstream("the upstream's count holds no number of inputTokens")
        return tokens


def _count_body(body: dict[str, Any], model: str) -> dict[str, Any]:
    """The body of a token count: messages, instructions and tools."""
    return {"input": {"converse": {key: body[key] for key in _COUNTED_FIELDS if key in body}}}


DIALECT = Dialect(
    name=NAME,
    keepalive=b"",
    client=ProviderOnlyClient(NAME),
    provider=_Provider(),
    replays_reasoning=True,
    framing="eventstream",
    serves_clients=False,
    token_count_body=_count_body,
    needs_inline_media=needs_bytes,
)
