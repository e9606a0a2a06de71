"""Reasoning state that clients cannot send back: stored per response, restored in later requests.

After a response with tool calls its reasoning and signatures are stored for the API key: in the
process, bounded in bytes and time, and in the database (`Wiring.reasoning`), where other processes
and later starts find them. Before a request with such calls in its history is sent to a model that
requires them, they are restored. The first stored state is used, so that the same history always
gets the same state and prompt caches hit.

State that the upstream rejects nevertheless is dropped: `retry_without_state` allows one retry
without it for each target.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import msgspec

from gateway.canon.errors import Error
from gateway.canon.request import Part
from gateway.canon.traits import Traits
from gateway.dialects.base import Dialect
from gateway.relay.event_loop import offload
from gateway.relay.exchange.call import Call
from gateway.relay.exchange.reasoning_turns import (
    ReasoningState,
    TurnKeys,
    drop_state,
    extract_state,
    keys_after,
    keys_in,
    model_key,
    restore_state,
    turns_missing_state,
)
from gateway.relay.exchange.request_features import end_user_of
from gateway.relay.translate.prepare import upstream_dialect, uses_passthrough
from gateway.routing.snapshot import Target

log = logging.getLogger(__name__)

MEMORY_S = 3600.0
MEMORY_BYTES = 32 * 1024 * 1024
# Memory of a name under which a state is found, roughly.
KEY_BYTES = 200
# The next request may reach another process before the row is written.
SECOND_READ_S = 0.15
# Maximum wait of a request and of a response for a slow database, and the pause after it.
READ_S = 5.0
STORED_S = 0.5
RETRY_S = 5.0
# Maximum pending rows; beyond it rows are not written, but stay in the process's memory.
MAX_PENDING = 2000
# Text that marks tool calls in a body, in any dialect.
_CALL_MARKERS = (
    b'"tool_calls"',
    b'"tool_use"',
    b'"function_call"',
    b'"custom_tool_call"',
    b'"functionCall"',
    b'"function_call_output"',
    b'"toolUse"',
)
# Each marker contains one of these: in most bodies they rule out all markers.
CALL_HINTS = (b'"tool_', b"unction", b'"custom_tool_', b'"toolUse"')
# Text that marks state in the dialects that carry it.
_STATE_MARKERS = (b"thoughtSignature", b"thought_signature", b'"signature"', b'"redacted_thinking"')
# Codes and messages with which upstreams reject a state.
_REFUSED_STATE_CODES = frozenset({"invalid_encrypted_content"})
_REFUSED_STATE_MESSAGES = (
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
_decoder = msgspec.msgpack.Decoder(ReasoningState)


def _may_have_calls(body: bytes) -> bool:
    """Whether a body may contain tool calls, in any dialect."""
    return offload.contains(body, CALL_HINTS) and offload.contains(body, _CALL_MARKERS)


class ReasoningRow(msgspec.Struct, frozen=True):
    """One stored turn, as written to and read from the store: its two keys, and its state."""

    turn: str
    call: str
    data: bytes


WriteReasoning = Callable[[list[ReasoningRow]], None]
# All rows that match any of the keys, the oldest first.
FindReasoning = Callable[[list[TurnKeys]], list[ReasoningRow]]


class ReasoningTable(NamedTuple):
    """Reasoning state in the database."""

    find: FindReasoning
    write: WriteReasoning


class ReasoningStore:
    """The reasoning state of one process. `find` and `write` run in a thread of its own."""

    def __init__(
        self,
        *,
        find: FindReasoning | None = None,
        write: WriteReasoning | None = None,
        close: Callable[[], None] | None = None,
        seconds: float = MEMORY_S,
        max_bytes: int = MEMORY_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find, self._write, self._close = find, write, close
        self._seconds, self._max_bytes, self._clock = seconds, max_bytes, clock
        # By both keys of a turn and the model.
        self._states: OrderedDict[str, _Entry] = OrderedDict()
        # Names of entries by one of the keys, with the model and without.
        self._names: dict[str, str] = {}
        self._bytes = 0
        self._pending: deque[ReasoningRow] = deque()
        self._failing = False
        self._unavailable_until = self._slow_until = 0.0
        self._thread: ThreadPoolExecutor | None = None
        self._last_write: Future[None] | None = None

    # --- storing ---------------------------------------------------------------------

    def should_store(self, call: Call, target: Target, dialect: Dialect) -> bool:
        """Whether to store the reasoning of the response to a call with tools."""
        exchange, passthrough = call.exchange, call.attempt.passthrough
        if exchange.verb != "generate":
            return False
        client = exchange.dialect
        if client.carries_reasoning_state and (passthrough or not client.may_omit_thoughts):
            return False
        traits = target.model.traits
        return may_replay_reasoning(dialect, traits) and (
            not passthrough or traits.requires_reasoning_replay
        )

    def store_reasoning(self, call: Call, parts: Iterable[Part]) -> None:
        """Store the state in this response that the client may drop."""
        parts = tuple(parts)
        state = extract_state(parts)
        if state is None:
            return
        keys = keys_after(call.exchange.request, parts, _reasoning_scope(call))
        self._put_state(keys, state)
        if self._write is None or len(self._pending) >= MAX_PENDING:
            return
        self._pending.append(ReasoningRow(keys.turn, keys.call, _encoder.encode(state)))
        self._last_write = self._executor().submit(self._write_pending)

    async def wait_stored(self) -> None:
        """Wait until the last row is written, at most STORED_S.

        Called before the client has its response: its next request may reach another process.
        """
        write = self._last_write
        if write is None or write.done() or self._clock() < self._slow_until:
            return
        _, pending = await asyncio.wait({asyncio.wrap_future(write)}, timeout=STORED_S)
        if pending:
            self._slow_until = self._clock() + RETRY_S

    def _write_pending(self) -> None:
        """Write pending rows to the store; runs in the thread."""
        assert self._write is not None
        rows: list[ReasoningRow] = []
        while self._pending:
            rows.append(self._pending.popleft())
        if not rows:
            return
        try:
            self._write(rows)
            self._failing = False
        except Exception:
            if not self._failing:
                log.exception("reasoning could not be stored for other processes")
            self._failing = True

    # --- restoring -------------------------------------------------------------------

    async def load_missing(self, call: Call, target: Target) -> Mapping[int, ReasoningState] | None:
        """The reasoning that turns of this call's history lack for this target, by their index.

        None if nothing is missing. Reads the store only for turns that are not in memory.
        """
        exchange = call.exchange
        size = exchange.offload_size
        if not size and (
            exchange.verb != "generate"
            or not (exchange.earlier_responses or _may_have_calls(exchange.body))
        ):
            return None
        indexes = await offload.run(size, turns_to_restore, call, target)
        if not indexes:
            return None
        keys_by_index = await offload.run(
            size, lambda: list(keys_in(exchange.request, _reasoning_scope(call), indexes))
        )
        target_key = model_key(target.model.traits)
        states: dict[int, ReasoningState] = {}
        unknown_turns: dict[int, TurnKeys] = {}
        for index, keys in keys_by_index:
            exact_state = self._get_state(_exact_name(keys, target_key))
            if isinstance(exact_state, ReasoningState):
                states[index] = exact_state
                continue
            if exact_state is _UNKNOWN_STATE:
                unknown_turns[index] = keys
            # A single key may match another state than both keys do.
            if (
                exact_state is _UNKNOWN_STATE
                and (similar := self._get_by_either_key(keys, target_key)) is not None
            ):
                states[index] = similar
        if unknown_turns and self._find is not None:
            states |= await self._find_in_store(unknown_turns, target_key)
        return states

    async def _find_in_store(
        self, keys_by_turn: dict[int, TurnKeys], model_key: str
    ) -> dict[int, ReasoningState]:
        """Read states from the store; retry the newest turn, which may not be written yet."""
        states = await self._read_store(keys_by_turn, model_key)
        if states is None:
            return {}
        newest = max(keys_by_turn)
        if newest not in states:
            await asyncio.sleep(SECOND_READ_S)
            states |= await self._read_store({newest: keys_by_turn[newest]}, model_key) or {}
        for index, keys in keys_by_turn.items():
            state = states.get(index)
            if state is not None:
                self._put_state(keys, state)
            if state is not None or self._get_by_either_key(keys, model_key) is None:
                # The next request does not look it up again, even if it is another model's.
                self._set_state(_exact_name(keys, model_key), state)
        return states

    async def _read_store(
        self, keys_by_turn: dict[int, TurnKeys], model_key: str
    ) -> dict[int, ReasoningState] | None:
        assert self._find is not None
        if self._clock() < self._unavailable_until:
            return None
        loop = asyncio.get_running_loop()
        query = loop.run_in_executor(self._executor(), self._find, list(keys_by_turn.values()))
        try:
            rows = await asyncio.wait_for(query, READ_S)
            self._failing = False
        except Exception:
            if not self._failing:
                log.exception("stored reasoning could not be read")
            self._failing = True
            self._unavailable_until = self._clock() + RETRY_S
            return None
        states = {
            index: _select_state(keys, rows, model_key) for index, keys in keys_by_turn.items()
        }
        return {index: state for index, state in states.items() if state is not None}

    # --- memory ----------------------------------------------------------------------

    def _get_state(self, name: str) -> ReasoningState | _NotLookedUp | None:
        """The state of this name; None if neither memory nor the store has it."""
        entry = self._states.get(name)
        if entry is None:
            return _UNKNOWN_STATE
        if entry.expires_at <= self._clock():
            self._drop_state(name)
            return _UNKNOWN_STATE
        if entry.state is not None:
            self._states[name] = entry._replace(expires_at=self._clock() + self._seconds)
            self._states.move_to_end(name)
        return entry.state

    def _get_by_either_key(self, keys: TurnKeys, model_key: str) -> ReasoningState | None:
        """The state under one of the keys; the turn key is more reliable than a call id."""
        for key in _single_keys(keys, model_key):
            state = self._get_state(self._names.get(key, ""))
            if isinstance(state, ReasoningState):
                return state
        return None

    def _put_state(self, keys: TurnKeys, state: ReasoningState) -> None:
        """Store a state under both keys, and under each of them that has none yet."""
        name = _exact_name(keys, state.model_key)
        self._set_state(name, state, _single_keys(keys, state.model_key))

    def _set_state(
        self, name: str, state: ReasoningState | None, single_keys: Iterable[str] = ()
    ) -> None:
        if name in self._states:
            self._drop_state(name)
        own_keys = tuple(key for key in single_keys if self._names.setdefault(key, name) == name)
        size = (0 if state is None else state.size) + KEY_BYTES * (1 + len(own_keys))
        self._states[name] = _Entry(self._clock() + self._seconds, size, state, own_keys)
        self._bytes += size
        while self._bytes > self._max_bytes:
            self._drop_state(next(iter(self._states)))

    def _drop_state(self, name: str) -> None:
        entry = self._states.pop(name)
        self._bytes -= entry.size
        for key in entry.single_keys:
            del self._names[key]

    def _executor(self) -> ThreadPoolExecutor:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="reasoning")
        return self._thread

    def close(self) -> None:
        """Write pending rows, and end the thread. Blocks while it writes."""
        if self._thread is None:
            return
        if self._close is not None:
            self._thread.submit(self._close)
        self._thread.shutdown(wait=True)
        self._thread = None


class _NotLookedUp:
    """Type of the marker for a turn that has not been looked up in the store."""


_UNKNOWN_STATE = _NotLookedUp()


class _Entry(NamedTuple):
    """A state in memory; without one, the store does not have it either."""

    expires_at: float
    size: int
    state: ReasoningState | None
    single_keys: tuple[str, ...]


def _exact_name(keys: TurnKeys, model_key: str) -> str:
    return keys.turn + keys.call + model_key


def _single_keys(keys: TurnKeys, model_key: str) -> Iterable[str]:
    names = (keys.turn + model_key, keys.turn, keys.call + model_key, keys.call)
    # A state of an unknown model has an empty key.
    return dict.fromkeys(names)


def _reasoning_scope(call: Call) -> str:
    """The scope of stored reasoning: no key or end user gets the reasoning of another."""
    exchange = call.exchange
    owner = f"key:{exchange.key.id}" if exchange.key is not None else "nobody"
    end_user = end_user_of(exchange)
    return f"{owner}/{end_user}" if end_user else owner


def _select_state(
    keys: TurnKeys, rows: list[ReasoningRow], model_key: str
) -> ReasoningState | None:
    """The state of the best matching row: by both keys, by the turn, else by the call.

    Of several, one of this model comes first, then the oldest.
    """
    tests: tuple[Callable[[ReasoningRow], bool], ...] = (
        lambda row: row.turn == keys.turn and row.call == keys.call,
        lambda row: row.turn == keys.turn,
        lambda row: row.call == keys.call,
    )
    for fits in tests:
        states = [state for row in rows if fits(row) and (state := _decode_row(row)) is not None]
        if states:
            return next((state for state in states if state.model_key == model_key), states[0])
    return None


def _decode_row(row: ReasoningRow) -> ReasoningState | None:
    try:
        return _decoder.decode(row.data)
    except msgspec.MsgspecError:
        log.warning("stored reasoning is damaged")
        return None


def turns_to_restore(call: Call, target: Target) -> list[int]:
    """The indexes of turns in a call's history whose reasoning must be restored for this target."""
    exchange = call.exchange
    if exchange.verb != "generate" or not (
        exchange.earlier_responses or _may_have_calls(exchange.body)
    ):
        return []
    dialect, traits = upstream_dialect(call, target), target.model.traits
    if not may_replay_reasoning(dialect, traits):
        return []
    passthrough = uses_passthrough(call, target, dialect)
    if passthrough and not (traits.requires_reasoning_replay and _may_lack_state(call)):
        return []
    return turns_missing_state(exchange.request, text_suffices=passthrough)


