"""How many connections and requests a process takes at a time, from what the machine has."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None  # type: ignore[assignment]

# What is asked for where the operating system allows it.
MAX_DESCRIPTORS = 65_536
# What a request may take on average, body and answer included (a 1 MB body takes 2.2 MB).
REQUEST_BYTES = 5 * 1024 * 1024 // 2
MIN_REQUESTS, MAX_REQUESTS = 16, 10_000
_CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def descriptors() -> int:
    """The descriptors this process may open; raises its soft limit as far as is useful."""
    if resource is None:
        return 8192
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = MAX_DESCRIPTORS
    if hard != resource.RLIM_INFINITY:
        limit = min(hard, limit)
    if soft == resource.RLIM_INFINITY or soft >= limit:
        return limit
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        return limit
    return soft


def connections() -> int:
    """The most client connections of a process: what requests and files do not need."""
    available = _available()
    return max(1, available - available // 3)


def requests() -> int:
    """The most requests at a time of a process, from its descriptors and its part of memory.

    Each has a connection to an upstream beside its client's.
    """
    by_memory = memory() // 2 // workers() // REQUEST_BYTES
    limit = min(_available() // 3, max(MIN_REQUESTS, by_memory), MAX_REQUESTS)
    return max(1, limit)


def workers() -> int:
    """The processes that share the machine's memory; `up` says how many it starts."""
    concurrency = os.environ.get("WEB_CONCURRENCY", "")
    return max(1, int(concurrency)) if concurrency.isdecimal() else 1


def memory() -> int:
    """The bytes of memory of this machine, or of its container."""
    limits = [_physical()]
    for path in _CGROUPS:
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(Path(path).read_text(encoding="ascii")))
    return min(limits)


def _physical() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 2 * 1024**3


def _available() -> int:
    """Descriptors that are not kept free for databases, files and refusals."""
    limit = descriptors()
    return max(3, limit - max(64, limit // 16))
