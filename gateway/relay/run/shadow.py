"""Shadow traffic: repeats a share of a route's requests on another route, after their responses.

The client already has its response and is not affected. The repetition has a log record of its
own, with the id of the request it repeats; its cost counts under `shadow`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING

from gateway.relay.exchange.call import Call
from gateway.relay.exchange.request_features import SESSION_HEADERS
from gateway.relay.run.internal_calls import internal_call, run_internal_call
from gateway.relay.run.route_guardrails import guard_state_after

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

log = logging.getLogger(__name__)

LABEL = "shadow"
# Maximum concurrent shadow requests per process; further requests are not repeated.
MAX_SHADOWS = 16
WARN_INTERVAL_S = 60.0


class Shadows:
    """The shadow requests of a process, and how many were dropped at the limit."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self.dropped = 0
        self._warned = 0.0

    def launch(self, runtime: Runtime, call: Call) -> None:
        """Repeat a served call on its shadow route, with the probability `shadow_share`."""
        exchange = call.exchange
        route = exchange.route
        if route is None or runtime.draining or not _was_served_by_upstream(call):
            return
        if random.random() >= route.shadow_share:  # noqa: S311
            return
        if len(self.tasks) >= MAX_SHADOWS:
            self._note_dropped_request()
            return
        shadow_route = exchange.snapshot.route(route.shadow)
        if shadow_route is None:
            return
        shadow_call = _build_shadow_call(runtime, call)
        task = asyncio.get_running_loop().create_task(run_internal_call(runtime, shadow_call))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _note_dropped_request(self) -> None:
        self.dropped += 1
        now = time.monotonic()
        if now >= self._warned:
            self._warned = now + WARN_INTERVAL_S
            log.warning(
                "requests are not repeated on the shadow route: too many are in progress",
                extra={"dropped": self.dropped},
            )

    async def stop(self) -> None:
        """Cancel the shadow requests in progress; their log records are written."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


def launch(runtime: Runtime, call: Call) -> None:
    """Repeat a served call on its shadow route, with the probability `shadow_share`."""
    shadows = next((helper for helper in runtime.services if isinstance(helper, Shadows)), None)
    if shadows is None:
        shadows = Shadows()
        runtime.services.append(shadows)
    shadows.launch(runtime, call)


def _was_served_by_upstream(call: Call) -> bool:
    """Whether an upstream has served it: cached responses are not compared."""
    is_called = any(attempt.skipped is None for attempt in call.attempts)
    return (
        call.exchange.verb == "generate"
        and call.outcome == "ok"
        and call.error is None
        and is_called
    )


def _build_shadow_call(runtime: Runtime, call: Call) -> Call:
    exchange = call.exchange
    assert exchange.route is not None
    shadow_route = exchange.snapshot.route(exchange.route.shadow)
    assert shadow_route is not None
    # Without session headers: the log would count the conversation's request twice.
    headers = {n: value for n, value in exchange.headers.items() if n not in SESSION_HEADERS}
    shadow_call = internal_call(runtime, LABEL, shadow_route, exchange.dialect, headers)
    shadow = shadow_call.exchange
    shadow.shadow_of, shadow.snapshot = exchange.id, exchange.snapshot
    shadow.body, shadow.fields, shadow.query = exchange.body, exchange.fields, exchange.query
    shadow.stream, shadow.framing = exchange.stream, exchange.framing
    shadow.earlier_responses = exchange.earlier_responses
    shadow.model, shadow.endpoint = exchange.model, exchange.endpoint
    shadow_call.guard = guard_state_after(call)
    shadow_call.recorder.enabled = call.recorder.enabled
    shadow_call.recorder.client_request = exchange.body
    return shadow_call
