"""Embeddings: what is sent upstream, and the response to the client.

Targets, retries and fallbacks work as in any other call. A provider computes embeddings
in its own dialect, or in the one that `EMBED_DIALECTS` has for it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from gateway.canon import model_names
from gateway.canon.embeddings import EmbedRequest, EmbedResponse
from gateway.canon.errors import Error, GatewayError, bad_upstream, invalid
from gateway.canon.response import Usage
from gateway.dialects import DIALECTS, EMBED_DIALECTS
from gateway.dialects.base import WHOLE_CALL_FRAMINGS, Dialect, EmbedProvider, ResponseContext
from gateway.framing.headers import JSON_HEADER, Header
from gateway.providers import edits as profile_edits
from gateway.relay.exchange.call import Call, Client
from gateway.relay.exchange.usage_estimate import usage_of
from gateway.relay.run.client_credential import with_client_credential
from gateway.relay.run.reply import decode, passed_headers_of, replace_model, response_headers
from gateway.relay.run.settle import settle
from gateway.relay.translate.prepare import PreparedRequest, pass_through, refuse_losses
from gateway.relay.upstream.client import SUCCESS_STATUSES, UpstreamResponse, send_with_token
from gateway.routing.snapshot import Provider, Route, Target, Timeouts

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

# Form of Google's embeddings -> its key in `paths`, if that is not `embed`.
_PATHS = {"content": "embed_content"}


def dialect_for(provider: Provider) -> Dialect:
    """The dialect in which a provider computes embeddings."""
    return DIALECTS[EMBED_DIALECTS.get(provider.dialect, provider.dialect)]


def embed_adapter(provider: Provider) -> EmbedProvider:
    """The embeddings adapter of a provider. Raises GatewayError if it has none."""
    adapter = dialect_for(provider).embed_provider
    if adapter is None:
        message = f"the provider {provider.name} does not support embeddings"
        raise GatewayError(Error(kind="unsupported_param", message=message, param="model"))
    return adapter


def parse_embed_request(call: Call) -> EmbedRequest:
    """The canonical request. Raises GatewayError naming the invalid field."""
    exchange = call.exchange
    client = exchange.dialect.embed_client
    if client is None:
        raise invalid("this dialect has no embeddings")
    body = exchange.decode_body()
    if exchange.dialect.model_in_path and isinstance(body, dict):
        body |= {"model": exchange.model}
    return client.parse_embed(body)


def prepare(call: Call, route: Route, target: Target) -> PreparedRequest:
    """The upstream request. Raises GatewayError if it cannot be expressed."""
    exchange = call.exchange
    provider = target.model.provider
    adapter = embed_adapter(provider)
    edits = (*provider.edits, *target.model.edits, *target.edits)
    path = url_path(adapter, target)
    is_same_dialect = exchange.dialect.name == dialect_for(provider).name
    # In dialects with the model in the path, each input of a batch repeats the model.
    passes = provider.passthrough and is_same_dialect and not exchange.dialect.model_in_path
    if exchange.framing in WHOLE_CALL_FRAMINGS:
        passes = passes and target.model.traits.whole_calls
    if passes:
        path = exchange.dialect.passthrough_paths.get(exchange.endpoint, path)
        prepared_request = pass_through(call, target, edits, path)
    else:
        prepared_request = render_embed_request(parse_embed_request(call), target)
    if route.strict:
        refuse_losses(prepared_request.report)
    return prepared_request


def render_embed_request(request: EmbedRequest, target: Target) -> PreparedRequest:
    """The request in the provider's dialect. Raises GatewayError if it cannot be expressed."""
    provider = target.model.provider
    adapter = embed_adapter(provider)
    rendered_request = adapter.render_embed(request, target.model.traits)
    body, report = rendered_request.body, rendered_request.report
    edits = (*provider.edits, *target.model.edits, *target.edits)
    if edits:
        body, edit_adaptations = profile_edits.apply(edits, body)
        report = (*report, *edit_adaptations)
    return PreparedRequest(
        dialect=dialect_for(provider),
        content=msgspec.json.encode(body),
        path=url_path(adapter, target),
        headers=rendered_request.headers,
        rendered_request=rendered_request,
        report=report,
    )


