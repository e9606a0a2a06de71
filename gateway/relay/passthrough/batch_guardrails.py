"""Guardrails of the routes in a batch: recorded for its requests, applied to its results.

    record_guardrails    an uploaded batch file, or an Anthropic batch: the names of its routes'
                         guardrails; a batch's status: its output has the guardrails of its input
    find_guardrails      the guardrails of the results that a call reads

The routes are known only when the requests arrive. The results are read later, by any process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.canon.errors import Error, GatewayError
from gateway.relay.exchange.call import Call, Exchange
from gateway.relay.passthrough.request import state_of

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

_OUTPUTS = ("output_file_id", "error_file_id")


async def record_guardrails(
    runtime: Runtime, call: Call, provider: str, body: dict[str, Any]
) -> None:
    """Record the guardrails of the files and batches in a response of the provider."""
    exchange = call.exchange
    if not exchange.snapshot.uses_guardrails:
        return
    state, operation = state_of(exchange)
    owner = state.owner_key_id or 0
    names = exchange.route.guardrails if exchange.route is not None else ()
    if operation.method == "POST" and names and isinstance(body.get("id"), str):
        await runtime.batch_guardrails.record(provider, owner, body["id"], names)
    if operation.family != "batches":
        return
    listed_batches = body.get("data")
    batches = (
        [item for item in listed_batches if isinstance(item, dict)] if listed_batches else [body]
    )
    inputs = {item["input_file_id"] for item in batches if _has_output(item)}
    names_of = await runtime.batch_guardrails.find(provider, sorted(inputs))
    for item in batches:
        names_of_input = names_of.get(item["input_file_id"]) if _has_output(item) else None
        for field in _OUTPUTS if names_of_input else ():
            if isinstance(item.get(field), str) and item[field]:
                await runtime.batch_guardrails.record(
                    provider, owner, item[field], names_of_input or ()
                )


def _has_output(batch: dict[str, Any]) -> bool:
    return isinstance(batch.get("input_file_id"), str) and any(batch.get(name) for name in _OUTPUTS)


async def find_guardrails(runtime: Runtime, exchange: Exchange, provider: str) -> tuple[str, ...]:
    """Names of the guardrails of the results that a call reads.

    Raises GatewayError (503) without the database: results are not sent unchecked.
    """
    state, operation = state_of(exchange)
    reads_results = operation.binary_response and operation.has_resource_ids
    if not (reads_results and exchange.snapshot.uses_guardrails):
        return ()
    try:
        stored_names = await runtime.batch_guardrails.find(provider, [state.resource_id])
    except Exception as error:
        message = "the guardrails of these results are unknown while the database is unavailable"
        raise GatewayError(Error(kind="overloaded", message=message)) from error
    return tuple(stored_names.get(state.resource_id, ()))