def _may_lack_state(call: Call) -> bool:
    """Whether a client may have dropped state; assumed not if its request contains any."""
    exchange = call.exchange
    return not (
        exchange.dialect.carries_reasoning_state and offload.contains(exchange.body, _STATE_MARKERS)
    )


def may_replay_reasoning(dialect: Dialect, traits: Traits) -> bool:
    """Whether a model may get its own reasoning back in this dialect."""
    if not traits.reasoning:
        return False
    return dialect.replays_reasoning or traits.replay_reasoning != "ignored"


# --- rejected state --------------------------------------------------------------------


def is_state_refusal(error: Error) -> bool:
    """Whether an upstream's error is about reasoning that was sent back to it."""
    if error.kind != "invalid_request":
        return False
    message = error.message.lower()
    return error.code in _REFUSED_STATE_CODES or any(
        phrase in message for phrase in _REFUSED_STATE_MESSAGES
    )


def retry_without_state(call: Call, target: Target, error: Error) -> bool:
    """Whether to call this target once more without any state; marks the call if so."""
    exchange = call.exchange
    if (
        call.state_rejected_by is target
        or exchange.verb != "generate"
        or not is_state_refusal(error)
    ):
        return False
    if (
        not call.attempt.passthrough
        and not drop_state(restore_state(exchange.request, call.attempt.recalled_reasoning or {}))[
            1
        ]
    ):
        return False
    call.state_rejected_by = target
    return True
