"""Names that are similar to an unknown one, for error messages."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from functools import lru_cache

_MAX_CHARS = 100


def similar_names(name: str, names: Iterable[str], *, count: int = 3) -> list[str]:
    """The names most similar to `name`, best first; those that share no letter pair are left out.

    Similarity is Sorensen and Dice's coefficient of pairs of adjacent characters, which costs
    about a microsecond for each name.
    """
    name_pairs = _letter_pairs(name)
    scored = ((_dice_coefficient(name_pairs, _letter_pairs(other)), other) for other in names)
    best = heapq.nsmallest(count, ((-score, other) for score, other in scored if score > 0))
    return [other for _, other in best]


def _dice_coefficient(a: frozenset[str], b: frozenset[str]) -> float:
    return 2 * len(a & b) / (len(a) + len(b)) if a and b else 0.0


@lru_cache(maxsize=4096)
def _letter_pairs(name: str) -> frozenset[str]:
    text = f"^{name[:_MAX_CHARS].casefold()}"
    return frozenset(text[i : i + 2] for i in range(len(text) - 1))
