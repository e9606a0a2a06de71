"""Internal calls, which no client sees: shadow requests and health checks.

They go the way of every request, into the log too, but under names of their own in the
place of a key: nobody's limits and budgets are asked or charged.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gateway.canon.errors import Error, GatewayError
from gateway.dialects.base import Dialect
from gateway.relay.exchange.call import Call, Client
from gateway.relay.exchange.deadlines import stop_error
from gateway.relay.run.pipeline import run
from gateway.relay.run.settle import settle
from gateway.routing.snapshot import ApiKey, Route

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

log = logging.getLogger(__name__)


def internal_call(
    runtime: Runtime, label: str, route: Route, dialect: Dialect, headers: Mapping[str, str]
) -> Call:
    """A call that has been let in, for a route; `label` is its key's name in the log."""
    call = Call(
        request_id=f"{label}_{uuid.uuid4().hex}",
        endpoint=label,
        verb="generate",
        dialect=dialect,
        snapshot=runtime.snapshot,
        headers=headers,
        started=time.perf_counter(),
    )
    call.key = ApiKey(id=0, prefix=label, name=label, digest=b"")
    call.route, call.model = route, route.name
    # Limits of a route are for its clients; those of a provider hold.
    call.limits_reserved = True
    recorder = call.recorder
    recorder.limit, recorder.masks = runtime.config.log_body_bytes, runtime.snapshot.masks
    recorder.started = call.started
    return call


async def run_internal_call(runtime: Runtime, call: Call) -> None:
    """Run the call. Never raises for a failure of an upstream; the log record has it."""
    client = Client(_discard)
    deadlines = runtime.deadline_ticker.open()
    try:
        await run(runtime, call, client, deadlines)
    except GatewayError as failure:
        _record_failure(call, client, failure.error)
    except asyncio.CancelledError:
        reason = deadlines.take_reason()
        _record_failure(call, client, stop_error(reason or "drain"))
        if reason is None:
            raise
    except Exception:
        log.exception("a request failed inside the gateway", extra={"request_id": call.id})
        _record_failure(call, client, Error(kind="upstream_error", message="the gateway failed"))
    finally:
        deadlines.close()
        settle(runtime, call, client)


def _record_failure(call: Call, client: Client, error: Error) -> None:
    call.error = call.error or error
    if client.started:
        call.outcome = "cut"
        return
    client.status = call.dialect.client.render_error(error, call.id).status
    call.outcome = "error"


async def _discard(message: dict[str, Any]) -> None:
    # A turn for the others: nothing else here waits for a socket.
    await asyncio.sleep(0)
