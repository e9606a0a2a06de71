"""The backend: connections that time out on a server that does not respond.

After a failover, a connection may stay open without ever receiving data again. TCP notices only
after its own timeouts (see the settings), and never if a middlebox still acknowledges packets. So
each wait has a deadline (`gateway.database.deadline`), after which the connection is closed.
When one connection is found dead, the others of the process become suspect: those that are
waiting are interrupted, and idle ones are not reused (`mark_connections_suspect`).
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

# After a wait of this long, the statement is also cancelled on the server.
_CANCELLED_S = 10.0
_CANCEL_S = 1.0

_lock = threading.Lock()
_open: weakref.WeakSet[BoundedConnection] = weakref.WeakSet()


class BoundedConnection(psycopg.Connection[Any]):
    """A connection with a timeout on each wait.

    Attributes:
        suspect: whether it must not be reused, as another connection was found dead.
        waits_since: monotonic time in seconds at which the current wait began; None if idle.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.suspect = False
        self.waits_since: float | None = None
        with _lock:
            _open.add(self)

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for the server. Raises OperationalError if it does not respond in time."""
        deadline_s = deadline.current_deadline() if timeout is None else None
        self.waits_since = time.monotonic()
        try:
            return super().wait(gen, interval, timeout if deadline_s is None else deadline_s)
        except _WaitTimeout:
            if deadline_s is None:
                raise
            self._give_up(deadline_s)
            reason = f"the database did not respond within {deadline_s:g} s"
            raise psycopg.OperationalError(reason) from None
        finally:
            self.waits_since = None

    def _give_up(self, waited_s: float) -> None:
        if waited_s >= _CANCELLED_S and capabilities.has_cancel_safe():
            with contextlib.suppress(psycopg.Error):
                self.cancel_safe(timeout=_CANCEL_S)
        self.pgconn.finish()

    def interrupt(self) -> None:
        """Abort the current wait from another thread: it fails like a lost connection."""
        with (
            contextlib.suppress(OSError, psycopg.Error),
            socket.socket(fileno=os.dup(self.pgconn.socket)) as duplicate,
        ):
            duplicate.shutdown(socket.SHUT_RDWR)


def mark_connections_suspect(waiting_s: float) -> None:
    """Mark all connections as suspect, and abort waits that have lasted `waiting_s` seconds."""
    with _lock:
        connections = list(_open)
    now = time.monotonic()
    for connection in connections:
        connection.suspect = True
        since = connection.waits_since
        if since is not None and now - since >= waiting_s:
            connection.interrupt()


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's wrapper with `BoundedConnection`."""

    Database: Any = SimpleNamespace(**{**vars(psycopg), "connect": BoundedConnection.connect})

    def close_if_unusable_or_obsolete(self) -> None:
        """Close an unusable connection; called before each request and each unit of work."""
        if getattr(self.connection, "suspect", False) and not self.in_atomic_block:
            self.close()
        super().close_if_unusable_or_obsolete()
