"""A JSON text that is still being written: its value so far, and what of it is still open.

'{"name": "Ada", "tags": ["a", "b'   ->   {"name": "Ada", "tags": ["a", "b"]},
                                          open: (), ("tags",), ("tags", 1)
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

Path = tuple[str | int, ...]

_SPACE = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.S)
_OPEN_STRING = re.compile(r'"((?:[^"\\]|\\(?:u[0-9a-fA-F]{4}|[^u]))*)', re.S)
_WORD = re.compile(r"[-+.\w]+")
_WORDS = {"true": True, "false": False, "null": None}
# Deeper than any answer that a person reads.
_DEEPEST = 100


class Broken(Exception):
    """The text can not become JSON any more, whatever follows."""

    def __init__(self, place: int) -> None:
        super().__init__(place)
        self.place = place


class Partial(msgspec.Struct, frozen=True, kw_only=True):
    """A value so far. `empty` if not even its first character has come."""

    value: Any = None
    open: frozenset[Path] = frozenset()
    empty: bool = False


class _Ended(Exception):
    pass


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.open: set[Path] = set()

    def skip(self) -> None:
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at
        if self.at >= len(self.text):
            raise _Ended

    def value(self, path: Path) -> Any:
        self.skip()
        if len(path) > _DEEPEST:
            raise Broken(self.at)
        match self.text[self.at]:
            case "{":
                return self.container(path, {}, "}")
            case "[":
                return self.container(path, [], "]")
            case '"':
                return self.string(path)
            case _:
                return self.word(path)

    def container(self, path: Path, out: Any, end: str) -> Any:
        """An object or a list; what of it has come stays when the text is over."""
        self.open.add(path)
        self.at += 1
        try:
            self.skip()
            if self.text[self.at] != end:
                self.items(path, out, end)
            self.at += 1
        except _Ended:
            self.at = len(self.text)
            return out
        self.open.discard(path)
        return out

    def items(self, path: Path, out: Any, end: str) -> None:
        while True:
            self.skip()
            key: str | int = len(out) if isinstance(out, list) else self.key()
            if isinstance(out, list):
                out.append(self.value((*path, key)))
            else:
                # The name alone may be wrong already, so it counts before its value comes.
                self.open.add((*path, key))
                out[key] = None
                self.skip()
                self.open.discard((*path, key))
                out[key] = self.value((*path, key))
            self.skip()
            mark = self.text[self.at]
            if mark == end:
                return
            if mark != ",":
                raise Broken(self.at)
            self.at += 1

    def key(self) -> str:
        if self.text[self.at] != '"':
            raise Broken(self.at)
        found = _STRING.match(self.text, self.at)
        if found is None:
            raise _Ended
        self.at = found.end()
        self.skip()
        if self.text[self.at] != ":":
            raise Broken(self.at)
        self.at += 1
        return str(self.decoded(found[0]))

    def string(self, path: Path) -> str:
        found = _STRING.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
            return str(self.decoded(found[0]))
        self.open.add(path)
        begun = _OPEN_STRING.match(self.text, self.at)
        self.at = len(self.text)
        return str(self.decoded(f'"{begun[1]}"')) if begun else ""

    def decoded(self, text: str) -> Any:
        try:
            return msgspec.json.decode(text)
        except (msgspec.MsgspecError, UnicodeError):
            # Half of a surrogate pair, or a raw control character that some models write.
            return text[1:-1]

    def word(self, path: Path) -> Any:
        found = _WORD.match(self.text, self.at)
        if found is None:
            raise Broken(self.at)
        word, start = found[0], self.at
        self.at = found.end()
        if self.at == len(self.text):
            # `tru` or `12` may go on.
            self.open.add(path)
            if any(name.startswith(word) for name in _WORDS):
                return next(value for name, value in _WORDS.items() if name.startswith(word))
            word = word.rstrip("eE+-.") or "0"
        try:
            return _WORDS[word] if word in _WORDS else msgspec.json.decode(word)
        except msgspec.MsgspecError:
            raise Broken(start) from None


def read(text: str) -> Partial:
    """The value so far. Raises Broken for what can not be JSON any more."""
    reader = _Reader(text)
    try:
        value = reader.value(())
    except _Ended:
        return Partial(empty=True)
    try:
        reader.skip()
    except _Ended:
        return Partial(value=value, open=frozenset(reader.open))
    raise Broken(reader.at)
