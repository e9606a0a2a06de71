"""Parses incomplete JSON: the value so far, and the paths that are still incomplete.

'{"name": "Ada", "tags": ["a", "b'   ->   {"name": "Ada", "tags": ["a", "b"]},
                                          incomplete: (), ("tags",), ("tags", 1)
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

Path = tuple[str | int, ...]

_SPACE = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.S)
_OPEN_STRING = re.compile(r'"((?:[^"\\]|\\(?:u[0-9a-fA-F]{4}|[^u]))*)', re.S)
_LITERAL = re.compile(r"[-+.\w]+")
_CONSTANTS = {"true": True, "false": False, "null": None}
_MAX_DEPTH = 100


class InvalidJson(Exception):
    """The text cannot become valid JSON, whatever follows."""

    def __init__(self, offset: int) -> None:
        super().__init__(offset)
        self.offset = offset


class PartialValue(msgspec.Struct, frozen=True, kw_only=True):
    """Value so far. `empty` if the text has no value yet."""

    value: Any = None
    incomplete_paths: frozenset[Path] = frozenset()
    empty: bool = False


class _EndOfText(Exception):
    pass


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.offset = 0
        self.incomplete_paths: set[Path] = set()

    def skip_whitespace(self) -> None:
        match = _SPACE.match(self.text, self.offset)
        self.offset = match.end() if match else self.offset
        if self.offset >= len(self.text):
            raise _EndOfText

    def read_value(self, path: Path) -> Any:
        self.skip_whitespace()
        if len(path) > _MAX_DEPTH:
            raise InvalidJson(self.offset)
        match self.text[self.offset]:
            case "{":
                return self.read_container(path, {}, "}")
            case "[":
                return self.read_container(path, [], "]")
            case '"':
                return self.read_string(path)
            case _:
                return self.read_literal(path)

    def read_container(self, path: Path, out: Any, end: str) -> Any:
        """Read an object or a list; keep the received members when the text ends."""
        self.incomplete_paths.add(path)
        self.offset += 1
        try:
            self.skip_whitespace()
            if self.text[self.offset] != end:
                self.read_members(path, out, end)
            self.offset += 1
        except _EndOfText:
            self.offset = len(self.text)
            return out
        self.incomplete_paths.discard(path)
        return out

    def read_members(self, path: Path, out: Any, end: str) -> None:
        while True:
            self.skip_whitespace()
            key: str | int = len(out) if isinstance(out, list) else self.read_key()
            if isinstance(out, list):
                out.append(self.read_value((*path, key)))
            else:
                # The name alone may violate the schema, so it is set before its value arrives.
                self.incomplete_paths.add((*path, key))
                out[key] = None
                self.skip_whitespace()
                self.incomplete_paths.discard((*path, key))
                out[key] = self.read_value((*path, key))
            self.skip_whitespace()
            separator = self.text[self.offset]
            if separator == end:
                return
            if separator != ",":
                raise InvalidJson(self.offset)
            self.offset += 1

    def read_key(self) -> str:
        if self.text[self.offset] != '"':
            raise InvalidJson(self.offset)
        match = _STRING.match(self.text, self.offset)
        if match is None:
            raise _EndOfText
        self.offset = match.end()
        self.skip_whitespace()
        if self.text[self.offset] != ":":
            raise InvalidJson(self.offset)
        self.offset += 1
        return str(self.decode_string(match[0]))

    def read_string(self, path: Path) -> str:
        match = _STRING.match(self.text, self.offset)
        if match is not None:
            self.offset = match.end()
            return str(self.decode_string(match[0]))
        self.incomplete_paths.add(path)
        open_match = _OPEN_STRING.match(self.text, self.offset)
        self.offset = len(self.text)
        return str(self.decode_string(f'"{open_match[1]}"')) if open_match else ""

    def decode_string(self, text: str) -> Any:
        try:
            return msgspec.json.decode(text)
        except (msgspec.MsgspecError, UnicodeError):
            # Half of a surrogate pair, or a raw control character that some models write.
            return text[1:-1]

    def read_literal(self, path: Path) -> Any:
        match = _LITERAL.match(self.text, self.offset)
        if match is None:
            raise InvalidJson(self.offset)
        literal, start = match[0], self.offset
        self.offset = match.end()
        if self.offset == len(self.text):
            # `tru` or `12` may be continued.
            self.incomplete_paths.add(path)
            if any(name.startswith(literal) for name in _CONSTANTS):
                return next(value for name, value in _CONSTANTS.items() if name.startswith(literal))
            literal = literal.rstrip("eE+-.") or "0"
        try:
            return _CONSTANTS[literal] if literal in _CONSTANTS else msgspec.json.decode(literal)
        except msgspec.MsgspecError:
            raise InvalidJson(start) from None


def parse_partial(text: str) -> PartialValue:
    """Parse the value so far. Raises InvalidJson if the text cannot become JSON."""
    reader = _Reader(text)
    try:
        value = reader.read_value(())
    except _EndOfText:
        return PartialValue(empty=True)
    try:
        reader.skip_whitespace()
    except _EndOfText:
        return PartialValue(value=value, incomplete_paths=frozenset(reader.incomplete_paths))
    raise InvalidJson(reader.offset)