def url_path(adapter: EmbedProvider, target: Target) -> str:
    """The path of embeddings below the provider's base URL."""
    name = target.model.name
    embed_form = target.model.traits.embed_form
    template = target.model.provider.paths.get(_PATHS.get(embed_form, "embed"))
    return (
        model_names.expand_path_template(template, name) if template else adapter.embed_path(name)
    )


async def reply(
    runtime: Runtime,
    call: Call,
    client: Client,
    target: Target,
    upstream_response: UpstreamResponse,
) -> None:
    """Send the embeddings to the client. Raises GatewayError only before the first byte."""
    data = await upstream_response.read_all()
    call.end_upstream_wait()
    call.recorder.record_upstream(data)
    body, headers = _response_body(call, target, data), []
    if call.attempt.passthrough:
        if runtime.model_echo and call.attempt.tap.model != call.exchange.model:
            body = replace_model(body, call.attempt.tap.model, call.exchange.model)
        headers = passed_headers_of(runtime, upstream_response, call)
    await send(runtime, call, client, target, body, headers)


async def send(
    runtime: Runtime, call: Call, client: Client, target: Target, body: bytes, headers: list[Header]
) -> None:
    """Settle, then send the whole response."""
    client.status = 200
    client.headers = [JSON_HEADER, *response_headers(call, target.model.label), *headers]
    settle(runtime, call, client)
    await client.reply(200, client.headers, body)


def _response_body(call: Call, target: Target, data: bytes) -> bytes:
    """The response for the client: passed through, or in the client's dialect."""
    adapter = embed_adapter(target.model.provider)
    if call.attempt.passthrough:
        call.attempt.tap.note_embeddings(
            adapter.peek_embed_usage(data) or adapter.parse_embed(decode(data))
        )
        return data
    request = parse_embed_request(call)
    response = _parse_response(adapter, request, data)
    call.attempt.tap.note_embeddings(response)
    body = msgspec.json.encode(render_embed_response(call, request, response))
    call.recorder.record_client(body)
    return body


def _parse_response(adapter: EmbedProvider, request: EmbedRequest, data: bytes) -> EmbedResponse:
    """The response to a request. Raises GatewayError unless it has a vector for each input."""
    response = adapter.parse_embed(decode(data))
    if len(response.vectors) != len(request.inputs):
        counts = f"{len(response.vectors)} vectors for {len(request.inputs)} inputs"
        raise bad_upstream(f"the upstream returned {counts}")
    return response


def render_embed_response(
    call: Call, request: EmbedRequest, response: EmbedResponse
) -> dict[str, object]:
    """The JSON of the response in the client's dialect."""
    exchange = call.exchange
    client = exchange.dialect.embed_client
    assert client is not None
    if response.usage is None or response.usage.prompt_tokens is None:
        # Some client dialects require a count.
        response = msgspec.structs.replace(response, usage=usage_of(call)[0])
    context = ResponseContext(
        id=exchange.id.removeprefix("req_"),
        created=int(exchange.started_at),
        model=exchange.model,
        endpoint=exchange.endpoint,
        framing=exchange.framing,
    )
    return client.render_embed(response, request, context)


# --- batches ----------------------------------------------------------------------------
# A request with more inputs than a provider accepts becomes several calls and one response.
# The order of the inputs is preserved, the counts are summed; if one call fails, all fail.

# Maximum concurrent calls for one request.
MAX_PARALLEL_CALLS = 4


def split_inputs(call: Call, target: Target) -> list[EmbedRequest]:
    """The requests to send instead; empty if one call can contain all inputs."""
    max_inputs = target.model.traits.embed_max
    if max_inputs is None or call.exchange.verb != "embed" or not _may_exceed(call, max_inputs):
        return []
    request = parse_embed_request(call)
    if len(request.inputs) <= max_inputs:
        return []
    return [
        request.slice_inputs(start, start + max_inputs)
        for start in range(0, len(request.inputs), max_inputs)
    ]


def _may_exceed(call: Call, max_inputs: int) -> bool:
    """Whether to parse the inputs: each has at least two bytes and a comma."""
    return len(call.exchange.body) > 3 * max_inputs


