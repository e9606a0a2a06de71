"""Extracts and restores model state in turns with tool calls, for clients that drop it.

A turn is identified by two keys. `turn` is a digest of the history before it and of the calls
themselves; it works for clients that give calls no ids of their own. `call` is a digest of the
turn directly before it and of the first call with its id; it works if a client has truncated its
history. The id alone does not suffice, as some upstreams use the same ids in each conversation
(`call_0`). If several models responded to the same history, each model gets its own state. Text
is not stored, only its length: the client sends it back itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from gateway.canon.adaptation import Adaptation, dropped_field
from gateway.canon.request import (
    Audio,
    Document,
    Image,
    Native,
    Part,
    Reasoning,
    Refusal,
    Request,
    Signature,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from gateway.canon.signature import model_family
from gateway.canon.traits import Traits
from gateway.dialects.shared.state_tokens import REASONING_REFUSED

_DIGEST_BYTES = 16
_encode = msgspec.json.Encoder(order="sorted").encode


class TurnKeys(msgspec.Struct, frozen=True):
    """The keys of a turn: two digests in hexadecimal."""

    turn: str
    call: str


class StatePart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of a stored turn: the length of a text, a call, or a complete reasoning part."""

    length: int = 0
    call_id: str = ""
    reasoning: bool = False
    text: str = ""
    redacted: bool = False
    summary: bool = False
    state: Signature | None = None


class ReasoningState(msgspec.Struct, frozen=True):
    """The reasoning and the state of one turn, in order."""

    parts: tuple[StatePart, ...] = ()

    @property
    def model_key(self) -> str:
        """The key of the model that created the state; empty if there is no state."""
        states = (part.state for part in self.parts if part.state is not None)
        first = next((state for state in states if state.provider), None)
        return f"{first.provider}/{model_family(first.model)}" if first is not None else ""

    @property
    def size(self) -> int:
        """Approximate size in bytes."""
        return 200 + sum(
            100 + len(part.text) + (len(part.state.value) if part.state else 0)
            for part in self.parts
        )


def model_key(traits: Traits) -> str:
    """The provider and the name of a model, without a snapshot date: models share state by it."""
    return f"{traits.preset}/{model_family(traits.model)}"


# --- extracting --------------------------------------------------------------------------


def extract_state(parts: Iterable[Part]) -> ReasoningState | None:
    """The state in a response that a client may drop; None without a call or any state."""
    state_parts = tuple(
        state_part for part in parts if (state_part := _state_part(part)) is not None
    )
    has_calls = any(state_part.call_id for state_part in state_parts)
    has_state = any(
        state_part.state is not None and state_part.state.provider for state_part in state_parts
    )
    return ReasoningState(state_parts) if has_calls and has_state else None


def _state_part(part: Part) -> StatePart | None:
    match part:
        case Text() if part.text:
            return StatePart(length=len(part.text))
        case ToolCall():
            return StatePart(call_id=part.id, state=part.signature)
        case Reasoning() if part.text or part.signature is not None:
            return StatePart(
                reasoning=True,
                text=part.text,
                redacted=part.redacted,
                summary=part.summary,
                state=part.signature,
            )
        case _:
            return None


# --- keys --------------------------------------------------------------------------------


def keys_after(request: Request, response_parts: Iterable[Part], scope: str) -> TurnKeys:
    """The keys of the turn that answers this request."""
    history = _HistoryDigest(scope)
    for turn in request.turns:
        history.add(turn)
    return history.keys_of(response_parts)


def keys_in(request: Request, scope: str, indexes: Iterable[int]) -> Iterator[tuple[int, TurnKeys]]:
    """The keys of turns in a request's history, with their indexes."""
    requested_indexes = frozenset(indexes)
    history = _HistoryDigest(scope)
    for index, turn in enumerate(request.turns):
        if index in requested_indexes:
            yield index, history.keys_of(turn.parts)
        history.add(turn)


class _HistoryDigest:
    """The turns of a conversation up to one whose keys are needed."""

    def __init__(self, scope: str) -> None:
        self._scope = scope
        self._digest = hashlib.blake2b(scope.encode(), digest_size=_DIGEST_BYTES)
        self._last_turn = b""

    def add(self, turn: Turn) -> None:
        """Add the next turn."""
        if turn_input := _turn_digest_input(turn):
            self._digest.update(turn_input)
            self._last_turn = turn_input

    def keys_of(self, parts: Iterable[Part]) -> TurnKeys:
        """The keys of the turn that follows, of which only the calls count."""
        calls = [part for part in parts if isinstance(part, ToolCall)]
        turn_digest = self._digest.copy()
        turn_digest.update(_encode([[call.name, _arguments_or_raw(call)] for call in calls]))
        first_call = calls[0]
        call_digest = hashlib.blake2b(self._last_turn, digest_size=_DIGEST_BYTES)
        call_digest.update(
            _encode([self._scope, first_call.id, first_call.name, _arguments_or_raw(first_call)])
        )
        return TurnKeys(turn_digest.hexdigest(), call_digest.hexdigest())


def _arguments_or_raw(call: ToolCall) -> Any:
    return call.raw_arguments if call.arguments is None else call.arguments


