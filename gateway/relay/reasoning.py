"""The gateway's memory for reasoning that a client can not carry from one request to the next.

After an answer with tool calls its thoughts and signatures are kept, for the API key that
asked: in the process, bounded in bytes and time, and through `Wiring.keep_reasoning` where
other processes and later starts find them. Before a request with such calls in its history
goes to a model that wants them back, they are put in their places again. The same history
always gets the same state, so that prompt caches stay warm: what was kept first stays.

A state that the upstream refuses all the same is given up: `again_without` says once for
each target that the request is to be sent without any.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import msgspec

from gateway.canon.errors import Error
from gateway.canon.request import Part
from gateway.canon.traits import Traits
from gateway.dialects.base import Dialect
from gateway.relay.call import Call
from gateway.relay.prepare import passes, spoken
from gateway.relay.reasoning_turns import (
    Kept,
    Keys,
    kept_of,
    keys_after,
    keys_in,
    lacking,
    maker_of,
    restored,
    stateless,
)
from gateway.routing.snapshot import Target

log = logging.getLogger(__name__)

MEMORY_S = 3600.0
MEMORY_BYTES = 32 * 1024 * 1024
# An answer's next request may reach another process before the row is written.
SECOND_LOOK_S = 0.15
# A request, and an answer, wait no longer for a database that hangs, and none for the next while.
READ_S = 5.0
STORED_S = 0.5
AGAIN_S = 5.0
# Rows that wait to be written; more are let go, the process still has them.
MOST_WAITING = 2000
# What calls look like in a body, whatever the dialect.
_CALLED = (
    b'"tool_calls"',
    b'"tool_use"',
    b'"function_call"',
    b'"custom_tool_call"',
    b'"functionCall"',
    b'"function_call_output"',
)
# One of these is in each of them: two looks spare six in most bodies.
_HINTS = (b'"tool_', b'"custom_tool_', b"unction")
# What the places for state look like in the dialects that have them.
_STATES = (b"thoughtSignature", b"thought_signature", b'"signature"', b'"redacted_thinking"')
# What upstreams say of a state that they do not accept, by code and by their words.
_CODES = frozenset({"invalid_encrypted_content"})
_WORDS = (
    "encrypted content",
    "encrypted_content",
    "without its required following item",
    "without its required 'reasoning' item",
    "`signature` in `thinking` block",
    "`data` in `redacted_thinking` block",
    "blocks cannot be modified",
    "blocks in the latest assistant message cannot be modified",
    "bound to a different conversation",
    "thought signature",
    "thought_signature",
    "reasoning_content in the thinking mode must be passed back",
    "`reasoning_content` in the thinking mode must be passed back",
)

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Kept)


def _called(body: bytes) -> bool:
    """Whether calls may be in a body, whatever the dialect."""
    # Not with `in`, which costs bytes an exception each (`recorder._may_hold_key`).
    if body.find(_HINTS[0]) < 0 and body.find(_HINTS[2]) < 0 and body.find(_HINTS[1]) < 0:
        return False
    return any(word in body for word in _CALLED)


class Row(msgspec.Struct, frozen=True):
    """One kept turn on its way to or from the store: its two keys, and it in bytes."""

    turn: str
    call: str
    data: bytes


Keep = Callable[[list[Row]], None]
# All rows that any of the keys fits, the oldest first.
Find = Callable[[list[Keys]], list[Row]]


class Memory:
    """What one process remembers. `find` and `keep` run in a thread of its own."""

    def __init__(
        self,
        *,
        find: Find | None = None,
        keep: Keep | None = None,
        close: Callable[[], None] | None = None,
        seconds: float = MEMORY_S,
        most_bytes: int = MEMORY_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find, self._keep, self._close = find, keep, close
        self._seconds, self._most_bytes, self._clock = seconds, most_bytes, clock
        # Each turn under its three names: both keys, and each of the two. None: not known
        # elsewhere either.
        self._held: OrderedDict[str, tuple[float, int, Kept | None]] = OrderedDict()
        self._bytes = 0
        self._waiting: deque[Row] = deque()
        self._failing = False
        self._away_until = self._slow_until = 0.0
        self._thread: ThreadPoolExecutor | None = None
        self._storing: Future[None] | None = None

    # --- in --------------------------------------------------------------------------

    def wants(self, call: Call, target: Target, dialect: Dialect) -> bool:
        """Whether the answer of this call is one to remember."""
        if call.verb != "generate" or (call.body.find(b'"tools"') < 0 and call.kept is None):
            return False
        traits = target.model.traits
        if not replays(dialect, traits) or (call.passthrough and not _demanded(traits)):
            return False
        return not call.dialect.carries_state

    def note(self, call: Call, parts: Iterable[Part]) -> None:
        """Keep what the client may lose of this answer."""
        parts = tuple(parts)
        kept = kept_of(parts)
        if kept is None:
            return
        keys = keys_after(call.request, parts, _scope(call))
        self._put(keys, kept)
        if self._keep is None or len(self._waiting) >= MOST_WAITING:
            return
        self._waiting.append(Row(keys.turn, keys.call, _encoder.encode(kept)))
        self._storing = self._worker().submit(self._flush)

    async def stored(self) -> None:
        """Wait until the store has what was noted last, or STORED_S.

        Before a client has its answer: the next request of its loop may reach another process.
        """
        storing = self._storing
        if storing is None or storing.done() or self._clock() < self._slow_until:
            return
        _, late = await asyncio.wait({asyncio.wrap_future(storing)}, timeout=STORED_S)
        if late:
            self._slow_until = self._clock() + AGAIN_S

    def _flush(self) -> None:
        """In the thread: hand what waits to the store."""
        assert self._keep is not None
        rows: list[Row] = []
        while self._waiting:
            rows.append(self._waiting.popleft())
        if not rows:
            return
        try:
            self._keep(rows)
            self._failing = False
        except Exception:
            if not self._failing:
                log.exception("reasoning could not be kept for other processes")
            self._failing = True

    # --- out -------------------------------------------------------------------------

    async def recall(self, call: Call, target: Target) -> None:
        """Find what the history of this call lacks for this target; into `call.recalled`.

        Waits only where turns are not known here, and then for the store.
        """
        call.recalled = None
        places = wanted(call, target)
        if not places:
            return
        maker = maker_of(target.model.traits)
        found: dict[int, Kept] = {}
        unknown: dict[int, Keys] = {}
        for place, keys in keys_in(call.request, _scope(call), places):
            if isinstance(exact := self._exact(keys, maker), Kept):
                found[place] = exact
                continue
            if exact is _UNKNOWN:
                unknown[place] = keys
            # One key alone may be another conversation's: upstreams give ids twice.
            if exact is _UNKNOWN and (near := self._near(keys, maker)) is not None:
                found[place] = near
        if unknown and self._find is not None:
            found |= await self._ask(unknown, maker)
        call.recalled = found

    async def _ask(self, asked: dict[int, Keys], maker: str) -> dict[int, Kept]:
        """What the store has; the newest turn may still be on its way there."""
        found = await self._look(asked, maker)
        if found is None:
            return {}
        newest = max(asked)
        if newest not in found:
            await asyncio.sleep(SECOND_LOOK_S)
            found |= await self._look({newest: asked[newest]}, maker) or {}
        for place, keys in asked.items():
            if place in found:
                self._put(keys, found[place])
            elif self._near(keys, maker) is None:
                self._hold(_both(keys), None, 0)
        return found

    async def _look(self, places: dict[int, Keys], maker: str) -> dict[int, Kept] | None:
        assert self._find is not None
        if self._clock() < self._away_until:
            return None
        loop = asyncio.get_running_loop()
        asked = loop.run_in_executor(self._worker(), self._find, list(places.values()))
        try:
            rows = await asyncio.wait_for(asked, READ_S)
            self._failing = False
        except Exception:
            if not self._failing:
                log.exception("kept reasoning could not be read")
            self._failing = True
            self._away_until = self._clock() + AGAIN_S
            return None
        best = {place: _best(keys, rows, maker) for place, keys in places.items()}
        return {place: kept for place, kept in best.items() if kept is not None}

    # --- in the process --------------------------------------------------------------

    def _get(self, name: str) -> Kept | _Unknown | None:
        """What is known by this name; None if it is known that nobody has it."""
        held = self._held.get(name)
        if held is None:
            return _UNKNOWN
        if held[0] <= self._clock():
            self._drop(name)
            return _UNKNOWN
        if held[2] is not None:
            self._held[name] = (self._clock() + self._seconds, *held[1:])
            self._held.move_to_end(name)
        return held[2]

    def _exact(self, keys: Keys, maker: str) -> Kept | _Unknown | None:
        """What is known by both keys, of this model before any other."""
        own = self._get(_both(keys) + maker)
        return own if isinstance(own, Kept) else self._get(_both(keys))

    def _near(self, keys: Keys, maker: str) -> Kept | None:
        """What is known by one of the keys alone; the turn's is surer than an id."""
        names = (keys.turn + maker, keys.turn, keys.call + maker, keys.call)
        found = (self._get(name) for name in names)
        return next((kept for kept in found if isinstance(kept, Kept)), None)

    def _put(self, keys: Keys, kept: Kept) -> None:
        self._hold(_both(keys) + kept.maker, kept, kept.size)
        self._hold(_both(keys), kept, 100)
        for key in (keys.call, keys.turn):
            for name in (key + kept.maker, key):
                if name not in self._held:
                    self._hold(name, kept, 100)

    def _hold(self, name: str, kept: Kept | None, size: int) -> None:
        if name in self._held:
            self._drop(name)
        self._held[name] = (self._clock() + self._seconds, size, kept)
        self._bytes += size + 100
        while self._bytes > self._most_bytes:
            self._drop(next(iter(self._held)))

    def _drop(self, name: str) -> None:
        self._bytes -= self._held.pop(name)[1] + 100

    def _worker(self) -> ThreadPoolExecutor:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="reasoning")
        return self._thread

    def close(self) -> None:
        """Write what waits, and end the thread. Blocks while it writes."""
        if self._thread is None:
            return
        if self._close is not None:
            self._thread.submit(self._close)
        self._thread.shutdown(wait=True)
        self._thread = None


