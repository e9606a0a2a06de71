"""One of several upstream calls that together make one response: its events, from any framing.

A gateway-run web search calls the model once for each round, a request for several choices once
for each choice. Such calls are always translated, never passed through.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from gateway.canon.adaptation import adaptation_rows
from gateway.canon.errors import GatewayError
from gateway.canon.events import Event, Failed, Start, UsageUpdate
from gateway.canon.fold import unfold_response
from gateway.canon.request import Request
from gateway.canon.response import Usage
from gateway.dialects.shared.failed_streams import malformed_output_error
from gateway.framing.formats import STREAM_FORMATS
from gateway.providers.region_prices import region_price
from gateway.relay.event_loop import offload
from gateway.relay.exchange.call import Call
from gateway.relay.exchange.log_record import UpstreamCall
from gateway.relay.run.client_credential import with_client_credential
from gateway.relay.run.reply import decode, read_events
from gateway.relay.run.settle import billed_tier, extra_cost
from gateway.relay.run.stream import drain_upstream
from gateway.relay.translate.prepare import PreparedRequest, prepare
from gateway.relay.upstream.client import SUCCESS_STATUSES, UpstreamResponse, send_with_token
from gateway.routing.pricing import cost, tier_price
from gateway.routing.snapshot import Route, Target

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime


async def prepare_call(
    call: Call, route: Route, target: Target, request: Request
) -> PreparedRequest:
    """The upstream request of one call, recorded on the attempt. Raises GatewayError."""
    prepared_request = await offload.run(
        len(call.exchange.body), lambda: prepare(call, route, target, request)
    )
    call.attempt.passthrough = call.recorder.passthrough = False
    call.attempts[-1].dialect = prepared_request.dialect.name
    if call.recorder.enabled:
        call.recorder.upstream_request = prepared_request.content
        call.recorder.upstream_headers = dict(prepared_request.headers)
    return prepared_request


def report_adaptations(call: Call, prepared_request: PreparedRequest) -> None:
    """Record on the attempt what the translation of a call could not express."""
    rows = [*call.exchange.gateway_adaptations, *adaptation_rows(prepared_request.report)]
    call.attempt.adaptations = rows


async def call_events(
    runtime: Runtime,
    call: Call,
    target: Target,
    prepared_request: PreparedRequest,
    connect_s: float,
) -> AsyncGenerator[list[Event]]:
    """The events of one upstream call, up to `End`. Raises GatewayError for every failure."""
    upstream_response = await _send_request(runtime, call, target, prepared_request, connect_s)
    is_reusable = False
    try:
        record = call.attempts[-1]
        record.status = upstream_response.status
        record.upstream_id = upstream_response.headers.get(
            "request-id"
        ) or upstream_response.headers.get("x-request-id")
        if upstream_response.status not in SUCCESS_STATUSES:
            await _raise_refusal(runtime, call, prepared_request, upstream_response)
        stream_format = STREAM_FORMATS[prepared_request.dialect.framing]
        if stream_format.matches(upstream_response.content_type, await upstream_response.peek()):
            async for events in read_events(call, target, prepared_request, upstream_response):
                yield [_raise_failure(runtime, call, event) for event in events]
            await drain_upstream(upstream_response)
        else:
            yield await _whole_response(call, target, prepared_request, upstream_response)
        is_reusable = True
    finally:
        await upstream_response.close(sound=is_reusable)


async def _send_request(
    runtime: Runtime,
    call: Call,
    target: Target,
    prepared_request: PreparedRequest,
    connect_s: float,
) -> UpstreamResponse:
    provider = target.model.provider
    url = runtime.request_templates.url(provider, prepared_request.path)
    headers = runtime.request_templates.headers(provider, prepared_request.headers)
    if provider.client_credential:
        headers = with_client_credential(call, provider, headers)
    has_trace = runtime.config.trace_headers
    extra = call.exchange.trace_headers(call.attempts[-1]) if has_trace else ()
    content = prepared_request.content
    return await send_with_token(
        runtime.upstreams, runtime.tokens, provider, "POST", url, headers, content, connect_s, extra
    )


async def _raise_refusal(
    runtime: Runtime,
    call: Call,
    prepared_request: PreparedRequest,
    upstream_response: UpstreamResponse,
) -> None:
    body = await upstream_response.read_error()
    call.recorder.record_upstream(body)
    error = prepared_request.dialect.provider.parse_error(
        upstream_response.status, upstream_response.headers, body
    )
    raise GatewayError(runtime.provider_secrets.redact(call.exchange.snapshot, error))


async def _whole_response(
    call: Call,
    target: Target,
    prepared_request: PreparedRequest,
    upstream_response: UpstreamResponse,
) -> list[Event]:
    data = await upstream_response.read_all()
    call.recorder.record_upstream(data)

    def parse() -> list[Event]:
        response = prepared_request.dialect.provider.parse_response(
            decode(data), target.model.traits, prepared_request.rendered_request
        )
        if response.finish.reason == "malformed":
            raise GatewayError(malformed_output_error(response.finish))
        return unfold_response(response)

    return await offload.run(len(data), parse)


def _raise_failure(runtime: Runtime, call: Call, event: Event) -> Event:
    """The event. Raises GatewayError, without secrets, for one that reports a failure."""
    if isinstance(event, Failed):
        raise GatewayError(runtime.provider_secrets.redact(call.exchange.snapshot, event.error))
    return event


def new_record(call: Call) -> UpstreamCall:
    """A record of a further upstream call, added to the attempt."""
    record = UpstreamCall(started_ms=call.exchange.elapsed_ms())
    call.attempts[-1].calls.append(record)
    return record


def reported_tier(events: list[Event]) -> str | None:
    """The service tier that these events report; None if they do not."""
    for event in events:
        if isinstance(event, Start | UsageUpdate) and event.service_tier is not None:
            return event.service_tier
    return None


def finish_record(
    call: Call, record: UpstreamCall, usage: Usage | None, service_tier: str | None
) -> None:
    """Add the tokens and the cost of an upstream call to its record."""
    record.ended_ms = call.exchange.elapsed_ms()
    if usage is None or call.attempt.target is None:
        return
    record.input_tokens, record.output_tokens = usage.prompt_tokens, usage.output
    if usage.provider_cost is None:
        model = call.attempt.target.model
        price = tier_price(model.price, billed_tier(call, usage, service_tier))
        price = region_price(price, model.provider.preset, usage)
        record.cost_usd = cost(usage, price)
        if record.cost_usd is not None:
            record.cost_usd += extra_cost(model, usage, price)
