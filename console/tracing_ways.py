"""The translators of one logged request, made again from what its row and bodies say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from console.tracing_stream import Feed
from gateway.canon.errors import GatewayError, invalid
from gateway.canon.request import Request
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.dialects.base import Dialect, Exchange, Rendered, Verb
from gateway.framing.kinds import CUTS
from gateway.framing.sse import Frame
from gateway.providers import edits as profile_edits
from gateway.providers.profile import Edit


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """From one client dialect to one upstream model and back.

    `verb` is what was called; `endpoint` the name of the path, on which the shape of an
    answer may depend.
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
        """The dialect that was served."""
        return DIALECTS[self.client]

    @property
    def upstream_dialect(self) -> Dialect:
        """The dialect that was called."""
        return DIALECTS[self.upstream]

    def request(self, body: Any) -> dict[str, Any]:
        """A client's body as the upstream gets it. Raises GatewayError."""
        rendered = self.rendered(body)
        sent = rendered.body
        if self.edits:
            sent, _ = profile_edits.apply(self.edits, sent)
        if self.verb == "count_tokens":
            sent = self.upstream_dialect.count_body(sent, self.traits.model)
        # Through JSON, as on the wire: what is equal there is equal here.
        return msgspec.json.decode(msgspec.json.encode(sent), type=dict[str, Any])

    def rendered(self, body: Any) -> Rendered:
        """The request with what the answer's parser must know. Raises GatewayError."""
        reader, writer = self.client_dialect.embed_client, self.upstream_dialect.embed_provider
        if self.verb == "embed" and reader is not None and writer is not None:
            return writer.render_embed(reader.parse_embed(body), self.traits)
        headers = self.headers
        if self.verb == "count_tokens":
            headers = {**headers, "x-dragoman-verb": "count_tokens"}
        request = self.client_dialect.client.parse_request(body, headers)
        return self.upstream_dialect.provider.render_request(request, self.traits)

    def response(self, asked: Any) -> Callable[[Any], Any]:
        """The translator of whole answers to `asked`. Raises GatewayError."""
        if self.verb == "embed":
            return self._vectors(asked)
        rendered, exchange = self.rendered(asked), self.exchange(asked)

        def translate(body: Any) -> Any:
            found = self.upstream_dialect.provider.parse_response(body, self.traits, rendered)
            shown, _ = self.client_dialect.client.render_response(found, exchange)
            return msgspec.json.decode(msgspec.json.encode(shown))

        return translate

    def _vectors(self, asked: Any) -> Callable[[Any], Any]:
        """The translator of embeddings. Raises GatewayError where a side has none."""
        reader, writer = self.client_dialect.embed_client, self.upstream_dialect.embed_provider
        if reader is None or writer is None:
            raise invalid("one of the two dialects has no embeddings")
        client, upstream = reader, writer
        request, exchange = client.parse_embed(asked), self.exchange(asked)

        def translate(body: Any) -> Any:
            shown = client.render_embed(upstream.parse_embed(body), request, exchange)
            return msgspec.json.decode(msgspec.json.encode(shown))

        return translate

    def feed(self, asked: Any) -> Feed:
        """The translator of one stream. Raises GatewayError."""
        parser = self.upstream_dialect.provider.stream_parser(self.traits, self.rendered(asked))
        renderer = self.client_dialect.client.stream_renderer(self.exchange(asked))
        # The items of an array are those of a stream of events.
        decoder = CUTS[self.client_dialect.framing].decoder()

        def feed(frame: Frame | None) -> list[Frame]:
            found = parser.close() if frame is None else parser.feed(frame)
            return decoder.feed(b"".join(renderer.feed(event) for event in found))

        return feed

    def exchange(self, asked: Any) -> Exchange:
        """What the client's renderer must know, as the relay tells it."""
        request: Request | None = None
        try:
            request = self.client_dialect.client.parse_request(asked, self.headers)
        except GatewayError:
            request = None
        thinking = request.thinking.visible if request and request.thinking else None
        return Exchange(
            id=self.request_id.removeprefix("req_"),
            created=self.created,
            model=self.model,
            include_usage=bool(request and request.include_usage),
            thinking=thinking or "summary",
            reasoning_field=self.reasoning_field,  # type: ignore[arg-type]
            endpoint=self.endpoint,
            echo=self.client_dialect.echo(msgspec.json.encode(asked)),
        )
