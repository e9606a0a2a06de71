"""What a turn with tool calls loses at clients that can not carry a model's state, and its repair.

A turn is known again by two keys. `turn` is a digest of all that was said before and of the
calls themselves; it holds for clients that give calls no ids of their own. `call` is a digest
of the first call with its id; it holds where a client has cut or rewritten its history.
Where several models were asked the same, a model is given its own.
Words are not kept, only how many there were: the client brings them back itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from gateway.canon.adaptation import Adaptation, dropped
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
from gateway.canon.signature import family
from gateway.canon.traits import Traits

_DIGEST_BYTES = 16
_encode = msgspec.json.Encoder(order="sorted").encode


class Keys(msgspec.Struct, frozen=True):
    """What a turn is known by: two digests in hexadecimal digits."""

    turn: str
    call: str


class Piece(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of a kept turn: so many characters of text, a call, or a thought as a whole."""

    length: int = 0
    call: str = ""
    thought: bool = False
    text: str = ""
    redacted: bool = False
    summary: bool = False
    state: Signature | None = None


class Kept(msgspec.Struct, frozen=True):
    """The thoughts and the state of one turn, in their places."""

    pieces: tuple[Piece, ...] = ()

    @property
    def maker(self) -> str:
        """Which model's state it is, as `maker_of` says it; empty if it has none."""
        states = (piece.state for piece in self.pieces if piece.state is not None)
        first = next((state for state in states if state.provider), None)
        return f"{first.provider}/{family(first.model)}" if first is not None else ""

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return 200 + sum(
            100 + len(piece.text) + (len(piece.state.value) if piece.state else 0)
            for piece in self.pieces
        )


def maker_of(traits: Traits) -> str:
    """A model as the maker of state: its provider, and its name without a snapshot's date."""
    return f"{traits.kind}/{family(traits.model)}"


# --- what is kept ------------------------------------------------------------------------


def kept_of(parts: Iterable[Part]) -> Kept | None:
    """What of an answer a client may lose; None without a call or without any state."""
    pieces = tuple(piece for part in parts if (piece := _piece(part)) is not None)
    calls = any(piece.call for piece in pieces)
    held = any(piece.state is not None and piece.state.provider for piece in pieces)
    return Kept(pieces) if calls and held else None


def _piece(part: Part) -> Piece | None:
    match part:
        case Text() if part.text:
            return Piece(length=len(part.text))
        case ToolCall():
            return Piece(call=part.id, state=part.signature)
        case Reasoning() if part.text or part.signature is not None:
            return Piece(
                thought=True,
                text=part.text,
                redacted=part.redacted,
                summary=part.summary,
                state=part.signature,
            )
        case _:
            return None


# --- what it is known by -----------------------------------------------------------------


def keys_after(request: Request, answer: Iterable[Part], scope: str) -> Keys:
    """The keys of the turn that answers this request."""
    said = hashlib.blake2b(scope.encode(), digest_size=_DIGEST_BYTES)
    for turn in request.turns:
        said.update(_said(turn))
    return _keys(said, [part for part in answer if isinstance(part, ToolCall)], scope)


def keys_in(request: Request, scope: str, wanted: Iterable[int]) -> Iterator[tuple[int, Keys]]:
    """The keys of turns in a request's history, by their places."""
    places = frozenset(wanted)
    said = hashlib.blake2b(scope.encode(), digest_size=_DIGEST_BYTES)
    for place, turn in enumerate(request.turns):
        if place in places:
            yield place, _keys(said, [p for p in turn.parts if isinstance(p, ToolCall)], scope)
        said.update(_said(turn))


def _keys(said: Any, calls: list[ToolCall], scope: str) -> Keys:
    here = said.copy()
    here.update(_encode([[call.name, _given(call)] for call in calls]))
    first = calls[0]
    own = _encode([scope, first.id, first.name, _given(first)])
    return Keys(here.hexdigest(), hashlib.blake2b(own, digest_size=_DIGEST_BYTES).hexdigest())


def _given(call: ToolCall) -> Any:
    return call.raw if call.arguments is None else call.arguments


def _said(turn: Turn) -> bytes:
    """What a turn says, in bytes that are the same each time a client sends it.

    Without ids, which some clients do not keep, and without thoughts, which most do not;
    and without the system's words, where clients put the time of day.
    """
    if turn.role == "system":
        return b""
    told = [item for part in turn.parts if (item := _item(part)) is not None]
    return _encode([turn.role, told])