class _Unknown:
    """Says that a turn has not been looked for elsewhere."""


_UNKNOWN = _Unknown()


def _both(keys: Keys) -> str:
    return keys.turn + keys.call


def _scope(call: Call) -> str:
    """Whose reasoning it is: nobody is given what another key's model thought."""
    return f"key:{call.key.id}" if call.key is not None else "nobody"


def _best(keys: Keys, rows: list[Row], maker: str) -> Kept | None:
    """The row that fits best: by both keys, by the turn, by the call; each time one of this
    model before those of others, and the oldest of several.
    """
    tests: tuple[Callable[[Row], bool], ...] = (
        lambda row: row.turn == keys.turn and row.call == keys.call,
        lambda row: row.turn == keys.turn,
        lambda row: row.call == keys.call,
    )
    for fits in tests:
        found = [kept for row in rows if fits(row) and (kept := _read(row)) is not None]
        if found:
            return next((kept for kept in found if kept.maker == maker), found[0])
    return None


def _read(row: Row) -> Kept | None:
    try:
        return _decoder.decode(row.data)
    except msgspec.MsgspecError:
        log.warning("kept reasoning is damaged")
        return None


def wanted(call: Call, target: Target) -> list[int]:
    """The places of turns in a call's history whose reasoning this target is to have back."""
    if call.verb != "generate" or not (call.kept or _called(call.body)):
        return []
    dialect, traits = spoken(call, target), target.model.traits
    if not replays(dialect, traits):
        return []
    through = passes(call, target, dialect)
    if through and not (_demanded(traits) and _without_state(call)):
        return []
    return lacking(call.request, words_do=through)


def _without_state(call: Call) -> bool:
    """Whether a client may have left out what it was given; surely not if it brings any."""
    return not (call.dialect.carries_state and any(mark in call.body for mark in _STATES))


def _demanded(traits: Traits) -> bool:
    return traits.replay_reasoning == "required_on_tools"


def replays(dialect: Dialect, traits: Traits) -> bool:
    """Whether a model may be handed its own thoughts again in this dialect."""
    if not traits.reasoning:
        return False
    return dialect.replays_state or traits.replay_reasoning != "ignored"


# --- a state that is refused -----------------------------------------------------------


def refuses_state(error: Error) -> bool:
    """Whether an upstream's refusal is about reasoning that was sent back to it."""
    if error.kind != "invalid_request":
        return False
    words = error.message.lower()
    return error.code in _CODES or any(told in words for told in _WORDS)


def again_without(call: Call, target: Target, error: Error) -> bool:
    """Whether to send the call once more to this target, now without any state."""
    if call.stateless is target or call.verb != "generate" or not refuses_state(error):
        return False
    if not call.passthrough and not stateless(restored(call.request, call.recalled or {}))[1]:
        return False
    call.stateless = target
    return True
