"""The timeout of each wait for the database, in seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_block_deadline_s: ContextVar[float | None] = ContextVar("database_deadline_s", default=None)
# None is no timeout: management commands may run long statements.
_default_s: float | None = None


def set_default_deadline(seconds: float | None) -> None:
    """Set the timeout of this process; None is no timeout."""
    global _default_s
    _default_s = seconds


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Set the timeout of a block, in place of the process's."""
    token = _block_deadline_s.set(seconds)
    try:
        yield
    finally:
        _block_deadline_s.reset(token)


def current_deadline() -> float | None:
    """The timeout in effect; None is no timeout."""
    block_deadline_s = _block_deadline_s.get()
    return _default_s if block_deadline_s is None else block_deadline_s