def _item(part: Part) -> list[Any] | None:
    match part:
        case Text() | Refusal():
            words = part.text.strip()
            return ["text", words] if words else None
        case ToolCall():
            return ["call", part.name, _given(part)]
        case ToolResult():
            inner = (_item(p) for p in part.parts)
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


# --- what is restored --------------------------------------------------------------------


def lacking(request: Request, *, words_do: bool) -> list[int]:
    """The places of turns with calls whose state the client did not bring.

    `words_do`: whether thoughts without a state of their own will do (DeepSeek's).
    """
    return [
        place
        for place, turn in enumerate(request.turns)
        if turn.role == "assistant" and _lacks(turn, words_do=words_do)
    ]


def _lacks(turn: Turn, *, words_do: bool) -> bool:
    called = False
    for part in turn.parts:
        called = called or isinstance(part, ToolCall)
        state = part.signature if isinstance(part, Reasoning | ToolCall) else None
        if state is not None and (state.provider or words_do):
            return False
        if words_do and isinstance(part, Reasoning):
            return False
    return called


def restored(request: Request, kept: Mapping[int, Kept]) -> Request:
    """The request with the turns at these places as they were; itself where there are none."""
    if not kept:
        return request
    turns = list(request.turns)
    for place, held in kept.items():
        turns[place] = _turn(turns[place], held)
    return replace(request, turns=tuple(turns))


def _turn(turn: Turn, kept: Kept) -> Turn:
    calls = [part for part in turn.parts if isinstance(part, ToolCall)]
    rest: list[Part] = [p for p in turn.parts if not isinstance(p, ToolCall | Reasoning)]
    rest = _cut(rest, [piece.length for piece in kept.pieces if piece.length])
    told = sum(bool(piece.length) for piece in kept.pieces)
    out: list[Part] = []
    for piece in kept.pieces:
        if piece.thought:
            out.append(_thought(piece, turn.at))
        elif piece.length:
            told -= 1
            # The last text takes with it whatever else the client put beside the calls.
            many = len(rest) if told == 0 else 1
            out += rest[:many]
            del rest[:many]
        elif calls:
            out += [*rest, _signed(calls.pop(0), piece)]
            rest.clear()
    return replace(turn, parts=(*out, *rest, *calls))


def _cut(parts: list[Part], lengths: list[int]) -> list[Part]:
    """The one text of a client that joins all of a turn's, cut where the model began anew."""
    match parts:
        case [Text(text=words, citations=()) as only] if len(lengths) > 1 and len(words) == sum(
            lengths
        ):
            cut: list[Part] = []
            for length in lengths:
                cut.append(replace(only, text=words[:length], cache=None))
                words = words[length:]
            cut[-1] = replace(cut[-1], cache=only.cache)
            return cut
        case _:
            return parts


def _thought(piece: Piece, at: str) -> Reasoning:
    return Reasoning(
        text=piece.text,
        signature=piece.state,
        redacted=piece.redacted,
        summary=piece.summary,
        at=f"{at}.reasoning" if at else "",
    )


def _signed(call: ToolCall, piece: Piece) -> ToolCall:
    if piece.state is None or call.signature is not None:
        return call
    return replace(call, signature=piece.state)


# --- what is given up --------------------------------------------------------------------


def stateless(request: Request) -> tuple[Request, tuple[Adaptation, ...]]:
    """The request without any opaque state, and a record of each that it had.

    Thoughts that are only words stay: no upstream can find them forged.
    """
    why = "the upstream did not accept the reasoning state; sent again without it"
    report: list[Adaptation] = []
    turns = [_bare(turn, why, report) for turn in request.turns]
    return replace(request, turns=tuple(turns)), tuple(report)


def _bare(turn: Turn, why: str, report: list[Adaptation]) -> Turn:
    parts: list[Part] = []
    for part in turn.parts:
        held = part.signature if isinstance(part, Reasoning | ToolCall) else None
        if held is None or not held.value:
            parts.append(part)
            continue
        at = part.at or turn.at
        report.append(dropped(at if isinstance(part, Reasoning) else f"{at}.signature", why))
        if isinstance(part, ToolCall):
            parts.append(replace(part, signature=None))
    return replace(turn, parts=tuple(parts))
