"""A kept answer -> the client's: the same bytes, or the same answer in another form.

A stream goes out as it was recorded, all of it at once. Where the question came in another
form (another dialect, whole instead of streamed), what is kept is read as if an upstream
had said it, and rendered for this client.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from gateway.canon.adaptation import Adaptation, as_report
from gateway.canon.errors import GatewayError
from gateway.canon.fold import fold, unfold
from gateway.canon.request import Reasoning, ToolCall
from gateway.canon.response import Response, Usage
from gateway.canon.signature import TOKENS
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.framing.kinds import CUTS
from gateway.relay.cache_key import form_of
from gateway.relay.cache_value import Kept
from gateway.relay.call import Call, Client
from gateway.relay.reply import decode, exchange_of, headers_of, stream_headers
from gateway.relay.settle import settle

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime


def body_for(call: Call, kept: Kept) -> bytes | None:
    """The bytes of a kept answer for this client; None where they can not be made of it."""
    if kept.form == form_of(call):
        call.adaptations = list(kept.adaptations)
        return kept.body
    if call.verb != "generate" or any(token in kept.body for token in TOKENS):
        return None
    try:
        response = _response(kept)
        if response is None or _signed(response):
            return None
        if response.usage is None:
            # A stream whose client did not ask for it has none.
            response = msgspec.structs.replace(response, usage=_usage(kept))
        call.passthrough = False
        return _rendered(call, response)
    except (GatewayError, ValueError):
        return None


def _signed(response: Response) -> bool:
    """Whether it holds state that only goes back as its maker wrote it."""
    signed = (part for part in response.parts if isinstance(part, Reasoning | ToolCall))
    return any(part.signature is not None for part in signed)


def _usage(kept: Kept) -> Usage | None:
    """The tokens as the log has them."""
    known = {name: count for name, count in kept.tokens.items() if count is not None}
    if not known:
        return None
    named = {name.removesuffix("_tokens"): count for name, count in known.items()}
    return msgspec.convert({**named, "estimated": kept.usage_source.startswith("estimated")}, Usage)


def _response(kept: Kept) -> Response | None:
    """The answer in no dialect; None for bytes that are cut as nothing here reads."""
    provider = DIALECTS[kept.dialect].provider
    if not kept.stream:
        return provider.parse_response(decode(kept.body), Traits(), None)
    cut = CUTS.get(kept.framing)
    if cut is None:
        return None
    decoder, parser = cut.decoder(), provider.stream_parser(Traits(), None)
    events = []
    for frame in [*decoder.feed(kept.body), *decoder.close()]:
        events += parser.feed(frame)
    return fold([*events, *parser.close()])


def _rendered(call: Call, response: Response) -> bytes:
    exchange = exchange_of(call)
    half = call.dialect.client
    report: tuple[Adaptation, ...]
    if call.stream:
        renderer = half.stream_renderer(exchange)
        out = b"".join(renderer.feed(event) for event in unfold(response))
        report = tuple(renderer.report)
    else:
        body, report = half.render_response(response, exchange)
        out = msgspec.json.encode(body)
    call.adaptations = as_report(report)
    return out


async def replay(runtime: Runtime, call: Call, client: Client, kept: Kept, body: bytes) -> None:
    """Send a kept answer. The row is written before its last bytes leave."""
    call.attempts.clear()
    call.target = None
    call.passthrough = call.recorder.passthrough = False
    call.recorder.client(body)
    call.last = body
    streamed = call.stream and call.verb == "generate"
    if call.verb == "generate":
        call.tap.first_token_at = time.perf_counter()
    client.status = 200
    kind = stream_headers(call) if streamed else [(b"content-type", b"application/json")]
    client.headers = [*kind, *headers_of(call, kept.label)]
    settle(runtime, call, client)
    if streamed:
        await client.head(200, client.headers)
        await client.end(body)
        return
    await client.reply(200, client.headers, body)
