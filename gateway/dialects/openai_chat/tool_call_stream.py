"""Streamed tool call deltas of a provider -> events, with one open call at a time.

Providers may interleave calls, repeat or delay ids and names, omit indexes or give all
calls the same index. The first call streams; fragments of later calls are buffered until
its arguments are complete or the response ends, and are then emitted in order.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Any

from gateway.canon.arguments import parse_arguments
from gateway.canon.events import BlockEnd, BlockStart, Delta, Event, SignatureDelta
from gateway.canon.request import Signature
from gateway.dialects.base import RenderedRequest
from gateway.dialects.openai_chat.tool_calls import THOUGHT_SIGNATURE, signature_in
from gateway.dialects.shared.fields import compact_json

Json = dict[str, Any]


# Quotes, braces, escapes; an escape at the end of a fragment continues in the next.
_STRUCTURAL_CHARS = re.compile(r'\\.|\\\Z|["{}]', re.DOTALL)


class _Call:
    """One call, as far as received."""

    __slots__ = (
        *("closed", "custom", "emitted_count", "fragments", "id", "name"),
        *("scanner", "signature", "started"),
    )

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.custom = False
        self.fragments: list[str] = []
        self.emitted_count = 0
        self.scanner = JsonObjectScanner()
        self.started = False
        self.closed = False
        self.signature: Signature | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the arguments so far are a complete JSON object."""
        if self.custom or not self.fragments or not self.fragments[-1].rstrip().endswith("}"):
            return False
        return self.scanner.is_complete(self.fragments)


class JsonObjectScanner:
    """Detects when text fragments form a complete JSON object; scans each fragment once."""

    __slots__ = (
        "_complete",
        "_escaped",
        "_in_string",
        "_invalid",
        "_open_braces",
        "_scanned_count",
    )

    def __init__(self) -> None:
        self._scanned_count = self._open_braces = 0
        self._in_string = self._escaped = self._complete = self._invalid = False

    def is_complete(self, pieces: list[str]) -> bool:
        """Whether the fragments form one object; False for good once text follows the object."""
        if self._invalid or (self._complete and self._scanned_count == len(pieces)):
            return self._complete and not self._invalid
        for place in range(self._scanned_count, len(pieces)):
            self._scan(pieces[place])
        self._scanned_count = len(pieces)
        if self._open_braces > 0 or self._in_string:
            return False
        self._complete = parse_arguments("".join(pieces))[0] is not None
        self._invalid = not self._complete
        return self._complete

    def _scan(self, fragment: str) -> None:
        char = ""
        for char in _STRUCTURAL_CHARS.findall(
            fragment[1:] if self._escaped and fragment else fragment
        ):
            if char == '"':
                self._in_string = not self._in_string
            elif char in "{}" and not self._in_string:
                self._open_braces += 1 if char == "{" else -1
        if fragment:
            self._escaped = char == "\\"


