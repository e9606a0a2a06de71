"""Health checks of targets: sends a small request at the interval that a route configures.

Off unless a route has an interval. A target is checked by one process of a machine, at the
interval of its most frequent route. The result updates its circuit breaker as
any call does, so that a recovered target is found without a client's request. Each
check has a log record, and costs as much as a small request, under the key `check`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from typing import TYPE_CHECKING

import msgspec

from gateway.dialects import DIALECTS
from gateway.relay.run.internal_calls import internal_call, run_internal_call
from gateway.routing.circuit_breaker import HEALTH_CHECK_KEY as LABEL
from gateway.routing.snapshot import Route, Snapshot, Target

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

log = logging.getLogger(__name__)

TICK_S = 1.0
# Maximum concurrent checks per process.
MAX_PARALLEL_CHECKS = 4
_PROMPT = "Say the word hello."


class TargetCheck(msgspec.Struct, frozen=True):
    """A target to check every `interval_s` seconds, on a route."""

    target: Target
    route: Route
    interval_s: float


def target_checks(snapshot: Snapshot) -> dict[str, TargetCheck]:
    """The targets to check, by `provider/model`, each at the shortest interval of its routes."""
    checks: dict[str, TargetCheck] = {}
    for route in snapshot.routes.values():
        if route.health_check_interval_s is None:
            continue
        for target in route.targets:
            label = target.model.label
            old_check = checks.get(label)
            # The model of a wildcard has no known name.
            if "*" not in label and (
                old_check is None or route.health_check_interval_s < old_check.interval_s
            ):
                checks[label] = TargetCheck(target, route, route.health_check_interval_s)
    return checks


class HealthChecks:
    """The health checks of a process."""

    def __init__(self, runtime: Runtime, *, tick_s: float = TICK_S) -> None:
        self._runtime = runtime
        self._tick_s = tick_s
        self._snapshot: Snapshot | None = None
        self._due: dict[str, TargetCheck] = {}
        self._slots = asyncio.Semaphore(MAX_PARALLEL_CHECKS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while True:
            # Random, so that processes do not run at the same time.
            await asyncio.sleep(self._tick_s * (0.5 + random.random()))  # noqa: S311
            try:
                self._start_due_checks()
            except Exception:
                log.exception("the health checks of targets failed; they are retried")

    def _start_due_checks(self) -> None:
        runtime = self._runtime
        if runtime.snapshot is not self._snapshot:
            self._snapshot = runtime.snapshot
            self._due = target_checks(runtime.snapshot)
        if not self._due or runtime.draining:
            return
        for label, due_check in self._due.items():
            if self._slots.locked():
                return
            if runtime.breaker.claim(f"{LABEL}:{label}", due_check.interval_s):
                task = asyncio.get_running_loop().create_task(self._check_target(due_check))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _check_target(self, due_check: TargetCheck) -> None:
        async with self._slots:
            await check(self._runtime, due_check.route, due_check.target)

    async def stop(self) -> None:
        """Cancel the checks, also those in progress."""
        tasks = [self._loop, *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def check(runtime: Runtime, route: Route, target: Target) -> None:
    """Send a small request to a target, which updates its circuit breaker."""
    single_target_route = msgspec.structs.replace(
        route,
        id=0,
        targets=(msgspec.structs.replace(target, order=1),),
        steps=(),
        strategy="ordered",
        retries=0,
        retries_by_kind={},
        fallbacks=(),
        fallbacks_by_kind={},
        require_capabilities=False,
        hedge_after_s=None,
        shadow="",
        strict=False,
    )
    body = {
        "model": route.name,
        "messages": [{"role": "user", "content": _PROMPT}],
        "max_completion_tokens": 16,
    }
    call = internal_call(runtime, LABEL, single_target_route, DIALECTS["openai_chat"], {})
    call.exchange.body = json.dumps(body).encode()
    call.exchange.fields = msgspec.json.decode(call.exchange.body, type=dict[str, msgspec.Raw])
    # The bodies are always the same, and not worth storing.
    call.recorder.enabled = False
    await run_internal_call(runtime, call)


def start_health_checks(runtime: Runtime) -> None:
    """Start the health checks of this process."""
    runtime.services.append(HealthChecks(runtime))
