"""Kept answers in the process: bounded in bytes, those least recently given go first."""

from __future__ import annotations

from collections import Counter, OrderedDict

from gateway.relay.cache_key import mark_in
from gateway.relay.cache_value import Kept

# A second name for an answer is about this large.
_ALIAS_BYTES = 200


class Memory:
    """Answers by key, and keys by the digests of bodies that asked for them.

    Attributes:
        marks: those of the questions whose answers are kept.
    """

    def __init__(self, most_bytes: int) -> None:
        self.bytes = 0
        self._most = most_bytes
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self.marks: Counter[str] = Counter()
        self._keys: OrderedDict[bytes, str] = OrderedDict()
        self._most_keys = max(1, most_bytes // (4 * _ALIAS_BYTES))

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: str, now: float) -> Kept | None:
        """The answer of a key, unless its time is over."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept.ends_at <= now:
            self.drop(key)
            return None
        self._kept.move_to_end(key)
        return kept

    def put(self, key: str, kept: Kept) -> None:
        """Keep an answer, in place of others if it must be."""
        self.drop(key)
        if kept.size > self._most:
            return
        self._kept[key] = kept
        self.marks[mark_in(key)] += 1
        self.bytes += kept.size
        while self.bytes > self._most:
            self.drop(next(iter(self._kept)))

    def drop(self, key: str) -> None:
        """Forget the answer of a key."""
        old = self._kept.pop(key, None)
        if old is None:
            return
        self.bytes -= old.size
        mark = mark_in(key)
        self.marks[mark] -= 1
        if not self.marks[mark]:
            del self.marks[mark]

    def key_of(self, body: bytes) -> str | None:
        """The key that a body of this digest came to."""
        return self._keys.get(body)

    def name(self, body: bytes, key: str) -> None:
        """Remember to which key a body came."""
        self._keys[body] = key
        if len(self._keys) > self._most_keys:
            self._keys.popitem(last=False)