async def embed_in_batches(
    runtime: Runtime,
    call: Call,
    client: Client,
    route: Route,
    target: Target,
    requests: list[EmbedRequest],
    timeouts: Timeouts,
) -> None:
    """Respond from the results of all batches. Raises GatewayError only before the first byte."""
    prepared_requests = [render_embed_request(request, target) for request in requests]
    if route.strict:
        refuse_losses(prepared_requests[0].report)
    call.attempt.passthrough = False
    if call.recorder.enabled:
        call.recorder.upstream_request = _as_json_list(
            [prepared_request.content for prepared_request in prepared_requests]
        )
        call.recorder.passthrough = False
    slots = asyncio.Semaphore(MAX_PARALLEL_CALLS)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(
                    _send_batch(runtime, call, target, prepared_request, timeouts, slots)
                )
                for prepared_request in prepared_requests
            ]
    except ExceptionGroup as failures:
        raise _first_failure(failures) from None
    call.end_upstream_wait()
    call.attempts[-1].status, call.attempts[-1].first_byte_ms = 200, call.exchange.elapsed_ms()
    data = [task.result() for task in tasks]
    call.recorder.record_upstream(_as_json_list(data))
    adapter = embed_adapter(target.model.provider)
    responses = [
        _parse_response(adapter, request, part)
        for request, part in zip(requests, data, strict=True)
    ]
    merged_response = merge_responses(responses)
    call.attempt.tap.note_embeddings(merged_response)
    body = msgspec.json.encode(
        render_embed_response(call, parse_embed_request(call), merged_response)
    )
    call.recorder.record_client(body)
    await send(runtime, call, client, target, body, [])


def merge_responses(responses: list[EmbedResponse]) -> EmbedResponse:
    """Merge responses into one; usage is known only if each response reports it."""
    counts = [
        response.usage.prompt_tokens if response.usage is not None else None
        for response in responses
    ]
    costs = [r.usage.provider_cost if r.usage is not None else None for r in responses]
    known_counts = [count for count in counts if count is not None]
    usage = None
    if len(known_counts) == len(responses):
        cost = None if None in costs else sum(usd or 0 for usd in costs)
        usage = Usage(input=sum(known_counts), output=0, provider_cost=cost)
    vectors = tuple(vector for response in responses for vector in response.vectors)
    return EmbedResponse(model=responses[0].model, vectors=vectors, usage=usage)


async def _send_batch(
    runtime: Runtime,
    call: Call,
    target: Target,
    prepared_request: PreparedRequest,
    timeouts: Timeouts,
    slots: asyncio.Semaphore,
) -> bytes:
    exchange = call.exchange
    provider = target.model.provider
    url = runtime.request_templates.url(provider, prepared_request.path)
    headers = runtime.request_templates.headers(provider, prepared_request.headers)
    if provider.client_credential:
        headers = with_client_credential(call, provider, headers)
    content = prepared_request.content
    async with slots:
        extra = exchange.trace_headers(call.attempts[-1]) if runtime.config.trace_headers else ()
        connect_s, tokens = timeouts.connect_s, runtime.tokens
        upstream_response = await send_with_token(
            runtime.upstreams, tokens, provider, "POST", url, headers, content, connect_s, extra
        )
        is_error = upstream_response.status not in SUCCESS_STATUSES
        try:
            read_body = upstream_response.read_error if is_error else upstream_response.read_all
            data = await read_body()
        finally:
            await upstream_response.close()
    if is_error:
        error = prepared_request.dialect.provider.parse_error(
            upstream_response.status, upstream_response.headers, data
        )
        raise GatewayError(runtime.provider_secrets.redact(exchange.snapshot, error))
    return data


def _as_json_list(bodies: list[bytes]) -> bytes:
    """JSON bodies as one list, for the log."""
    return b"[" + b",".join(bodies) + b"]"


def _first_failure(failures: ExceptionGroup[Exception]) -> Exception:
    for failure in failures.exceptions:
        if isinstance(failure, GatewayError):
            return failure
    return failures.exceptions[0]
