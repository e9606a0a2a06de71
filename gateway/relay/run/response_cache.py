"""Serves a call on a route with a response cache: from the cache, or by a target.

    memory -> database | Redis (along with the limits) -> similar prompts -> the targets

Most prompts are new, and a fingerprint of the last user text shows it: a cache key is built
only for the others, and for responses that are stored.

A cached response counts as a request for the limits of its key, team and route, but uses no
tokens and no money. Only complete responses are stored: status 200, finished by the model or at
a limit that the client set. Refused, filtered and broken responses are not stored, nor are
responses that depend on server-side state.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING

import msgspec

from gateway.canon.adaptation import Adaptation, adaptation_rows
from gateway.canon.errors import GatewayError
from gateway.canon.fold import fold_events, unfold_response
from gateway.canon.request import Reasoning, Request, ToolCall
from gateway.canon.response import Response, Usage
from gateway.canon.signature import TOKEN
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.framing.formats import STREAM_FORMATS
from gateway.framing.headers import JSON_HEADER
from gateway.providers.masks import Mask
from gateway.relay.cache import key as cache_key
from gateway.relay.cache.key import CacheKeyScope, client_format_of
from gateway.relay.event_loop import offload
from gateway.relay.exchange.cached_response import (
    CacheControl,
    CachedResponse,
    CacheLookup,
)
from gateway.relay.exchange.call import Call, Client, Deadlines
from gateway.relay.run.pipeline import RunCall
from gateway.relay.run.query_embedding import embed_query
from gateway.relay.run.reply import decode, response_context, response_headers, stream_headers
from gateway.relay.run.settle import settle
from gateway.routing.cache_policy import CachePolicy
from gateway.routing.snapshot import Route

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

# Finish reasons of responses that may be cached.
CACHEABLE_FINISHES = frozenset({"stop", "stop_sequence", "length", "tool"})
# Larger requests are rarely repeated, and their keys would take long to compute.
MAX_REQUEST_BYTES = 1024 * 1024
# Maximum wait for the response to an equal request.
SINGLE_FLIGHT_S = 120.0
_TOKENS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
)


def serve_with_cache(
    runtime: Runtime,
    call: Call,
    client: Client,
    deadlines: Deadlines,
    cache_control: CacheControl,
    run_call: RunCall,
) -> Awaitable[object]:
    """Serve a call from the cache if possible, else by `run_call`. Raises what that raises.

    Not a coroutine itself, because each coroutine in the chain adds a cost to every wait.
    """
    exchange = call.exchange
    lookup = call.cache_lookup = CacheLookup(cache_control)
    route = exchange.route
    assert route is not None
    if route.cache is None or len(exchange.body) > MAX_REQUEST_BYTES:
        return run_call(runtime, call, client, deadlines)
    cached_call = _CachedCall(
        runtime, call, client, deadlines, lookup, run_call, route, route.cache
    )
    if len(exchange.body) >= offload.LARGE_BYTES:
        return _serve_large(cached_call)
    if not cached_call.is_cacheable():
        return run_call(runtime, call, client, deadlines)
    client.add_sink(cached_call)
    return cached_call.serve() if cached_call.key else run_call(runtime, call, client, deadlines)


async def _serve_large(cached_call: _CachedCall) -> None:
    """Serve a large call: the key needs the canonical request, parsed off the event loop."""
    with contextlib.suppress(GatewayError):  # it may still be passed through
        await cached_call.call.exchange.parse()
    if cached_call.is_cacheable():
        cached_call.client.add_sink(cached_call)
        if cached_call.key:
            await cached_call.serve()
            return
    await cached_call.run_call(
        cached_call.runtime, cached_call.call, cached_call.client, cached_call.deadlines
    )


class _CachedCall:
    """One call whose response may be cached. Without a `key` there is no lookup.

    As the response sink of the client it receives what is sent, and stores it if it is
    complete, cacheable and not too large.
    """

    # Most prompts are new, and need none of these.
    request: Request | None = None
    is_parsed = False
    body_key = b""
    key = ""
    context: tuple[bytes, list[float]] | None = None
    _size = 0

    def __init__(
        self,
        runtime: Runtime,
        call: Call,
        client: Client,
        deadlines: Deadlines,
        lookup: CacheLookup,
        run_call: RunCall,
        route: Route,
        policy: CachePolicy,
    ) -> None:
        self.runtime, self.call, self.client, self.deadlines = runtime, call, client, deadlines
        self.lookup, self.run_call = lookup, run_call
        self.store = runtime.cache
        self.route, self.policy = route, policy
        self.key_scope: CacheKeyScope
        self._parts: list[bytes] | None = []

    # --- eligibility --------------------------------------------------------------------

    def is_cacheable(self) -> bool:
        """Whether the cache applies to the call; sets the key, if a lookup is necessary."""
        call, policy, cache_control = self.call, self.policy, self.lookup.cache_control
        if call.exchange.verb not in policy.verbs or (policy.opt_in and not cache_control.opt_in):
            return False
        if not cache_control.read and not cache_control.store:
            return False
        if not cache_key.STATE_FIELDS.isdisjoint(call.exchange.fields):
            return False
        if call.exchange.dialect.parse_continuation is not None and _has_state(call):
            return False
        self.key_scope = self.store.key_scopes.for_call(
            call.exchange, self.route, policy, cache_control.namespace
        )
        if cache_control.read and (self._is_new_prompt() or self._set_key()):
            self.lookup.state = "miss"
            return True
        return not cache_control.read

    def _is_new_prompt(self) -> bool:
        """Whether no cached response has the fingerprint of the last user text."""
        policy = self.policy
        if policy.single_flight or policy.semantic or policy.deterministic:
            return False
        last_user_text = self.call.exchange.dialect.last_user_text(self.call.exchange.fields)
        return last_user_text != "" and not self.store.may_contain(
            self.key_scope.fingerprint(last_user_text)
        )

    def _set_key(self) -> bool:
        """Set the key; return whether there is one, so that the response may be cached."""
        call, policy = self.call, self.policy
        self.body_key = cache_key.body_key(self.key_scope, call.exchange)
        remembered_key = self.store.memory.key_for_body(self.body_key)
        if remembered_key is not None:
            self.key = remembered_key
            return True
        same_dialect = policy.dialects == "same" and not policy.deterministic
        request = self._canonical_request() if not same_dialect else None
        if request is not None and not self._is_cacheable(request):
            return False
        if request is None and policy.deterministic and call.exchange.verb == "generate":
            return False
        self.key = cache_key.build_key(self.key_scope, call.exchange, request, self.body_key)
        self.store.memory.remember_body_key(self.body_key, self.key)
        return True

    def _canonical_request(self) -> Request | None:
        if not self.is_parsed:
            self.is_parsed = True
            self.request = cache_key.canonical_request(self.call.exchange)
        return self.request

    def _is_cacheable(self, request: Request) -> bool:
        if cache_key.uses_server_state(request):
            return False
        return not self.policy.deterministic or request.sampling.temperature == 0

    # --- serving ------------------------------------------------------------------------

    async def serve(self) -> None:
        """Serve the call, from the cache or by a target."""
        if await self._from_memory() or await self._from_backend():
            return
        if self.policy.semantic and await self._serve_similar():
            return
        if not self.policy.single_flight:
            await self._run_fresh()
            return
        await self._single_flight()

    async def _from_memory(self) -> bool:
        return await self._serve_cached(self.store.memory.get(self.key, time.time()))

    async def _from_backend(self) -> bool:
        """Serve from the backend, unless it is read together with the limits."""
        if self.store.pipelined and not self.policy.semantic:
            self.lookup.key = self.key
            return False
        return await self._serve_cached(await self.store.load(self.key, time.time()))

    async def _serve_cached(
        self, cached: CachedResponse | None, similarity: float | None = None
    ) -> bool:
        """Send the cached response if it is valid; return whether it did. Raises GatewayError."""
        if cached is None:
            return False
        now, max_age_s = time.time(), self.lookup.cache_control.max_age_s
        if max_age_s is not None and now - cached.created_at > max_age_s:
            return False
        body = render_for_client(self.call, cached)
        if body is None:
            return False
        if not self.call.limits_reserved:
            admission = await self.runtime.limiter.admit(self.call, self.route, None)
            if admission.refusal is not None:
                raise GatewayError(admission.refusal)
        self.lookup.record_hit(cached, now, similarity)
        await replay(self.runtime, self.call, self.client, cached, body)
        return True

    async def _run_fresh(self) -> None:
        """Serve by a target, unless Redis has a cached response."""
        try:
            result = await self.run_call(self.runtime, self.call, self.client, self.deadlines)
        except GatewayError:
            # No target could be called, so Redis has not been read yet.
            if self.client.started or not self.lookup.key:
                raise
            self.lookup.key = ""
            if not await self._serve_cached(await self.store.load(self.key, time.time())):
                raise
        else:
            if result == "cached":
                await self._from_redis()

    async def _from_redis(self) -> None:
        blob, self.lookup.blob = self.lookup.blob, None
        if not await self._serve_cached(self.store.load_blob(self.key, blob, time.time())):
            await self.run_call(self.runtime, self.call, self.client, self.deadlines)

    async def _single_flight(self) -> None:
        """Wait for an equal request in progress, or run as the one that others wait for.

        If that one is stopped, because its client disconnected, the first of those waiting runs
        and the others wait for it.
        """
        in_flight = self.store.in_flight
        while (leader := in_flight.get(self.key)) is not None:
            await asyncio.wait([leader], timeout=SINGLE_FLIGHT_S)
            if await self._from_memory():
                return
            if not leader.done() or leader.result():
                # Without a response from the leader, run independently: do not queue behind
                # another.
                await self._run_fresh()
                return
        own_future = in_flight[self.key] = asyncio.get_running_loop().create_future()
        is_finished = True
        try:
            await self._run_fresh()
        except asyncio.CancelledError:
            is_finished = False
            raise
        finally:
            del in_flight[self.key]
            own_future.set_result(is_finished)

    # --- similar prompts ------------------------------------------------------------------

    async def _serve_similar(self) -> bool:
        """Serve the cached response of a similar prompt."""
        request = self._canonical_request()
        if request is None or not cache_key.is_portable(self.key):
            return False
        context_and_text = cache_key.context_key(self.key_scope, request)
        if context_and_text is None:
            return False
        context, prompt_text = context_and_text
        vector = await embed_query(self.runtime, self.call, self.policy.semantic, prompt_text)
        if vector is None:
            return False
        self.context = context, vector
        index = self.store.semantic_index
        nearest = index.nearest(context, vector, self.policy.threshold)
        if nearest is None:
            return False
        key, similarity = nearest
        cached_response = self.store.memory.get(key, time.time())
        if cached_response is None:
            cached_response = await self.store.load(key, time.time())
        if cached_response is None:
            index.drop(context, key)
        return await self._serve_cached(cached_response, similarity)

    # --- storing --------------------------------------------------------------------------

    def collect_chunk(self, status: int, data: bytes) -> None:
        """Collect a chunk that was sent to the client."""
        self._size += len(data)
        if self._size > self.policy.max_bytes or status != 200:
            self._parts = None
        elif self._parts is not None:
            self._parts.append(data)

    def end(self, status: int, data: bytes) -> None:
        """Collect the last chunk, then store: the client may disconnect right after it."""
        self.collect_chunk(status, data)
        if self._parts is not None:
            self._store_response(b"".join(self._parts))

    def _store_response(self, body: bytes) -> None:
        """Store what was sent to the client, if it is cacheable."""
        call, cache_control = self.call, self.lookup.cache_control
        if not cache_control.store or self.lookup.cached is not None:
            return
        cached_response = _cached_response(call, body, cache_control.ttl_s or self.policy.ttl_s)
        if cached_response is None or not (self.key or self._set_key()):
            return
        self.store.put(self.key, self.route.id, cached_response, _storage_masks(call))
        if self.context is not None:
            self.store.semantic_index.add(*self.context, self.key)


def _has_state(call: Call) -> bool:
    """Whether the request depends on server-side state, or its response is stored as such.

    A response that is stored for continuation by its id is never served from the cache.
    """
    exchange = call.exchange
    if (
        exchange.earlier_responses is not None
        or exchange.native_continuation is not None
        or exchange.on_response is not None
    ):
        return True
    return exchange.store_policy is not None and exchange.store_policy.store


def _cached_response(call: Call, body: bytes, ttl_s: int) -> CachedResponse | None:
    """The cacheable response of a call; None if it must not be reused."""
    exchange = call.exchange
    record, target = call.record, call.attempt.target
    if record is None or target is None or record.outcome != "ok" or call.error is not None:
        return None
    if exchange.verb == "generate" and record.finish not in CACHEABLE_FINISHES:
        return None
    now = time.time()
    return CachedResponse(
        client_format=cache_key.client_format_of(exchange),
        dialect=exchange.dialect.name,
        stream=exchange.stream and exchange.verb == "generate",
        framing=exchange.framing,
        body=body,
        created_at=now,
        expires_at=now + ttl_s,
        label=target.model.label,
        provider=record.provider,
        model=record.model,
        upstream_dialect=record.upstream_dialect,
        finish=record.finish,
        tokens={name: getattr(record, name) for name in _TOKENS},
        usage_source=record.usage_source,
        cost_usd=record.cost_usd,
        adaptations=list(call.attempt.adaptations),
    )


def _storage_masks(call: Call) -> tuple[Mask, ...] | None:
    """The masks of stored bodies; None if the key or the route does not store bodies."""
    exchange = call.exchange
    route, key = exchange.route, exchange.key
    if route is not None and route.log_bodies is False:
        return None
    if key is not None and key.log_bodies is False:
        return None
    return exchange.snapshot.masks


# --- replay -----------------------------------------------------------------------------
# A cached response is sent as the same bytes, or rendered in another format. A stream is sent
# as it was recorded, in one write. If the request has another format (another dialect, complete
# instead of streamed), the cached bytes are parsed like an upstream's and rendered for this
# client.


def render_for_client(call: Call, cached: CachedResponse) -> bytes | None:
    """The bytes of a cached response for this client; None if they cannot be rendered."""
    if cached.client_format == client_format_of(call.exchange):
        call.attempt.adaptations = list(cached.adaptations)
        return cached.body
    if call.exchange.verb != "generate" or TOKEN.search(cached.body):
        return None
    try:
        response = _parse_cached(cached)
        if response is None or _has_signature(response):
            return None
        if response.usage is None:
            # A stream has no usage if its client did not request it.
            response = msgspec.structs.replace(response, usage=_cached_usage(cached))
        call.attempt.passthrough = False
        return _render_response(call, response)
    except (GatewayError, ValueError):
        return None


def _has_signature(response: Response) -> bool:
    """Whether it contains state that must be returned exactly as its creator wrote it."""
    stateful_parts = (part for part in response.parts if isinstance(part, Reasoning | ToolCall))
    return any(part.signature is not None for part in stateful_parts)


def _cached_usage(cached: CachedResponse) -> Usage | None:
    """The usage, from the token counts of the log."""
    counts = {name: count for name, count in cached.tokens.items() if count is not None}
    if not counts:
        return None
    usage_fields = {name.removesuffix("_tokens"): count for name, count in counts.items()}
    return msgspec.convert(
        {**usage_fields, "estimated": cached.usage_source.startswith("estimated")}, Usage
    )


def _parse_cached(cached: CachedResponse) -> Response | None:
    """The canonical response; None if its framing cannot be decoded."""
    provider = DIALECTS[cached.dialect].provider
    if not cached.stream:
        return provider.parse_response(decode(cached.body), Traits(), None)
    stream_format = STREAM_FORMATS.get(cached.framing)
    if stream_format is None:
        return None
    decoder, parser = stream_format.new_decoder(), provider.stream_parser(Traits(), None)
    events = []
    for frame in [*decoder.feed(cached.body), *decoder.close()]:
        events += parser.feed(frame)
    return fold_events([*events, *parser.close()])


def _render_response(call: Call, response: Response) -> bytes:
    exchange = call.exchange
    context = response_context(call)
    client_format = exchange.dialect.client
    report: tuple[Adaptation, ...]
    if exchange.stream:
        renderer = client_format.stream_renderer(context)
        out = b"".join(renderer.feed(event) for event in unfold_response(response))
        report = tuple(renderer.report)
    else:
        body, report = client_format.render_response(response, context)
        out = msgspec.json.encode(body)
    call.attempt.adaptations = adaptation_rows(report)
    return out


async def replay(
    runtime: Runtime, call: Call, client: Client, cached: CachedResponse, body: bytes
) -> None:
    """Send a cached response. The log record is written before its last bytes are sent."""
    exchange = call.exchange
    call.attempts.clear()
    call.attempt.target = None
    call.attempt.passthrough = call.recorder.passthrough = False
    call.recorder.record_client(body)
    call.attempt.final_bytes = body
    streamed = exchange.stream and exchange.verb == "generate"
    if exchange.verb == "generate":
        call.attempt.tap.first_token_at = time.perf_counter()
    client.status = 200
    content_headers = stream_headers(call) if streamed else [JSON_HEADER]
    client.headers = [*content_headers, *response_headers(call, cached.label)]
    settle(runtime, call, client)
    if streamed:
        await client.head(200, client.headers)
        await client.end(body)
        return
    await client.reply(200, client.headers, body)
