"""Terminates a worker when its supervisor has ended, for any reason.

A supervisor that is killed (`kill -9`, out of memory) cannot signal its workers; they would
occupy the port, and no process would replace one that dies.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

# Drains like SIGTERM, but without keeping the port open first.
_EXIT_SIGNAL = signal.SIGINT
_PR_SET_PDEATHSIG = 1
_CHECK_INTERVAL_S = 1.0


def exit_with_parent(parent: int) -> None:
    """Terminate this process when its parent process, `parent`, has ended."""
    if not _signal_on_parent_death():
        threading.Thread(target=_watch_parent, args=(parent,), name="orphan", daemon=True).start()
    elif os.getppid() != parent:  # the parent ended before the call to the kernel
        os.kill(os.getpid(), _EXIT_SIGNAL)


def _signal_on_parent_death() -> bool:
    if sys.platform != "linux":
        return False
    try:
        return bool(ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(_EXIT_SIGNAL), 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_CHECK_INTERVAL_S)
    os.kill(os.getpid(), _EXIT_SIGNAL)
