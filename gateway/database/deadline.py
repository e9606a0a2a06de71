"""How long whoever asks the database waits for an answer, in seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_block_deadline_s: ContextVar[float | None] = ContextVar("database_deadline_s", default=None)
# None waits for as long as the connection lives: commands may take their time.
_default_s: float | None = None


def set_default(seconds: float | None) -> None:
    """Bound each wait of this process."""
    global _default_s
    _default_s = seconds


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Bound the waits of a block, more or less than those of the process are."""
    token = _block_deadline_s.set(seconds)
    try:
        yield
    finally:
        _block_deadline_s.reset(token)


def current() -> float | None:
    """The bound that holds here; None is no bound."""
    block_deadline_s = _block_deadline_s.get()
    return _default_s if block_deadline_s is None else block_deadline_s
