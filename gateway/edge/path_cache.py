"""A cache of what is found for paths; long ones, which any client can send, are not kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

T = TypeVar("T")
MAX_PATHS = 1024
# Longer than the paths of clients. Paths of 64 KiB would take 64 MB.
MAX_CACHED_CHARS = 512


def cache_by_path(find: Callable[[str], T]) -> Callable[[str], T]:
    """Decorator: keep the results for the latest paths."""
    find_cached = lru_cache(maxsize=MAX_PATHS)(find)

    @wraps(find)
    def find_by_path(path: str) -> T:
        return find_cached(path) if len(path) <= MAX_CACHED_CHARS else find(path)

    return find_by_path
