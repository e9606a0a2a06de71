"""Rebuilds the translators of a logged request from its row and bodies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from console.tracing.stream_timeline import TranslateFrame
from gateway.canon.errors import GatewayError, invalid
from gateway.canon.request import Request
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.dialects.base import Dialect, RenderedRequest, ResponseContext, Verb
from gateway.framing.formats import STREAM_FORMATS
from gateway.framing.sse import Frame
from gateway.providers import edits as profile_edits
from gateway.providers.profile import Edit


class TranslationPath(msgspec.Struct, frozen=True, kw_only=True):
    """Translation between a client dialect and an upstream model.

    `verb` is the operation; `endpoint` is the path, on which the response may depend.
    """

    client: str
    upstream: str
    traits: Traits = Traits()
    edits: tuple[Edit, ...] = ()
    headers: dict[str, str] = {}
    request_id: str = ""
    created: int = 0
    model: str = ""
    reasoning_field: str = "reasoning_content"
    verb: Verb = "generate"
    endpoint: str = ""

    @property
    def client_dialect(self) -> Dialect:
        """Dialect of the client."""
        return DIALECTS[self.client]

    @property
    def upstream_dialect(self) -> Dialect:
        """Dialect of the provider."""
        return DIALECTS[self.upstream]

    def translate_request(self, body: Any) -> dict[str, Any]:
        """Translate a client body to the upstream body. Raises GatewayError."""
        rendered_request = self.render_request(body)
        upstream_body = rendered_request.body
        if self.edits:
            upstream_body, _ = profile_edits.apply(self.edits, upstream_body)
        if self.verb == "count_tokens":
            upstream_body = self.upstream_dialect.token_count_body(upstream_body, self.traits.model)
        # Through JSON, as on the wire: what is equal there is equal here.
        return msgspec.json.decode(msgspec.json.encode(upstream_body), type=dict[str, Any])

    def render_request(self, body: Any) -> RenderedRequest:
        """Render the request with the context for parsing its response. Raises GatewayError."""
        reader, writer = self.client_dialect.embed_client, self.upstream_dialect.embed_provider
        if self.verb == "embed" and reader is not None and writer is not None:
            return writer.render_embed(reader.parse_embed(body), self.traits)
        headers = self.headers
        if self.verb == "count_tokens":
            headers = {**headers, "x-dragoman-verb": "count_tokens"}
        request = self.client_dialect.client.parse_request(body, headers)
        return self.upstream_dialect.provider.render_request(request, self.traits)

    def response_translator(self, request_body: Any) -> Callable[[Any], Any]:
        """Translator of complete responses to `request_body`. Raises GatewayError."""
        if self.verb == "embed":
            return self._embedding_translator(request_body)
        rendered_request, exchange = (
            self.render_request(request_body),
            self.response_context(request_body),
        )

        def translate(body: Any) -> Any:
            response = self.upstream_dialect.provider.parse_response(
                body, self.traits, rendered_request
            )
            client_body, _ = self.client_dialect.client.render_response(response, exchange)
            return msgspec.json.decode(msgspec.json.encode(client_body))

        return translate

    def _embedding_translator(self, request_body: Any) -> Callable[[Any], Any]:
        """Translator of embeddings. Raises GatewayError if a dialect has none."""
        reader, writer = self.client_dialect.embed_client, self.upstream_dialect.embed_provider
        if reader is None or writer is None:
            raise invalid("one of the two dialects has no embeddings")
        client, upstream = reader, writer
        request, exchange = client.parse_embed(request_body), self.response_context(request_body)

        def translate(body: Any) -> Any:
            client_body = client.render_embed(upstream.parse_embed(body), request, exchange)
            return msgspec.json.decode(msgspec.json.encode(client_body))

        return translate

    def stream_translator(self, request_body: Any) -> TranslateFrame:
        """Translator of one stream. Raises GatewayError."""
        parser = self.upstream_dialect.provider.stream_parser(
            self.traits, self.render_request(request_body)
        )
        renderer = self.client_dialect.client.stream_renderer(self.response_context(request_body))
        # The items of an array equal the events of a stream.
        decoder = STREAM_FORMATS[self.client_dialect.framing].new_decoder()

        def translate_frame(frame: Frame | None) -> list[Frame]:
            events = parser.close() if frame is None else parser.feed(frame)
            return decoder.feed(b"".join(renderer.feed(event) for event in events))

        return translate_frame

    def response_context(self, request_body: Any) -> ResponseContext:
        """Context for the client's renderer, as in the relay."""
        request: Request | None = None
        try:
            request = self.client_dialect.client.parse_request(request_body, self.headers)
        except GatewayError:
            request = None
        reasoning_display = request.reasoning.visible if request and request.reasoning else None
        return ResponseContext(
            id=self.request_id.removeprefix("req_"),
            created=self.created,
            model=self.model,
            include_usage=bool(request and request.include_usage),
            reasoning_display=reasoning_display or "summary",
            reasoning_field=self.reasoning_field,  # type: ignore[arg-type]
            endpoint=self.endpoint,
            echoed_fields=self.client_dialect.read_echo(msgspec.json.encode(request_body)),
        )
