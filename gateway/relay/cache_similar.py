"""Which earlier question is most like this one: vectors in the process, bounded.

Questions are only compared within a context (`cache_key.context_key`), which holds who may
share an answer. The newest of a context are looked at, and the contexts least recently
asked in go first.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Callable
from operator import mul

# A look costs about 0.1 ms for 1,536 numbers on CPython 3.11, 0.01 from 3.12 on.
MOST_OF_CONTEXT = 64
MOST = 4096

Vector = list[float]


def _sum_of_products(one: Vector, other: Vector) -> float:
    return float(sum(map(mul, one, other)))


_dot: Callable[[Vector, Vector], float] = getattr(math, "sumprod", _sum_of_products)


def unit(vector: Vector) -> Vector | None:
    """The vector at length one; None for one without a direction."""
    length = math.sqrt(_dot(vector, vector))
    if not length or not math.isfinite(length):
        return None
    return [number / length for number in vector]


class Similar:
    """Keys of kept answers by the vectors of their questions."""

    def __init__(self) -> None:
        self._contexts: OrderedDict[bytes, deque[tuple[Vector, str]]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def nearest(self, context: bytes, vector: Vector, threshold: float) -> tuple[str, float] | None:
        """The key of the question that is most alike, if it is alike enough, and how alike."""
        known = self._contexts.get(context)
        if known is None:
            return None
        self._contexts.move_to_end(context)
        alike = ((_dot(vector, other), key) for other, key in known if len(other) == len(vector))
        best, key = max(alike, default=(0.0, ""))
        return (key, min(best, 1.0)) if best >= threshold else None

    def add(self, context: bytes, vector: Vector, key: str) -> None:
        """Remember a question; the oldest of its context goes if there are too many."""
        known = self._contexts.setdefault(context, deque())
        self._contexts.move_to_end(context)
        known.append((vector, key))
        self._count += 1
        if len(known) > MOST_OF_CONTEXT:
            known.popleft()
            self._count -= 1
        while self._count > MOST:
            _, gone = self._contexts.popitem(last=False)
            self._count -= len(gone)

    def drop(self, context: bytes, key: str) -> None:
        """Forget a question whose answer is no longer kept."""
        known = self._contexts.get(context)
        if known is None:
            return
        left = deque(item for item in known if item[1] != key)
        self._count -= len(known) - len(left)
        if left:
            self._contexts[context] = left
        else:
            del self._contexts[context]
