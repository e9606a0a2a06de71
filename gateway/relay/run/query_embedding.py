"""The vector of a question: made by a route of the gateway's own, as a client would ask it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.canon.errors import Error, GatewayError
from gateway.dialects import DIALECTS
from gateway.relay.cache.semantic import normalized
from gateway.relay.exchange.call import Call, Client
from gateway.relay.run.pipeline import run
from gateway.relay.run.settle import settle

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

DIALECT = "openai_embeddings"
# How long a question may wait for its vector before it is simply asked.
TIMEOUT_S = 5.0


class _EmbeddingResponse(msgspec.Struct):
    data: list[_Embedding]


class _Embedding(msgspec.Struct):
    embedding: list[float]


async def embed_query(
    runtime: Runtime, caller: Call, route_name: str, text: str
) -> list[float] | None:
    """The words' vector at length one; None if the route `name` makes none now.

    It is a request of its own in the log, of the same key, and pays from its budget.
    """
    route = caller.snapshot.route(route_name)
    if route is None:
        return None
    call = _embedding_call(caller, route_name, text)
    call.route = route
    received = bytearray()

    async def send(message: dict[str, Any]) -> None:
        received.extend(message.get("body", b""))

    client = Client(send)
    deadlines = runtime.deadline_ticker.open()
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await run(runtime, call, client, deadlines)
        return normalized(msgspec.json.decode(received, type=_EmbeddingResponse).data[0].embedding)
    except GatewayError as failure:
        call.error, call.outcome = failure.error, "error"
    except TimeoutError:
        call.error = Error(kind="timeout", message="the question's vector took too long")
        call.outcome = "error"
    except (msgspec.MsgspecError, IndexError):
        call.error = Error(kind="upstream_error", message="the answer holds no vector")
        call.outcome = "error"
    finally:
        deadlines.close()
        settle(runtime, call, client)
    return None


def _embedding_call(caller: Call, route_name: str, text: str) -> Call:
    call = Call(
        request_id=f"{caller.id[:58]}-cache",
        endpoint="cache",
        verb="embed",
        dialect=DIALECTS[DIALECT],
        snapshot=caller.snapshot,
        headers={},
        started=time.perf_counter(),
    )
    call.key, call.model, call.client_ip = caller.key, route_name, caller.client_ip
    body = {"model": route_name, "input": [text], "encoding_format": "float"}
    call.body = msgspec.json.encode(body)
    call.fields = msgspec.json.decode(call.body, type=dict[str, msgspec.Raw])
    return call
