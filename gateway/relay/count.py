"""Token counts: asked of the upstream where it can count, else a marked estimate.

`x-dragoman-token-count` says which it is: `upstream` is exact, `estimate` is counted here
(`weigh`), by the vocabulary that `x-dragoman-token-vocabulary` names where there is one.

Never an error because an upstream has no such call: agents send twenty of these
to draw a picture of their context.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from gateway.canon.errors import GatewayError
from gateway.providers.auth import MAKERS
from gateway.relay.call import Call, Client
from gateway.relay.pipeline import plan
from gateway.relay.prepare import prepare
from gateway.relay.reply import answer_headers, decode
from gateway.relay.settle import settle
from gateway.relay.watch import Watch
from gateway.relay.weigh import Weight, weigh
from gateway.routing.snapshot import Target

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

_TIMEOUT_S = 15.0


async def count(runtime: Runtime, call: Call, client: Client, watch: Watch) -> None:
    """Answer a count request. Raises GatewayError only for a request that is wrong itself."""
    assert call.route is not None
    candidates = plan(runtime, call, call.route).candidates
    call.target = candidates[0].target if candidates else None
    tokens, source = None, b"estimate"
    if call.target is not None:
        tokens = await _ask(runtime, call, watch, call.target)
        source = b"upstream" if tokens is not None else source
    vocabulary = ""
    if tokens is None:
        found = await _weighed(call)
        tokens, vocabulary = found.tokens, found.vocabulary
    body = msgspec.json.encode(call.dialect.client.render_count(tokens))
    headers = [(b"content-type", b"application/json"), (b"x-dragoman-token-count", source)]
    if vocabulary:
        headers.append((b"x-dragoman-token-vocabulary", vocabulary.encode()))
    if call.target is not None:
        headers += answer_headers(call, call.target)
    client.status, client.headers = 200, headers
    settle(runtime, call, client)
    await client.reply(200, headers, body)


async def _weighed(call: Call) -> Weight:
    """The estimate. Raises GatewayError for a request that can not be read.

    It is made in a thread: a large one takes longer than the event loop may be kept.
    """
    request = call.request
    model = call.target.model.name if call.target is not None else call.model
    return await asyncio.to_thread(weigh, request, model)


async def _ask(runtime: Runtime, call: Call, watch: Watch, target: Target) -> int | None:
    """The upstream's own count; None if it has none to give."""
    provider = target.model.provider
    if target.model.traits.count_tokens != "endpoint":
        return None
    assert call.route is not None
    try:
        if runtime.media is not None:
            await runtime.media.gather(call, call.route, target)
        prepared = prepare(call, call.route, target)
        url = runtime.lines.url(provider, prepared.path)
        headers = runtime.lines.headers(provider, prepared.headers)
        watch.expect(_TIMEOUT_S, "first_byte")
        if provider.auth in MAKERS:
            headers = await runtime.tokens.headers(provider, "POST", url, headers, prepared.content)
        answer = await runtime.upstreams.send("POST", url, headers, prepared.content, 5.0)
        try:
            data = await answer.read_all()
        finally:
            await answer.close()
        if answer.status != 200:
            return None
        return prepared.dialect.provider.parse_count(decode(data))
    except GatewayError:
        return None
