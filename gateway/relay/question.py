"""The vector of a question: made by a route of the gateway's own, as a client would ask it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.canon.errors import Error, GatewayError
from gateway.dialects import DIALECTS
from gateway.relay.cache_similar import unit
from gateway.relay.call import Call, Client
from gateway.relay.pipeline import run
from gateway.relay.settle import settle

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

DIALECT = "openai_embeddings"
# How long a question may wait for its vector before it is simply asked.
WAIT_S = 5.0


class _Answer(msgspec.Struct):
    data: list[_Item]


class _Item(msgspec.Struct):
    embedding: list[float]


async def vector_of(runtime: Runtime, asking: Call, name: str, words: str) -> list[float] | None:
    """The words' vector at length one; None if the route `name` makes none now.

    It is a request of its own in the log, of the same key, and pays from its budget.
    """
    route = asking.snapshot.route(name)
    if route is None:
        return None
    call = _call(asking, name, words)
    call.route = route
    got = bytearray()

    async def send(message: dict[str, Any]) -> None:
        got.extend(message.get("body", b""))

    client = Client(send)
    watch = runtime.watches.open()
    try:
        async with asyncio.timeout(WAIT_S):
            await run(runtime, call, client, watch)
        return unit(msgspec.json.decode(got, type=_Answer).data[0].embedding)
    except GatewayError as failure:
        call.error, call.outcome = failure.error, "error"
    except TimeoutError:
        call.error = Error(kind="timeout", message="the question's vector took too long")
        call.outcome = "error"
    except (msgspec.MsgspecError, IndexError):
        call.error = Error(kind="upstream_error", message="the answer holds no vector")
        call.outcome = "error"
    finally:
        watch.close()
        settle(runtime, call, client)
    return None


def _call(asking: Call, name: str, words: str) -> Call:
    call = Call(
        request_id=f"{asking.id[:58]}-cache",
        endpoint="cache",
        verb="embed",
        dialect=DIALECTS[DIALECT],
        snapshot=asking.snapshot,
        headers={},
        started=time.perf_counter(),
    )
    call.key, call.model, call.client_ip = asking.key, name, asking.client_ip
    body = {"model": name, "input": [words], "encoding_format": "float"}
    call.body = msgspec.json.encode(body)
    call.fields = msgspec.json.decode(call.body, type=dict[str, msgspec.Raw])
    return call