def _turn_digest_input(turn: Turn) -> bytes:
    """The content of a turn, as bytes that are the same each time a client sends it.

    Excludes ids and reasoning, which many clients do not send back, and system turns, in
    which clients put the current time.
    """
    if turn.role == "system":
        return b""
    content = [item for part in turn.parts if (item := _part_digest_input(part)) is not None]
    return _encode([turn.role, content])


def _part_digest_input(part: Part) -> list[Any] | None:
    match part:
        case Text() | Refusal():
            text = part.text.strip()
            return ["text", text] if text else None
        case ToolCall():
            return ["call", part.name, _arguments_or_raw(part)]
        case ToolResult():
            inner = (_part_digest_input(p) for p in part.parts)
            return ["result", [item for item in inner if item is not None]]
        case Image():
            return ["image", part.data or part.url or part.file_id]
        case Document():
            return ["document", part.data or part.url or part.file_id or part.text]
        case Audio():
            return ["audio", part.data]
        case Native():
            return ["native", part.data]
        case _:
            return None


# --- restoring ---------------------------------------------------------------------------


def turns_missing_state(request: Request, *, text_suffices: bool) -> list[int]:
    """The indexes of turns with calls whose state the client did not send.

    `text_suffices`: whether reasoning text without opaque state is enough (DeepSeek).
    """
    return [
        index
        for index, turn in enumerate(request.turns)
        if turn.role == "assistant" and _misses_state(turn, text_suffices=text_suffices)
    ]


def _misses_state(turn: Turn, *, text_suffices: bool) -> bool:
    has_calls = False
    for part in turn.parts:
        has_calls = has_calls or isinstance(part, ToolCall)
        state = part.signature if isinstance(part, Reasoning | ToolCall) else None
        if state is not None and (state.provider or text_suffices):
            return False
        if text_suffices and isinstance(part, Reasoning):
            return False
    return has_calls


def restore_state(request: Request, states: Mapping[int, ReasoningState]) -> Request:
    """The request with the turns at these indexes restored; unchanged if there are none."""
    if not states:
        return request
    turns = list(request.turns)
    for index, state in states.items():
        turns[index] = _restore_turn(turns[index], state)
    return replace(request, turns=tuple(turns))


def _restore_turn(turn: Turn, state: ReasoningState) -> Turn:
    calls = [part for part in turn.parts if isinstance(part, ToolCall)]
    other_parts: list[Part] = [p for p in turn.parts if not isinstance(p, ToolCall | Reasoning)]
    other_parts = _split_text(
        other_parts, [state_part.length for state_part in state.parts if state_part.length]
    )
    remaining_texts = sum(bool(state_part.length) for state_part in state.parts)
    restored_parts: list[Part] = []
    for state_part in state.parts:
        if state_part.reasoning:
            restored_parts.append(_reasoning_part(state_part, turn.path))
        elif state_part.length:
            remaining_texts -= 1
            # All other parts that the client put next to the calls follow the last text.
            count = len(other_parts) if remaining_texts == 0 else 1
            restored_parts += other_parts[:count]
            del other_parts[:count]
        elif calls:
            restored_parts += [*other_parts, _with_signature(calls.pop(0), state_part)]
            other_parts.clear()
    return replace(turn, parts=(*restored_parts, *other_parts, *calls))


def _split_text(parts: list[Part], lengths: list[int]) -> list[Part]:
    """Split a text that a client has joined into the original texts of the turn."""
    match parts:
        case [Text(text=text, citations=()) as part] if len(lengths) > 1 and len(text) == sum(
            lengths
        ):
            split_parts: list[Part] = []
            for length in lengths:
                split_parts.append(replace(part, text=text[:length], cache=None))
                text = text[length:]
            split_parts[-1] = replace(split_parts[-1], cache=part.cache)
            return split_parts
        case _:
            return parts


def _reasoning_part(state_part: StatePart, turn_path: str) -> Reasoning:
    return Reasoning(
        text=state_part.text,
        signature=state_part.state,
        redacted=state_part.redacted,
        summary=state_part.summary,
        path=f"{turn_path}.reasoning" if turn_path else "",
    )


def _with_signature(call: ToolCall, state_part: StatePart) -> ToolCall:
    if state_part.state is None or call.signature is not None:
        return call
    return replace(call, signature=state_part.state)


# --- dropping ----------------------------------------------------------------------------


def drop_state(request: Request) -> tuple[Request, tuple[Adaptation, ...]]:
    """The request without any opaque state, and an adaptation for each state removed.

    Reasoning that is only text stays: no upstream verifies it.
    """
    report: list[Adaptation] = []
    turns = [_drop_turn_state(turn, report) for turn in request.turns]
    return replace(request, turns=tuple(turns)), tuple(report)


def _drop_turn_state(turn: Turn, report: list[Adaptation]) -> Turn:
    parts: list[Part] = []
    for part in turn.parts:
        signature = part.signature if isinstance(part, Reasoning | ToolCall) else None
        if signature is None or not signature.value:
            parts.append(part)
            continue
        path = part.path or turn.path
        report.append(
            dropped_field(
                path if isinstance(part, Reasoning) else f"{path}.signature", REASONING_REFUSED
            )
        )
        if isinstance(part, ToolCall):
            parts.append(replace(part, signature=None))
    return replace(turn, parts=tuple(parts))
