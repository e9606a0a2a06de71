"""Serves one admitted call: runs it, reports each failure to its caller, and settles it once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from gateway.canon.errors import Error, GatewayError
from gateway.dialects.base import ErrorReply
from gateway.relay.exchange.call import Call, Client
from gateway.relay.exchange.deadlines import Deadlines, stop_error
from gateway.relay.run.settle import settle

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

log = logging.getLogger(__name__)

CLIENT_GONE = Error(kind="client_gone", message="the client left")
# Reports a failure to the caller, including CLIENT_GONE.
Fail = Callable[[GatewayError], Awaitable[None]]


async def serve_call(
    runtime: Runtime,
    call: Call,
    client: Client,
    deadlines: Deadlines,
    work: Awaitable[object],
    fail: Fail,
) -> None:
    """Awaits `work` and settles the call; never raises for a failure of the work.

    `fail` is called with the failure first: that of an upstream or of the request itself, the
    reason for which the deadlines stopped it, CLIENT_GONE, or a fault of the gateway, which is
    logged. A cancellation that the deadlines did not cause is CLIENT_GONE and is raised again.
    """
    try:
        await work
    except GatewayError as failure:
        await fail(failure)
    except asyncio.CancelledError:
        reason = deadlines.take_reason()
        gone = reason is None or reason == "client_gone"
        await fail(GatewayError(CLIENT_GONE if gone else stop_error(reason)))
        if reason is None:
            raise
    except Exception:
        log.exception("a request failed inside the gateway", extra={"request_id": call.exchange.id})
        message = "the gateway failed; see its log"
        await fail(GatewayError(Error(kind="upstream_error", message=message)))
    finally:
        deadlines.close()
        if not call.settled and not call.detached:
            settle(runtime, call, client)


def record_failure(call: Call, client: Client, error: Error) -> ErrorReply | None:
    """Records a failure without sending it; returns the error reply, unless it was cut off."""
    exchange = call.exchange
    call.error = call.error or error
    if client.started:
        call.outcome = "cut"
        return None
    reply = exchange.dialect.client.render_error(error, exchange.id)
    client.status = reply.status
    call.outcome = "error"
    return reply
