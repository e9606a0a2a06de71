"""Current problems of a process, as reported by the health endpoints.

A process that serves requests is ready, also without its database or Redis: a fault that
all nodes share must not take all of them out of service. It is then degraded, and reports
why. It is unready if it would do harm that another node may not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime


class Problem(msgspec.Struct, frozen=True):
    """One problem.

    Attributes:
        code: its name in `/health/ready`; stable across versions.
        blocking: whether the process should get no requests until it is resolved.
    """

    code: str
    blocking: bool = False


class _SharedValue:
    """A value shared by the supervisor of several workers; None without a supervisor."""

    missing_workers: Any = None


def use_missing_workers(shared_number: Any) -> None:
    """Set the supervisor's shared number of workers that died and are not replaced yet."""
    _SharedValue.missing_workers = shared_number


def missing_workers() -> int:
    """The number of workers of this gateway that died and are not replaced yet."""
    shared_number = _SharedValue.missing_workers
    return 0 if shared_number is None else int(shared_number.value)


def find_problems(runtime: Runtime) -> list[Problem]:
    """All current problems, blocking ones first."""
    journal = runtime.journal.status
    checks = [
        (runtime.draining or runtime.drain_announced, Problem("draining", blocking=True)),
        # The disk belongs to this node: its rows would be lost with the process.
        (journal.unrecorded > 0, Problem("log_not_on_disk", blocking=True)),
        (runtime.registry.unavailable, Problem("database_unavailable")),
        (runtime.registry.stored_at is not None, Problem("registry_stored")),
        (
            runtime.redis_limiter is not None and not runtime.redis_limiter.is_up,
            Problem("redis_unavailable"),
        ),
        (missing_workers() > 0, Problem("workers_missing")),
        (journal.failing_s > 0, Problem("log_writes_failing")),
        (journal.disk_full, Problem("log_disk_full")),
        (journal.dropping, Problem("log_rows_dropped")),
        (journal.refusing, Problem("log_rows_refused")),
    ]
    return [problem for failing, problem in checks if failing]
