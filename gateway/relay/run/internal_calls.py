"""Internal calls, which no client sees: shadow requests and health checks.

They are processed like any request, including the log, but with a label instead of a key: no
key's limits and budgets apply to them.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gateway.canon.errors import GatewayError
from gateway.dialects.base import Dialect
from gateway.relay.exchange.call import Call, Client, Deadlines, Exchange, stop_error
from gateway.relay.exchange.trace import sample_trace
from gateway.relay.run.pipeline import run
from gateway.relay.run.route_guardrails import guard_for_route
from gateway.relay.run.settle import CLIENT_GONE, record_failure, serve_call
from gateway.routing.snapshot import ApiKey, Route

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime


def internal_call(
    runtime: Runtime, label: str, route: Route, dialect: Dialect, headers: Mapping[str, str]
) -> Call:
    """An admitted call for a route; `label` is its key's name in the log."""
    exchange = Exchange(
        request_id=f"{label}_{uuid.uuid4().hex}",
        endpoint=label,
        verb="generate",
        dialect=dialect,
        snapshot=runtime.snapshot,
        headers=headers,
        started=time.perf_counter(),
    )
    exchange.key = ApiKey(id=0, prefix=label, name=label, digest=b"")
    exchange.route, exchange.model = route, route.name
    if runtime.telemetry is not None:
        exchange.trace, exchange.unsampled_traceparent = sample_trace({}, runtime.telemetry)
    call = Call(exchange)
    # Limits of a route are for its clients; those of a provider apply.
    call.limits_reserved = True
    recorder = call.recorder
    recorder.limit, recorder.masks = runtime.config.log_body_bytes, runtime.snapshot.masks
    recorder.started = exchange.started
    return call


async def run_internal_call(runtime: Runtime, call: Call) -> None:
    """Run the call. Never raises for a failure of an upstream; the log record has it.

    The guardrails of its route check a call that has a guard state.
    """
    call.exchange.freeze()
    client = Client(_discard_message)
    deadlines = Deadlines(runtime.deadline_ticker)

    async def fail(failure: GatewayError) -> None:
        error = stop_error("drain") if failure.error is CLIENT_GONE else failure.error
        record_failure(call, client, error)

    async def work() -> None:
        route = call.exchange.route
        if call.guard is not None and route is not None:
            await guard_for_route(runtime, call, route)
        await run(runtime, call, client, deadlines)

    await serve_call(runtime, call, client, deadlines, work(), fail)


async def _discard_message(message: dict[str, Any]) -> None:
    # Yields to other tasks: nothing else here waits for a socket.
    await asyncio.sleep(0)
