"""The backend: connections that give up on a server that does not answer.

A fail-over may leave a connection on which nothing ever comes again. TCP notices after its
own time-outs (see the settings), and never where something between still acknowledges. So
each wait has a deadline (`gateway.database.deadline`), after which the connection is closed.
When one connection turns out to be dead, the others of the process are suspects: those that
wait are ended, and those that are idle are not used again (`abandon`).
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import weakref
from types import SimpleNamespace
from typing import Any

import psycopg
from django.db.backends.postgresql import base
from psycopg import capabilities
from psycopg.errors import _WaitTimeout

from gateway.database import deadline

# A statement that was allowed this long is cancelled on the server, if it still listens.
_CANCELLED_S = 10.0
_CANCEL_S = 1.0

_lock = threading.Lock()
_open: weakref.WeakSet[BoundedConnection] = weakref.WeakSet()


class BoundedConnection(psycopg.Connection[Any]):
    """A connection whose waits end.

    Attributes:
        suspect: whether it should not be used again, as others of its time were dead.
        waits_since: the monotonic time at which the wait began that is under way.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.suspect = False
        self.waits_since: float | None = None
        with _lock:
            _open.add(self)

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for the server. Raises OperationalError if it does not answer in time."""
        deadline_s = deadline.current() if timeout is None else None
        self.waits_since = time.monotonic()
        try:
            return super().wait(gen, interval, timeout if deadline_s is None else deadline_s)
        except _WaitTimeout:
            if deadline_s is None:
                raise
            self._give_up(deadline_s)
            why = f"the database did not answer within {deadline_s:g} s"
            raise psycopg.OperationalError(why) from None
        finally:
            self.waits_since = None

    def _give_up(self, waited_s: float) -> None:
        if waited_s >= _CANCELLED_S and capabilities.has_cancel_safe():
            with contextlib.suppress(psycopg.Error):
                self.cancel_safe(timeout=_CANCEL_S)
        self.pgconn.finish()

    def interrupt(self) -> None:
        """End the wait that is under way, from another thread: it fails as a lost connection."""
        with (
            contextlib.suppress(OSError, psycopg.Error),
            socket.socket(fileno=os.dup(self.pgconn.socket)) as duplicate,
        ):
            duplicate.shutdown(socket.SHUT_RDWR)


def abandon(waiting_s: float) -> None:
    """Distrust all connections: end waits that last so long, use no idle one again."""
    with _lock:
        connections = list(_open)
    now = time.monotonic()
    for connection in connections:
        connection.suspect = True
        since = connection.waits_since
        if since is not None and now - since >= waiting_s:
            connection.interrupt()


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's, with such connections."""

    Database: Any = SimpleNamespace(**{**vars(psycopg), "connect": BoundedConnection.connect})

    def close_if_unusable_or_obsolete(self) -> None:
        """Close a suspect too; called before each request and each piece of work."""
        if getattr(self.connection, "suspect", False) and not self.in_atomic_block:
            self.close()
        super().close_if_unusable_or_obsolete()
