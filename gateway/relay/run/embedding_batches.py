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
from gateway.relay.exchange.call import Call, Client
from gateway.relay.exchange.trace_headers import trace_headers
from gateway.relay.run.embeddings import (
    embed_adapter,
    parse_embed_request,
    render_embed_request,
    render_embed_response,
    send,
)
from gateway.relay.run.stream import decode
from gateway.relay.translate.prepare import Prepared, refuse_losses
from gateway.routing.snapshot import Route, Target, Timeouts

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

# Calls at a time for one request.
MAX_PARALLEL_CALLS = 4


def split_inputs(call: Call, target: Target) -> list[EmbedRequest]:
    """The requests to make instead; empty where one call may hold all inputs."""
    max_inputs = target.model.traits.embed_max
    if max_inputs is None or call.verb != "embed" or not _may_exceed(call, max_inputs):
        return []
    request = parse_embed_request(call)
    if len(request.inputs) <= max_inputs:
        return []
    return [
        request.slice_inputs(start, start + max_inputs)
        for start in range(0, len(request.inputs), max_inputs)
    ]


def _may_exceed(call: Call, max_inputs: int) -> bool:
    """Whether it is worth reading the inputs: each takes two bytes and a comma at least."""
    return len(call.body) > 3 * max_inputs


async def answer_in_batches(
    runtime: Runtime,
    call: Call,
    client: Client,
    route: Route,
    target: Target,
    requests: list[EmbedRequest],
    limits: Timeouts,
) -> None:
    """Answer from all pieces. Raises GatewayError only before the first byte."""
    prepared = [render_embed_request(part, target) for part in requests]
    if route.strict:
        refuse_losses(prepared[0].report)
    call.passthrough = False
    if call.recorder.enabled:
        call.recorder.upstream_request = _as_json_list([part.content for part in prepared])
        call.recorder.passthrough = False
    turn = asyncio.Semaphore(MAX_PARALLEL_CALLS)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_send_batch(runtime, call, target, part, limits, turn))
                for part in prepared
            ]
    except ExceptionGroup as failures:
        raise _first_failure(failures) from None
    call.end_upstream_wait()
    call.attempts[-1].status, call.attempts[-1].first_byte_ms = 200, call.elapsed_ms()
    data = [task.result() for task in tasks]
    call.recorder.record_upstream(_as_json_list(data))
    half = embed_adapter(target.model.provider)
    responses = [half.parse_embed(decode(part)) for part in data]
    for request, response in zip(requests, responses, strict=True):
        if len(response.vectors) != len(request.inputs):
            counts = f"{len(response.vectors)} vectors for {len(request.inputs)} inputs"
            raise bad_upstream(f"the upstream gave {counts}")
    merged = merge_responses(responses)
    call.tap.note_embeddings(merged)
    body = msgspec.json.encode(render_embed_response(call, parse_embed_request(call), merged))
    call.recorder.record_client(body)
    await send(runtime, call, client, target, body, [])


def merge_responses(responses: list[EmbedResponse]) -> EmbedResponse:
    """The answers as one; counts are known where all are."""
    counts = [
        response.usage.prompt_tokens if response.usage is not None else None
        for response in responses
    ]
    known_counts = [count for count in counts if count is not None]
    usage = (
        Usage(input=sum(known_counts), output=0) if len(known_counts) == len(responses) else None
    )
    vectors = tuple(vector for response in responses for vector in response.vectors)
    return EmbedResponse(model=responses[0].model, vectors=vectors, usage=usage)


async def _send_batch(
    runtime: Runtime,
    call: Call,
    target: Target,
    prepared: Prepared,
    limits: Timeouts,
    slots: asyncio.Semaphore,
) -> bytes:
    provider = target.model.provider
    url = runtime.request_templates.url(provider, prepared.path)
    headers = runtime.request_templates.headers(provider, prepared.headers)
    content = prepared.content
    async with slots:
        if provider.auth in MAKERS:
            headers = await runtime.tokens.headers(provider, "POST", url, headers, content)
        extra = trace_headers(call) if runtime.config.trace_headers else ()
        connect_s = limits.connect_s
        answer = await runtime.upstreams.send("POST", url, headers, content, connect_s, extra)
        try:
            data = await answer.read_all()
        finally:
            await answer.close()
    if answer.status != 200:
        error = prepared.dialect.provider.parse_error(answer.status, answer.headers, data)
        raise GatewayError(runtime.redacted(call.snapshot, error))
    return data


def _as_json_list(bodies: list[bytes]) -> bytes:
    """JSON bodies as one list, for the log."""
    return b"[" + b",".join(bodies) + b"]"


def _first_failure(failures: ExceptionGroup[Exception]) -> Exception:
    for failure in failures.exceptions:
        if isinstance(failure, GatewayError):
            return failure
    return failures.exceptions[0]
