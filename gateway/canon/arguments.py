"""A tool call's arguments: the string on the wire <-> the object they mean."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from gateway.canon.request import ToolCall


def parse_arguments(text: str) -> tuple[dict[str, Any] | None, str | None]:
    """`(arguments, raw_arguments)`: the object, or the string if it is not a JSON object.

    An empty string and `null` mean no arguments; several providers send them for `{}`.
    """
    if not text.strip():
        return {}, None
    try:
        arguments = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None, text
    if arguments is None:
        return {}, None
    return (arguments, None) if isinstance(arguments, dict) else (None, text)


def render_arguments(call: ToolCall) -> str:
    """A call's arguments as a string; invalid JSON is returned as the model wrote it."""
    if call.arguments is None:
        return call.raw_arguments or ""
    return msgspec.json.encode(call.arguments).decode()


NOT_AN_OBJECT = "the arguments are not a JSON object"
_OUTSIDE_STRING = re.compile(r'[{}"]')
_INSIDE_STRING = re.compile(r'["\\]')


class ObjectFragments:
    """The fragments of a JSON object, without what follows its end.

    Models sometimes write a brace too many or the object twice. Anthropic's TypeScript SDK parses
    arguments as they arrive, and ends the stream with an error at the text after the object.

    Attributes:
        has_more: whether something followed the object and was left out.
    """

    def __init__(self) -> None:
        self.has_more = False
        self._depth = 0
        self._is_in_string = self._is_escaped = self._has_ended = False

    @property
    def invalid_reason(self) -> str:
        """What to report of fragments that together are not a JSON object."""
        loss = (
            "the text after the JSON object is left out" if self.has_more else "passed on unchanged"
        )
        return f"{NOT_AN_OBJECT}; {loss}"

    def add(self, fragment: str) -> str:
        """The fragment up to the end of the object; empty after it."""
        if self._has_ended:
            self.has_more = self.has_more or bool(fragment.strip())
            return ""
        position = int(self._is_escaped and bool(fragment))
        self._is_escaped = self._is_escaped and not fragment
        while match := self._next_mark(fragment, position):
            position = match.end()
            mark = match[0]
            if mark == "\\":
                self._is_escaped = position == len(fragment)
                position += 1
            elif mark == '"':
                self._is_in_string = not self._is_in_string
            else:
                self._depth += 1 if mark == "{" else -1
                if self._depth == 0:
                    self._has_ended = True
                    self.has_more = bool(fragment[position:].strip())
                    return fragment[:position]
        return fragment

    def _next_mark(self, fragment: str, position: int) -> re.Match[str] | None:
        pattern = _INSIDE_STRING if self._is_in_string else _OUTSIDE_STRING
        return pattern.search(fragment, position)
