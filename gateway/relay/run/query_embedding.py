"""Embeds a prompt for the semantic cache, through a route of the gateway itself."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.canon.errors import Error, GatewayError
from gateway.dialects import DIALECTS
from gateway.relay.cache.semantic import normalize
from gateway.relay.exchange.call import Call, Client, Deadlines, Exchange
from gateway.relay.run.pipeline import run
from gateway.relay.run.route_guardrails import guard_for_route, guard_state_after
from gateway.relay.run.settle import serve_call

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

DIALECT = "openai_embeddings"
# How long to wait for the embedding before the request is sent to a target.
TIMEOUT_S = 5.0
_TOO_SLOW = Error(kind="timeout", message="the embedding of the prompt took too long")
_NO_VECTOR = Error(kind="upstream_error", message="the response contains no embedding")


class _EmbeddingResponse(msgspec.Struct):
    data: list[_Embedding]


class _Embedding(msgspec.Struct):
    embedding: list[float]


async def embed_query(
    runtime: Runtime, caller: Call, route_name: str, text: str
) -> list[float] | None:
    """The normalized embedding of `text`; None if the route cannot compute one now.

    It is a request of its own in the log, with the same key, and counts for its budget.
    """
    route = caller.exchange.snapshot.route(route_name)
    if route is None:
        return None
    call = _embedding_call(caller, route_name, text)
    call.exchange.route = route
    call.exchange.freeze()
    received = bytearray()

    async def send(message: dict[str, Any]) -> None:
        received.extend(message.get("body", b""))

    client = Client(send)
    deadlines = Deadlines(runtime.deadline_ticker)
    vector: list[float] | None = None

    async def work() -> None:
        nonlocal vector
        try:
            async with asyncio.timeout(TIMEOUT_S):
                if call.exchange.snapshot.uses_guardrails:
                    call.guard = guard_state_after(caller)
                    await guard_for_route(runtime, call, route)
                await run(runtime, call, client, deadlines)
            response = msgspec.json.decode(received, type=_EmbeddingResponse)
            vector = normalize(response.data[0].embedding)
        except TimeoutError:
            raise GatewayError(_TOO_SLOW) from None
        except (msgspec.MsgspecError, IndexError):
            raise GatewayError(_NO_VECTOR) from None

    async def fail(failure: GatewayError) -> None:
        call.error, call.outcome = failure.error, "error"

    await serve_call(runtime, call, client, deadlines, work(), fail)
    return vector


def _embedding_call(caller: Call, route_name: str, text: str) -> Call:
    exchange = Exchange(
        request_id=f"{caller.exchange.id[:58]}-cache",
        endpoint="cache",
        verb="embed",
        dialect=DIALECTS[DIALECT],
        snapshot=caller.exchange.snapshot,
        headers={},
        started=time.perf_counter(),
    )
    exchange.key, exchange.model, exchange.client_ip = (
        caller.exchange.key,
        route_name,
        caller.exchange.client_ip,
    )
    exchange.join_trace(caller.exchange)
    body = {"model": route_name, "input": [text], "encoding_format": "float"}
    exchange.body = msgspec.json.encode(body)
    exchange.fields = msgspec.json.decode(exchange.body, type=dict[str, msgspec.Raw])
    return Call(exchange)
