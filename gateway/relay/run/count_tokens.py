"""Token counts: from the upstream if it can count, else an estimate that is marked as such.

`x-dragoman-token-count` is `upstream` for an exact count, or `estimate` for one made here
(`token_count`), with the vocabulary in `x-dragoman-token-vocabulary` if one was used.

An upstream without token counts is not an error: agents send twenty of these requests
to display the use of their context.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from gateway.canon.errors import GatewayError
from gateway.framing.headers import JSON_HEADER
from gateway.relay.event_loop import offload
from gateway.relay.exchange.call import Call, Client
from gateway.relay.exchange.token_count import TokenCount, count_tokens
from gateway.relay.run.client_credential import with_client_credential
from gateway.relay.run.pipeline import parse_for_selection, parse_for_target, select_targets
from gateway.relay.run.reply import decode, response_headers
from gateway.relay.run.route_guardrails import guard_for_route
from gateway.relay.run.settle import settle
from gateway.relay.translate.prepare import has_call, prepare, upstream_dialect
from gateway.relay.upstream.client import SUCCESS_STATUSES, send_with_token
from gateway.routing.snapshot import Target

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

_CONNECT_S = 5.0
_TIMEOUT_S = 15.0


async def answer_token_count(runtime: Runtime, call: Call, client: Client) -> None:
    """Respond to a count request. Raises GatewayError only for an invalid request."""
    exchange = call.exchange
    assert exchange.route is not None
    if len(exchange.body) >= offload.LARGE_BYTES:
        await parse_for_selection(call, exchange.route)
    candidates = select_targets(runtime, call, exchange.route).candidates
    if candidates and candidates[0].route is not exchange.route:
        await guard_for_route(runtime, call, candidates[0].route)
    call.attempt.target = candidates[0].target if candidates else None
    tokens, source = None, b"estimate"
    if call.attempt.target is not None:
        tokens = await _count_upstream(runtime, call, call.attempt.target)
        source = b"upstream" if tokens is not None else source
    vocabulary = ""
    if tokens is None:
        token_count = await _count_locally(call)
        tokens, vocabulary = token_count.tokens, token_count.vocabulary
    body = msgspec.json.encode(exchange.dialect.client.render_count(tokens))
    headers = [JSON_HEADER, (b"x-dragoman-token-count", source)]
    if vocabulary:
        headers.append((b"x-dragoman-token-vocabulary", vocabulary.encode()))
    if call.attempt.target is not None:
        headers += response_headers(call, call.attempt.target.model.label)
    client.status, client.headers = 200, headers
    settle(runtime, call, client)
    await client.reply(200, headers, body)


async def _count_locally(call: Call) -> TokenCount:
    """Estimate the tokens. Raises GatewayError for a request that cannot be parsed.

    Runs in a thread, because a large request would block the event loop.
    """
    exchange = call.exchange
    await exchange.parse()
    request = exchange.request
    model = call.attempt.target.model.name if call.attempt.target is not None else exchange.model
    return await asyncio.to_thread(count_tokens, request, model)


async def _count_upstream(runtime: Runtime, call: Call, target: Target) -> int | None:
    """The upstream's own count; None if it has none."""
    exchange = call.exchange
    provider = target.model.provider
    if target.model.traits.count_tokens != "endpoint":
        return None
    assert exchange.route is not None
    try:
        if not has_call(upstream_dialect(call, target), target, "count_tokens"):
            return None
        if runtime.media is not None:
            await runtime.media.gather(call, exchange.route, target)
        if len(exchange.body) >= offload.LARGE_BYTES:
            await parse_for_target(call, target)
        prepared_request = await offload.run(
            exchange.offload_size, prepare, call, exchange.route, target
        )
        url = runtime.request_templates.url(provider, prepared_request.path)
        headers = runtime.request_templates.headers(provider, prepared_request.headers)
        if provider.client_credential:
            headers = with_client_credential(call, provider, headers)
        extra = exchange.trace_headers() if runtime.config.trace_headers else ()
        content = prepared_request.content
        async with asyncio.timeout(_TIMEOUT_S):
            upstream_response = await send_with_token(
                runtime.upstreams,
                runtime.tokens,
                provider,
                "POST",
                url,
                headers,
                content,
                _CONNECT_S,
                extra,
            )
            try:
                data = await upstream_response.read_all()
            finally:
                await upstream_response.close()
        if upstream_response.status not in SUCCESS_STATUSES:
            return None
        return prepared_request.dialect.provider.parse_count(decode(data))
    except (GatewayError, TimeoutError):
        return None
