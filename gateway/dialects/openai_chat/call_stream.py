"""Tool calls as a provider streams them -> events, one call open at a time.

The wire may interleave calls, repeat or delay ids and names, leave out indexes or
give all calls the same one. The first call streams; pieces of later ones wait until
its arguments are whole or the answer ends, and are then given in order.
"""

from __future__ import annotations

from typing import Any

from gateway.canon.arguments import parsed
from gateway.canon.events import BlockEnd, BlockStart, Delta, Event, Signed
from gateway.canon.request import Signature
from gateway.dialects.base import Rendered
from gateway.dialects.fields import compact
from gateway.dialects.openai_chat.calls import THOUGHT, signature_in

Json = dict[str, Any]


class _Call:
    """One call as far as it is known."""

    __slots__ = ("custom", "given", "id", "name", "pieces", "signature", "started")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.custom = False
        self.pieces: list[str] = []
        self.given = 0
        self.started = False
        self.signature: Signature | None = None

    @property
    def whole(self) -> bool:
        """Whether the arguments so far are a complete JSON object."""
        if self.custom or not self.pieces or not self.pieces[-1].rstrip().endswith("}"):
            return False
        return parsed("".join(self.pieces))[0] is not None


class CallStream:
    """All calls of one answer. `any` tells whether there was one."""

    def __init__(self, rendered: Rendered | None) -> None:
        self._names = rendered.names if rendered is not None else {}
        self._wrapped = rendered.custom if rendered is not None else frozenset()
        self._waiting: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._count = 0
        self.answer_id = ""
        self.signer: tuple[str, str] = ("", "")

    @property
    def any(self) -> bool:
        """Whether the answer holds a call."""
        return self._count > 0

    @property
    def open(self) -> bool:
        """Whether a call is not closed yet."""
        return bool(self._waiting)

    def feed(self, item: Any, events: list[Event]) -> None:
        """Take in one piece of a call; anything that is none is left out."""
        if not isinstance(item, dict):
            return
        call = self._call_of(item)
        if call is None:
            return
        self._fill(call, item)
        first = self._waiting[0]
        if call is first:
            self._give(call, events)
        while len(self._waiting) > 1 and self._waiting[0].whole:
            self._close(events)
            self._give(self._waiting[0], events)

    def close(self, events: list[Event]) -> None:
        """Give what is left of all calls, in order."""
        while self._waiting:
            self._close(events)

    def _call_of(self, item: Json) -> _Call | None:
        index, call_id, name = (
            item.get("index"),
            item.get("id"),
            _inner(item).get("name"),
        )
        if type(index) is not int:
            return self._without_index(call_id, name)
        call = self._by_index.get(index)
        # The same index under another id and name is the next call, not more of this one.
        other = bool(call and call_id and name and call.id and call_id != call.id)
        if call is None or other:
            call = self._by_index[index] = self._new()
        elif call not in self._waiting:
            return None
        return call

    def _without_index(self, call_id: Any, name: Any) -> _Call:
        if call_id:
            known = next((call for call in self._waiting if call.id == call_id), None)
            return known or self._new()
        last = self._waiting[-1] if self._waiting else None
        if last is None or (name and last.name and (name != last.name or last.whole)):
            return self._new()
        return last

    def _new(self) -> _Call:
        call = _Call()
        self._waiting.append(call)
        self._count += 1
        return call

    def _fill(self, call: _Call, item: Json) -> None:
        inner = _inner(item)
        call_id, name = item.get("id"), inner.get("name")
        if isinstance(call_id, str) and call_id and not call.id:
            call.id = call_id
        if isinstance(name, str) and name and not call.name:
            call.name = name
        if "custom" in item:
            call.custom = True
        piece = inner.get("input") if call.custom else inner.get("arguments")
        if isinstance(piece, dict | list):
            piece = compact(piece)
        if isinstance(piece, str) and piece:
            call.pieces.append(piece)
        if (signature := signature_in(item)) is not None:
            provider, model = self.signer
            call.signature = Signature(
                provider=provider, model=model, kind=THOUGHT, value=signature.value
            )

    def _give(self, call: _Call, events: list[Event]) -> None:
        """Give what may be given of the first call: all but a wrapped free text."""
        if not call.started:
            if not call.id or not call.name:
                return
            self._start(call, events)
        if call.name in self._wrapped:
            return
        events += [Delta(piece) for piece in call.pieces[call.given :]]
        call.given = len(call.pieces)

    def _start(self, call: _Call, events: list[Event]) -> None:
        call.started = True
        events.append(
            BlockStart(
                kind="tool_call",
                id=call.id,
                name=self._names.get(call.name, call.name),
                custom=call.custom or call.name in self._wrapped,
            )
        )

    def _close(self, events: list[Event]) -> None:
        call = self._waiting.pop(0)
        if not call.started:
            if not call.name and not call.pieces:
                self._count -= 1
                return
            call.id = (
                call.id or f"call_{self.answer_id or 'g'}_{self._count - len(self._waiting) - 1}"
            )
            self._start(call, events)
        if call.name in self._wrapped:
            text = _unwrapped("".join(call.pieces))
            events += [Delta(text)] if text else []
        else:
            events += [Delta(piece) for piece in call.pieces[call.given :]]
        if call.signature is not None:
            events.append(Signed(call.signature))
        events.append(BlockEnd())


def _inner(item: Json) -> Json:
    inner = item.get("function")
    if not isinstance(inner, dict):
        inner = item.get("custom")
    return inner if isinstance(inner, dict) else {}


def _unwrapped(text: str) -> str:
    """The free text inside the object that stands for it."""
    arguments, _ = parsed(text)
    value = arguments.get("input") if arguments else None
    return value if isinstance(value, str) else text
