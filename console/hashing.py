"""Hashes passwords one at a time, off the threads that serve requests.

One hash takes 100 MB and all processors for a fifth of a second. Strangers may have as many
made as they sign in: so there is one thread for it, with a low priority where the system has
one for threads, and a short queue.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from django.contrib.auth.hashers import Argon2PasswordHasher
from ninja.errors import HttpError

# Beyond those that wait already nobody is let in, and told so.
MOST_WAITING = 16
_NICE = 10


class Busy(HttpError):
    """Too many passwords are being checked just now; the API answers 503 to it."""

    def __init__(self) -> None:
        super().__init__(
            503, "Too many passwords are being checked just now. Try again in a few seconds."
        )


def _lower_priority() -> None:
    if sys.platform == "linux":  # where a thread has a priority of its own, and its threads have it
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


_slots = threading.BoundedSemaphore(MOST_WAITING)
_thread = ThreadPoolExecutor(1, thread_name_prefix="password", initializer=_lower_priority)


def _run_in_thread(work: Callable[[], object]) -> object:
    """Do it in the thread for passwords. Raises Busy if too many wait already."""
    if not _slots.acquire(blocking=False):
        raise Busy
    try:
        return _thread.submit(work).result()
    finally:
        _slots.release()


class QueuedArgon2(Argon2PasswordHasher):
    """Django's hasher, one hash at a time. Raises Busy."""

    def encode(self, password: str, salt: str) -> str:
        """The hash to keep."""
        return str(_run_in_thread(lambda: super(QueuedArgon2, self).encode(password, salt)))

    def verify(self, password: str, encoded: str) -> bool:
        """Whether it is this password."""
        return bool(_run_in_thread(lambda: super(QueuedArgon2, self).verify(password, encoded)))
