"""Capacity of a process: connections and concurrent requests, from the machine's resources."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None  # type: ignore[assignment]

# Requested from the operating system, if it allows as many.
MAX_DESCRIPTORS = 65_536
# Average memory of a request, with body and response (a 1 MB body takes 2.2 MB).
REQUEST_BYTES = 5 * 1024 * 1024 // 2
# Memory of a large request in sizes of its body: decoded, translated, sent, recorded.
BODY_COPIES = 3
MIN_REQUESTS, MAX_REQUESTS = 16, 10_000
# Of one process at least, of all processes of a node together at most.
MIN_ANONYMOUS, MAX_ANONYMOUS = 4, 64
_CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def descriptors() -> int:
    """Return the descriptors this process may open; raise the soft limit if useful."""
    if resource is None:
        return 8192
    soft_limit, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = MAX_DESCRIPTORS
    if hard_limit != resource.RLIM_INFINITY:
        limit = min(hard_limit, limit)
    if soft_limit == resource.RLIM_INFINITY or soft_limit >= limit:
        return limit
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard_limit))
        return limit
    return soft_limit


def connections() -> int:
    """Return the limit of client connections: the descriptors not reserved for other uses."""
    available_descriptors = _available_descriptors()
    return max(1, available_descriptors - available_descriptors // 3)


def requests() -> int:
    """Return the limit of concurrent requests, from descriptors and the process's memory share.

    Each request needs an upstream connection in addition to its client's.
    """
    by_memory = memory() // 2 // workers() // REQUEST_BYTES
    limit = min(_available_descriptors() // 3, max(MIN_REQUESTS, by_memory), MAX_REQUESTS)
    return max(1, limit)


def anonymous_requests() -> int:
    """Return the limit of concurrent requests to Django without an accepted credential.

    Each has a database connection, and all processes together may not take the 100 of PostgreSQL's
    default configuration.
    """
    return max(MIN_ANONYMOUS, MAX_ANONYMOUS // workers())


def large_body_bytes(max_body_bytes: int) -> int:
    """Return the limit of all large bodies together, of which each takes several times its size."""
    return max(2 * max_body_bytes, memory() // 2 // workers() // BODY_COPIES)


def workers() -> int:
    """Return the number of processes that share the machine's memory; `up` sets it."""
    concurrency = os.environ.get("WEB_CONCURRENCY", "")
    return max(1, int(concurrency)) if concurrency.isdecimal() else 1


def memory() -> int:
    """Return the bytes of memory of this machine, or of its container."""
    limits = [_physical_memory()]
    for path in _CGROUPS:
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(Path(path).read_text(encoding="ascii")))
    return min(limits)


def _physical_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 2 * 1024**3


def _available_descriptors() -> int:
    """Return the descriptors left after a reserve for databases, files and refusals."""
    limit = descriptors()
    return max(3, limit - max(64, limit // 16))