class ToolCallStream:
    """All calls of one answer."""

    def __init__(self, rendered: RenderedRequest | None) -> None:
        self._client_names = rendered.client_names if rendered is not None else {}
        self._custom_tools = rendered.custom_tools if rendered is not None else frozenset()
        self._pending: deque[_Call] = deque()
        self._by_index: dict[int, _Call] = {}
        self._by_id: dict[str, deque[_Call]] = {}
        self._count = 0
        self.response_id = ""
        self.state_origin: tuple[str, str] = ("", "")

    @property
    def has_calls(self) -> bool:
        """Whether the answer holds a call."""
        return self._count > 0

    @property
    def has_open_call(self) -> bool:
        """Whether a call is not closed yet."""
        return bool(self._pending)

    def feed(self, delta: Any, events: list[Event]) -> None:
        """Process one tool call delta; anything else is ignored."""
        if not isinstance(delta, dict):
            return
        call = self._find_or_add_call(delta)
        if call is None:
            return
        self._merge_delta(call, delta)
        first_call = self._pending[0]
        if call is first_call:
            self._emit_fragments(call, events)
        while len(self._pending) > 1 and self._pending[0].is_complete:
            self._close_first(events)
            self._emit_fragments(self._pending[0], events)

    def close(self, events: list[Event]) -> None:
        """Emit the remaining fragments of all calls, in order."""
        while self._pending:
            self._close_first(events)

    def _find_or_add_call(self, delta: Json) -> _Call | None:
        index, call_id, name = (
            delta.get("index"),
            delta.get("id"),
            _function_of(delta).get("name"),
        )
        if type(index) is not int:
            return self._find_call_without_index(call_id, name)
        call = self._by_index.get(index)
        # The same index with another id and name is the next call, not a delta of this one.
        is_next_call = bool(call and call_id and name and call.id and call_id != call.id)
        if call is None or is_next_call:
            call = self._by_index[index] = self._add_call()
        elif call.closed:
            return None
        return call

    def _find_call_without_index(self, call_id: Any, name: Any) -> _Call:
        if call_id:
            return self._find_open_call(call_id) or self._add_call()
        last_call = self._pending[-1] if self._pending else None
        if last_call is None or (
            name and last_call.name and (name != last_call.name or last_call.is_complete)
        ):
            return self._add_call()
        return last_call

    def _find_open_call(self, call_id: Any) -> _Call | None:
        """The first call with this id that is not closed."""
        calls = self._by_id.get(call_id) if isinstance(call_id, str) else None
        while calls and calls[0].closed:
            calls.popleft()
        return calls[0] if calls else None

    def _add_call(self) -> _Call:
        call = _Call()
        self._pending.append(call)
        self._count += 1
        return call

    def _merge_delta(self, call: _Call, delta: Json) -> None:
        inner = _function_of(delta)
        call_id, name = delta.get("id"), inner.get("name")
        if isinstance(call_id, str) and call_id and not call.id:
            call.id = call_id
            self._by_id.setdefault(call_id, deque()).append(call)
        if isinstance(name, str) and name and not call.name:
            call.name = name
        if "custom" in delta:
            call.custom = True
        fragment = inner.get("input") if call.custom else inner.get("arguments")
        if isinstance(fragment, dict | list):
            fragment = compact_json(fragment)
        if isinstance(fragment, str) and fragment:
            call.fragments.append(fragment)
        if (signature := signature_in(delta)) is not None:
            provider, model = self.state_origin
            call.signature = Signature(
                provider=provider, model=model, kind=THOUGHT_SIGNATURE, value=signature.value
            )

    def _emit_fragments(self, call: _Call, events: list[Event]) -> None:
        """Emit the buffered fragments of the first call, unless it is a custom tool's."""
        if not call.started:
            if not call.id or not call.name:
                return
            self._emit_start(call, events)
        if call.name in self._custom_tools:
            return
        events += [Delta(fragment) for fragment in call.fragments[call.emitted_count :]]
        call.emitted_count = len(call.fragments)

    def _emit_start(self, call: _Call, events: list[Event]) -> None:
        call.started = True
        events.append(
            BlockStart(
                kind="tool_call",
                id=call.id,
                name=self._client_names.get(call.name, call.name),
                custom=call.custom or call.name in self._custom_tools,
            )
        )

    def _close_first(self, events: list[Event]) -> None:
        call = self._pending.popleft()
        call.closed = True
        if not call.started:
            if not call.name and not call.fragments:
                self._count -= 1
                return
            call.id = (
                call.id or f"call_{self.response_id or 'g'}_{self._count - len(self._pending) - 1}"
            )
            self._emit_start(call, events)
        if call.name in self._custom_tools:
            text = _unwrap_free_text("".join(call.fragments))
            events += [Delta(text)] if text else []
        else:
            events += [Delta(fragment) for fragment in call.fragments[call.emitted_count :]]
        if call.signature is not None:
            events.append(SignatureDelta(call.signature))
        events.append(BlockEnd())


def _function_of(delta: Json) -> Json:
    function = delta.get("function")
    if not isinstance(function, dict):
        function = delta.get("custom")
    return function if isinstance(function, dict) else {}


def _unwrap_free_text(text: str) -> str:
    """The free text inside the object that wraps it."""
    arguments, _ = parse_arguments(text)
    value = arguments.get("input") if arguments else None
    return value if isinstance(value, str) else text
