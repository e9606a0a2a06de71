"""One request for more vectors than a provider gives at once: several calls, one answer.

The order of the inputs is kept, the counts are summed; a piece that fails fails all, as
half an answer is none.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from gateway.canon.embeddings import EmbedRequest, EmbedResponse
from gateway.canon.errors import GatewayError, bad_upstream
from gateway.canon.response import Usage
from gateway.providers.auth import MAKERS
from gateway.providers.redact import scrub
from gateway.relay.call import Call, Client
from gateway.relay.embed import half_of, rendered, send, shown, wanted
from gateway.relay.prepare import Prepared, refuse_losses
from gateway.relay.reply import decode
from gateway.routing.snapshot import Route, Target, Timeouts

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

# Calls at a time for one request.
AT_ONCE = 4


def pieces(call: Call, target: Target) -> list[EmbedRequest]:
    """The requests to make instead; empty where one call may hold all inputs."""
    most = target.model.traits.embed_max
    if most is None or call.verb != "embed" or not _may_be_more(call, most):
        return []
    asked = wanted(call)
    if len(asked.inputs) <= most:
        return []
    return [asked.piece(at, at + most) for at in range(0, len(asked.inputs), most)]


def _may_be_more(call: Call, most: int) -> bool:
    """Whether it is worth reading the inputs: each takes two bytes and a comma at least."""
    return len(call.body) > 3 * most


async def answer(
    runtime: Runtime,
    call: Call,
    client: Client,
    route: Route,
    target: Target,
    asked: list[EmbedRequest],
    limits: Timeouts,
) -> None:
    """Answer from all pieces. Raises GatewayError only before the first byte."""
    prepared = [rendered(one, target) for one in asked]
    if route.strict:
        refuse_losses(prepared[0].report)
    call.passthrough = False
    if call.recorder.on:
        call.recorder.upstream_request = _joined([one.content for one in prepared])
        call.recorder.passthrough = False
    turn = asyncio.Semaphore(AT_ONCE)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_ask(runtime, call, target, one, limits, turn))
                for one in prepared
            ]
    except ExceptionGroup as failures:
        raise _first(failures) from None
    call.end_wait()
    call.attempts[-1].status, call.attempts[-1].first_byte_ms = 200, call.ms()
    data = [task.result() for task in tasks]
    call.recorder.upstream(_joined(data))
    half = half_of(target.model.provider)
    found = [half.parse_embed(decode(one)) for one in data]
    for piece, told in zip(asked, found, strict=True):
        if len(told.vectors) != len(piece.inputs):
            given = f"{len(told.vectors)} vectors for {len(piece.inputs)} inputs"
            raise bad_upstream(f"the upstream gave {given}")
    whole = joined(found)
    call.tap.note_embeddings(whole)
    body = msgspec.json.encode(shown(call, wanted(call), whole))
    call.recorder.client(body)
    await send(runtime, call, client, target, body, [])


def joined(found: list[EmbedResponse]) -> EmbedResponse:
    """The answers as one; counts are known where all are."""
    counts = [one.usage.prompt if one.usage is not None else None for one in found]
    known = [count for count in counts if count is not None]
    usage = Usage(input=sum(known), output=0) if len(known) == len(found) else None
    vectors = tuple(vector for one in found for vector in one.vectors)
    return EmbedResponse(model=found[0].model, vectors=vectors, usage=usage)


async def _ask(
    runtime: Runtime,
    call: Call,
    target: Target,
    prepared: Prepared,
    limits: Timeouts,
    turn: asyncio.Semaphore,
) -> bytes:
    provider = target.model.provider
    url = runtime.lines.url(provider, prepared.path)
    headers = runtime.lines.headers(provider, prepared.headers)
    content = prepared.content
    async with turn:
        if provider.auth in MAKERS:
            headers = await runtime.tokens.headers(provider, "POST", url, headers, content)
        got = await runtime.upstreams.send("POST", url, headers, content, limits.connect_s)
        try:
            data = await got.read_all()
        finally:
            await got.close()
    if got.status != 200:
        error = prepared.dialect.provider.parse_error(got.status, got.headers, data)
        message = scrub(error.message, runtime.secrets(call.snapshot))
        raise GatewayError(msgspec.structs.replace(error, message=message))
    return data


def _joined(bodies: list[bytes]) -> bytes:
    """JSON bodies as one list, for the log."""
    return b"[" + b",".join(bodies) + b"]"


def _first(failures: ExceptionGroup[Exception]) -> Exception:
    for failure in failures.exceptions:
        if isinstance(failure, GatewayError):
            return failure
    return failures.exceptions[0]
