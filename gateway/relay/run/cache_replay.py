"""A kept answer -> the client's: the same bytes, or the same answer in another form.

A stream goes out as it was recorded, all of it at once. Where the question came in another
form (another dialect, whole instead of streamed), what is kept is read as if an upstream
had said it, and rendered for this client.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from gateway.canon.adaptation import Adaptation, adaptation_rows
from gateway.canon.errors import GatewayError
from gateway.canon.fold import fold_events, unfold_response
from gateway.canon.request import Reasoning, ToolCall
from gateway.canon.response import Response, Usage
from gateway.canon.signature import TOKEN
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.framing.formats import STREAM_FORMATS
from gateway.relay.cache.key import client_format_of
from gateway.relay.exchange.cached_response import CachedResponse
from gateway.relay.exchange.call import Call, Client
from gateway.relay.run.settle import settle
from gateway.relay.run.stream import decode, exchange_of, headers_of, stream_headers

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime


def render_for_client(call: Call, cached: CachedResponse) -> bytes | None:
    """The bytes of a kept answer for this client; None where they can not be made of it."""
    if cached.client_format == client_format_of(call):
        call.adaptations = list(cached.adaptations)
        return cached.body
    if call.verb != "generate" or TOKEN.search(cached.body):
        return None
    try:
        response = _parse_cached(cached)
        if response is None or _has_signature(response):
            return None
        if response.usage is None:
            # A stream whose client did not ask for it has none.
            response = msgspec.structs.replace(response, usage=_cached_usage(cached))
        call.passthrough = False
        return _render(call, response)
    except (GatewayError, ValueError):
        return None


def _has_signature(response: Response) -> bool:
    """Whether it holds state that only goes back as its maker wrote it."""
    stateful_parts = (part for part in response.parts if isinstance(part, Reasoning | ToolCall))
    return any(part.signature is not None for part in stateful_parts)


def _cached_usage(cached: CachedResponse) -> Usage | None:
    """The tokens as the log has them."""
    counts = {name: count for name, count in cached.tokens.items() if count is not None}
    if not counts:
        return None
    usage_fields = {name.removesuffix("_tokens"): count for name, count in counts.items()}
    return msgspec.convert(
        {**usage_fields, "estimated": cached.usage_source.startswith("estimated")}, Usage
    )


def _parse_cached(cached: CachedResponse) -> Response | None:
    """The answer in no dialect; None for bytes that are cut as nothing here reads."""
    provider = DIALECTS[cached.dialect].provider
    if not cached.stream:
        return provider.parse_response(decode(cached.body), Traits(), None)
    cut = STREAM_FORMATS.get(cached.framing)
    if cut is None:
        return None
    decoder, parser = cut.new_decoder(), provider.stream_parser(Traits(), None)
    events = []
    for frame in [*decoder.feed(cached.body), *decoder.close()]:
        events += parser.feed(frame)
    return fold_events([*events, *parser.close()])


def _render(call: Call, response: Response) -> bytes:
    exchange = exchange_of(call)
    half = call.dialect.client
    report: tuple[Adaptation, ...]
    if call.stream:
        renderer = half.stream_renderer(exchange)
        out = b"".join(renderer.feed(event) for event in unfold_response(response))
        report = tuple(renderer.report)
    else:
        body, report = half.render_response(response, exchange)
        out = msgspec.json.encode(body)
    call.adaptations = adaptation_rows(report)
    return out


async def replay(
    runtime: Runtime, call: Call, client: Client, cached: CachedResponse, body: bytes
) -> None:
    """Send a kept answer. The row is written before its last bytes leave."""
    call.attempts.clear()
    call.target = None
    call.passthrough = call.recorder.passthrough = False
    call.recorder.record_client(body)
    call.final_bytes = body
    streamed = call.stream and call.verb == "generate"
    if call.verb == "generate":
        call.tap.first_token_at = time.perf_counter()
    client.status = 200
    content_headers = stream_headers(call) if streamed else [(b"content-type", b"application/json")]
    client.headers = [*content_headers, *headers_of(call, cached.label)]
    settle(runtime, call, client)
    if streamed:
        await client.head(200, client.headers)
        await client.end(body)
        return
    await client.reply(200, client.headers, body)
