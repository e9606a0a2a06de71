"""Searches large bodies, but not again what they have in common with one that was searched.

A client repeats its conversation in every request, and a request that is passed on repeats the
client's. With prompts of 100 kB, searches took half of the event loop's time for a request.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

# Whether a body contains one of the patterns, or something else that is searched for.
Search = Callable[[bytes, tuple[bytes, ...]], bool]
# A smaller body is searched whole.
LARGE_BYTES = 4096
# Bodies are compared in steps of this size.
_STEP = 16 * 1024
# What begins this far before a position may continue there: longer than a pattern of keys needs
# to match.
_MIN_MARGIN = 24


def find_shared_ends(first: bytes, second: bytes) -> tuple[int, int]:
    """How many bytes two bodies have in common, at the start and at the end; 0 if one is small."""
    size = min(len(first), len(second))
    if size < LARGE_BYTES:
        return 0, 0
    start, step = 0, _STEP
    while step:
        while first[start : start + step] == second[start : start + step]:
            start += step
            if start >= size:
                return size, 0
        step //= 2
    end, step, max_length = 0, _STEP, size - start
    while step:
        while end + step <= max_length and (
            first[len(first) - end - step : len(first) - end]
            == second[len(second) - end - step : len(second) - end]
        ):
            end += step
        step //= 2
    return start, end


def trim_shared_ends(data: bytes, start: int, end: int, patterns: tuple[bytes, ...]) -> bytes:
    """The data without its ends, but with as much of them as a match may begin or end in."""
    if not (start or end):
        return data
    margin = max(_MIN_MARGIN, max(map(len, patterns), default=0))
    return data[max(0, start - margin) : len(data) - max(0, end - margin)]


class SearchedBodies:
    """Recent bodies in which nothing was found: one for each beginning."""

    _PREFIX_BYTES = 256
    _MAX_BODIES = 32
    # 16 MB together.
    _MAX_BYTES = 512 * 1024

    def __init__(self, search: Search) -> None:
        self._search = search
        # Ordered, because large requests are searched in threads: its methods are atomic.
        self._bodies: OrderedDict[tuple[bytes, tuple[bytes, ...]], bytes] = OrderedDict()

    def __len__(self) -> int:
        return len(self._bodies)

    def contains(self, body: bytes, patterns: tuple[bytes, ...]) -> bool:
        """Whether the search finds something in the body."""
        if not LARGE_BYTES <= len(body) <= self._MAX_BYTES:
            return self._search(body, patterns)
        key = (body[: self._PREFIX_BYTES], patterns)
        start, end = find_shared_ends(body, self._bodies.pop(key, b""))
        if self._search(trim_shared_ends(body, start, end, patterns), patterns):
            return True
        self._bodies[key] = body
        if len(self._bodies) > self._MAX_BODIES:
            self._bodies.popitem(last=False)
        return False
