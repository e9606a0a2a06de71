"""Hashes passwords one at a time, in a thread of its own.

One hash takes 100 MB and all processors for a fifth of a second, and anonymous callers can cause
as many as they try to sign in. So there is one thread, with a low priority where the system
supports that per thread, and a short queue.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from django.contrib.auth.hashers import Argon2PasswordHasher

# When this many are waiting, further attempts are refused.
MAX_WAITING = 16
_NICE = 10


class TooManyHashes(Exception):
    """Too many passwords are waiting to be checked; the API answers 503."""

    def __init__(self) -> None:
        super().__init__(
            "Too many passwords are being checked right now. Try again in a few seconds."
        )


def _lower_priority() -> None:
    if sys.platform == "linux":  # priorities are per thread, and inherited by its threads
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


_slots = threading.BoundedSemaphore(MAX_WAITING)
_thread = ThreadPoolExecutor(1, thread_name_prefix="password", initializer=_lower_priority)


def _run_in_thread(work: Callable[[], object]) -> object:
    """Run `work` in the password thread. Raises TooManyHashes if too many are waiting."""
    if not _slots.acquire(blocking=False):
        raise TooManyHashes
    try:
        return _thread.submit(work).result()
    finally:
        _slots.release()


class QueuedArgon2(Argon2PasswordHasher):
    """Django's Argon2 hasher, one hash at a time. Raises TooManyHashes."""

    def encode(self, password: str, salt: str) -> str:
        """Return the hash to store."""
        return str(_run_in_thread(lambda: super(QueuedArgon2, self).encode(password, salt)))

    def verify(self, password: str, encoded: str) -> bool:
        """Whether the password matches the hash."""
        return bool(_run_in_thread(lambda: super(QueuedArgon2, self).verify(password, encoded)))
