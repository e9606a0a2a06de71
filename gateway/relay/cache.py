"""The way of a call on a route that keeps answers: looked up, or answered and kept.

    mark -> memory -> database | Redis (along with the limits) -> alike questions -> the targets

Most questions are new, and their last words tell so (`cache_key`): only for the others, and
for what is to be kept, is a key made.

A kept answer counts as a request for the limits of its key, team and route, but uses no
tokens and no money. Kept is only what a client got whole: status 200, an end that the
model chose or that its client set as a limit. Refused, filtered and broken answers are not,
nor is what goes on from state that a server holds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from gateway.canon.errors import GatewayError
from gateway.canon.request import Request
from gateway.providers.masks import Mask
from gateway.relay import cache_key
from gateway.relay.cache_key import Base
from gateway.relay.cache_replay import body_for, replay
from gateway.relay.cache_value import Answered, Controls, Kept, Passage
from gateway.relay.call import Call, Client
from gateway.relay.question import vector_of
from gateway.relay.watch import Watch
from gateway.routing.cache import CachePolicy
from gateway.routing.snapshot import Route

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

# How a model ends an answer that is worth giving again.
ENDS = frozenset({"stop", "stop_sequence", "length", "tool"})
# The longest wait for another request's answer to the same question.
FLIGHT_S = 120.0
_TOKENS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
)


Ask = Callable[["Runtime", Call, Client, Watch], Awaitable[None]]


def answer(
    runtime: Runtime, call: Call, client: Client, watch: Watch, controls: Controls, ask: Ask
) -> Awaitable[None]:
    """As `ask`, from what is kept where that will do. To be awaited; raises what `ask` does.

    It is no coroutine itself: each one on the way costs every wait of a request.
    """
    passage = call.passage = Passage(controls)
    route = call.route
    assert route is not None
    if route.cache is None:
        return ask(runtime, call, client, watch)
    asking = _Asking(runtime, call, client, watch, passage, ask, route, route.cache)
    if not asking.concerns():
        return ask(runtime, call, client, watch)
    client.show(asking)
    return asking.look() if asking.key else ask(runtime, call, client, watch)


class _Asking:
    """One call whose answer may be kept. Without a `key` it is new, or is to be asked anew.

    It is shown what the client gets, and keeps it when that is whole, a good answer and not
    too large.
    """

    # Most questions are new, and need none of these.
    request: Request | None = None
    parsed = False
    body_key = b""
    key = ""
    context: tuple[bytes, list[float]] | None = None
    _size = 0

    def __init__(
        self,
        runtime: Runtime,
        call: Call,
        client: Client,
        watch: Watch,
        passage: Passage,
        ask: Ask,
        route: Route,
        policy: CachePolicy,
    ) -> None:
        self.runtime, self.call, self.client, self.watch = runtime, call, client, watch
        self.passage, self._ask = passage, ask
        self.store = runtime.cache
        self.route, self.policy = route, policy
        self.base: Base
        self._parts: list[bytes] | None = []

    # --- whether ------------------------------------------------------------------------

    def concerns(self) -> bool:
        """Whether the cache has to do with it at all; sets the key, if one is to be looked for."""
        call, policy, controls = self.call, self.policy, self.passage.controls
        if call.verb not in policy.verbs or (policy.opt_in and not controls.opted):
            return False
        if not controls.use and not controls.keep:
            return False
        if not cache_key.STATE.isdisjoint(call.fields):
            return False
        if call.dialect.resume is not None and _has_state(call):
            return False
        self.base = self.store.bases.of(call, self.route, policy, controls.namespace)
        if controls.use and (self._is_new() or self._find_key()):
            self.passage.state = "miss"
            return True
        return not controls.use

    def _is_new(self) -> bool:
        """Whether no answer to the question is kept, as far as its last words tell."""
        policy = self.policy
        if policy.single_flight or policy.semantic or policy.deterministic:
            return False
        words = self.call.dialect.ending(self.call.fields)
        return words != "" and not self.store.may_have(self.base.mark(words))

    def _find_key(self) -> bool:
        """Set the key; whether there is one, and an answer may be kept by it."""
        call, policy = self.call, self.policy
        self.body_key = cache_key.body_key(self.base, call)
        known = self.store.memory.key_of(self.body_key)
        if known is not None:
            self.key = known
            return True
        own = policy.dialects == "own" and not policy.deterministic
        request = self._request() if not own else None
        if request is not None and not self._keepable(request):
            return False
        if request is None and policy.deterministic and call.verb == "generate":
            return False
        self.key = cache_key.key_of(self.base, call, request, self.body_key)
        self.store.memory.name(self.body_key, self.key)
        return True

    def _request(self) -> Request | None:
        if not self.parsed:
            self.parsed = True
            self.request = cache_key.request_of(self.call)
        return self.request

    def _keepable(self, request: Request) -> bool:
        if cache_key.goes_on(request):
            return False
        return not self.policy.deterministic or request.sampling.temperature == 0

    # --- the way ------------------------------------------------------------------------

    async def look(self) -> None:
        """Answer the call, from what is kept or by a target."""
        if await self._from_memory() or await self._from_shelf():
            return
        if self.policy.semantic and await self._from_alike():
            return
        if not self.policy.single_flight:
            await self._fresh()
            return
        await self._one_at_a_time()

    async def _from_memory(self) -> bool:
        return await self._given(self.store.memory.get(self.key, time.time()))

    async def _from_shelf(self) -> bool:
        """From the shelf, unless it is asked along with the limits."""
        if self.store.pipelined and not self.policy.semantic:
            self.passage.key = self.key
            return False
        return await self._given(await self.store.load(self.key, time.time()))

    async def _given(self, kept: Kept | None, similarity: float | None = None) -> bool:
        """Whether a kept answer will do; it has been sent then. Raises GatewayError."""
        if kept is None:
            return False
        now, oldest = time.time(), self.passage.controls.max_age_s
        if oldest is not None and now - kept.made_at > oldest:
            return False
        body = body_for(self.call, kept)
        if body is None:
            return False
        if not self.call.admitted:
            await self.runtime.admit(self.call, self.route, None)
        self.passage.found(kept, now, similarity)
        await replay(self.runtime, self.call, self.client, kept, body)
        return True

    async def _fresh(self) -> None:
        """By a target, unless Redis has it."""
        try:
            await self._ask(self.runtime, self.call, self.client, self.watch)
        except Answered:
            await self._from_redis()
        except GatewayError:
            # No target was to be asked, and so nobody has asked Redis.
            if self.client.started or not self.passage.key:
                raise
            self.passage.key = ""
            if not await self._given(await self.store.load(self.key, time.time())):
                raise

    async def _from_redis(self) -> None:
        blob, self.passage.blob = self.passage.blob, None
        if not await self._given(self.store.taken(self.key, blob, time.time())):
            await self._ask(self.runtime, self.call, self.client, self.watch)

    async def _one_at_a_time(self) -> None:
        """Wait for another request that asks the same, or be the one that others wait for."""
        flights = self.store.flights
        ahead = flights.get(self.key)
        if ahead is not None:
            await asyncio.wait([ahead], timeout=FLIGHT_S)
            if await self._from_memory():
                return
        # Who waited in vain goes alone: a leader that failed must not hold up a queue.
        mine = asyncio.get_running_loop().create_future() if ahead is None else None
        if mine is not None:
            flights[self.key] = mine
        try:
            await self._fresh()
        finally:
            if mine is not None:
                del flights[self.key]
                mine.set_result(None)

    # --- alike questions ------------------------------------------------------------------

    async def _from_alike(self) -> bool:
        """From the answer to a question that is nearly the same."""
        request = self._request()
        if request is None or not cache_key.portable(self.key):
            return False
        asked = cache_key.context_key(self.base, request)
        if asked is None:
            return False
        place, words = asked
        vector = await vector_of(self.runtime, self.call, self.policy.semantic, words)
        if vector is None:
            return False
        self.context = place, vector
        similar = self.store.similar
        found = similar.nearest(place, vector, self.policy.threshold)
        if found is None:
            return False
        key, likeness = found
        kept = self.store.memory.get(key, time.time())
        if kept is None:
            kept = await self.store.load(key, time.time())
        if kept is None:
            similar.drop(place, key)
        return await self._given(kept, likeness)

    # --- keeping --------------------------------------------------------------------------

    def piece(self, status: int, data: bytes) -> None:
        """A piece that the client has got."""
        self._size += len(data)
        if self._size > self.policy.max_bytes or status != 200:
            self._parts = None
        elif self._parts is not None:
            self._parts.append(data)

    def end(self, status: int, data: bytes) -> None:
        """The last piece: a client may leave as soon as it has it, so it is kept at once."""
        self.piece(status, data)
        if self._parts is not None:
            self._keep(b"".join(self._parts))

    def _keep(self, body: bytes) -> None:
        """Keep what the client got, if it is an answer to keep."""
        call, controls = self.call, self.passage.controls
        if not controls.keep or self.passage.kept is not None:
            return
        kept = _kept(call, body, controls.ttl_s or self.policy.ttl_s)
        if kept is None or not (self.key or self._find_key()):
            return
        self.store.keep(self.key, self.route.id, kept, _masks(call))
        if self.context is not None:
            self.store.similar.add(*self.context, self.key)


def _has_state(call: Call) -> bool:
    """Whether a server's state led to the request, or is made of its answer.

    An answer that is kept by its id, to be gone on from, is asked for each time.
    """
    if call.kept is not None or call.native is not None or call.heard is not None:
        return True
    return call.keeping is not None and call.keeping.store


def _kept(call: Call, body: bytes, ttl_s: int) -> Kept | None:
    """The answer that a call got; None for one that is not to be given again."""
    entry, target = call.entry, call.target
    if entry is None or target is None or entry.outcome != "ok" or call.error is not None:
        return None
    if call.verb == "generate" and entry.finish not in ENDS:
        return None
    now = time.time()
    return Kept(
        form=cache_key.form_of(call),
        dialect=call.dialect.name,
        stream=call.stream and call.verb == "generate",
        framing=call.framing,
        body=body,
        made_at=now,
        ends_at=now + ttl_s,
        label=target.model.label,
        provider=entry.provider,
        model=entry.model,
        upstream_dialect=entry.upstream_dialect,
        finish=entry.finish,
        tokens={name: getattr(entry, name) for name in _TOKENS},
        usage_source=entry.usage_source,
        cost_usd=entry.cost_usd,
        adaptations=list(call.adaptations),
    )


def _masks(call: Call) -> tuple[Mask, ...] | None:
    """What nothing that is stored may hold; None where the key or the route stores nothing."""
    route, key = call.route, call.key
    if route is not None and route.log_bodies is False:
        return None
    if key is not None and key.log_bodies is False:
        return None
    return call.snapshot.masks
