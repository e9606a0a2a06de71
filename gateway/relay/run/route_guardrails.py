"""Guardrails of routes that a request does not name: of fallback, shadow and embedding routes.

`guard_request` has run the guardrails of the route that the client named, of the key and of all
requests. Before a target of another route is called, the other guardrails of that route check
the request, and later the response.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gateway.canon.errors import Error, GatewayError
from gateway.relay.exchange.guard_state import GuardState
from gateway.relay.run.form_guardrails import guard_form
from gateway.relay.run.guardrails import (
    BLOCKED_CODE,
    guard_earlier_responses,
    guard_request,
    guard_state_for,
)

if TYPE_CHECKING:
    from gateway.relay.exchange.call import Call, Exchange
    from gateway.relay.runtime import Runtime
    from gateway.routing.snapshot import Route


def guard_state_after(call: Call) -> GuardState:
    """The guard state of an internal call with the texts of another one, which are checked."""
    guard = call.guard or GuardState(before=[], after=[])
    return GuardState(before=[*guard.before, *guard.after], after=[])


async def guard_for_route(runtime: Runtime, call: Call, route: Route) -> None:
    """Run the guardrails of a route that have not checked the call yet.

    A rewritten request replaces the exchange of the call. Raises GatewayError if one of the
    guardrails blocks; the call is then as before.
    """
    original, earlier = call.exchange, call.guard or GuardState(before=[], after=[])
    earlier_names = {guardrail.name for guardrail in (*earlier.before, *earlier.after)}
    new_guards = guard_state_for(
        guardrail
        for guardrail in original.snapshot.guardrails_for(route, original.key)
        if guardrail.name not in earlier_names
    )
    if not new_guards.before and not new_guards.after:
        return
    if original.client_socket is not None:
        message = f"the route {route.name} has guardrails, which cannot check the Realtime API"
        raise GatewayError(Error(kind="content_policy", message=message, code=BLOCKED_CODE))
    new_guards.results = earlier.results
    call.guard = new_guards
    # The copy has its own fields: a parallel attempt may be reading the original's.
    exchange = call.exchange = original.unfrozen_copy(fields=dict(original.fields))
    try:
        await guard_request(runtime, call)
        if exchange.passthrough_state is not None:
            await guard_form(runtime, call)
        await guard_earlier_responses(runtime, call)
    except GatewayError:
        call.exchange, call.guard = original, earlier
        raise
    call.guard = GuardState(
        before=[*earlier.before, *new_guards.before],
        after=[*earlier.after, *new_guards.after],
        results=earlier.results,
    )
    if exchange.body is original.body and (
        exchange.earlier_responses is original.earlier_responses
    ):
        call.exchange = original
        return
    _update_continuation(exchange, original)
    exchange.freeze()


def _update_continuation(exchange: Exchange, original: Exchange) -> None:
    """Drop the provider's own copy of a request, which is not rewritten."""
    native = exchange.native_continuation
    if native is None:
        return
    exchange.native_continuation = (
        msgspec.structs.replace(native, fields=exchange.fields)
        if native.fields is original.fields
        else None
    )
