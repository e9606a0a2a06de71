"""The end of a request: failures reach its caller, and one log record the journal. Exactly once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from gateway.canon import model_names
from gateway.canon.errors import Error, GatewayError, invalid
from gateway.canon.response import Usage
from gateway.dialects.base import ErrorReply
from gateway.providers.masks import Mask, mask_text
from gateway.providers.profile import Price
from gateway.providers.region_prices import REGION, region_price
from gateway.providers.tool_prices import search_cost
from gateway.providers.unit_prices import unit_price_for
from gateway.relay.exchange.call import (
    Call,
    Client,
    Deadlines,
    Exchange,
    milliseconds,
    stop_error,
)
from gateway.relay.exchange.iterations import (
    ITERATIONS,
    iterations_cost,
    separate_iterations,
)
from gateway.relay.exchange.log_record import LogRecord, UpstreamCall
from gateway.relay.exchange.passthrough import PassthroughState, passthrough_cost
from gateway.relay.exchange.recorder import mask_secrets
from gateway.relay.exchange.request_features import (
    ATTRIBUTION_FIELDS,
    attribution_headers,
    end_user_of,
    session_header,
    tags_of,
)
from gateway.relay.exchange.trace import client_trace
from gateway.relay.exchange.usage_estimate import REPORTED, usage_of
from gateway.relay.run import response_state
from gateway.routing.limits import units
from gateway.routing.pricing import (
    GEMINI_OUTPUT,
    STANDARD_TIERS,
    charge_of,
    cost,
    image_surcharge,
    tier_price,
)
from gateway.routing.snapshot import Model

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

log = logging.getLogger(__name__)
CLIENT_GONE = Error(kind="client_gone", message="the client disconnected")
# Reports a failure to the caller, including CLIENT_GONE.
ReportFailure = Callable[[GatewayError], Awaitable[None]]


class _BedrockTier(msgspec.Struct):
    """The service tier in a Bedrock Converse request."""

    type: str


_tier_decoder = msgspec.json.Decoder(str | _BedrockTier)
# OpenAI renamed `priority` to `fast`, and accepts both
# (developers.openai.com/api/docs/guides/fast-mode).
_SAME_TIERS = {"fast": "priority", "priority": "fast"}
_TIER_FIELDS = frozenset({"service_tier", "serviceTier"})
# What the request is charged, in US dollars; the second is LiteLLM's name for it.
_COST_HEADERS = (b"x-dragoman-cost-usd", b"x-litellm-response-cost")
_BILLED_VERBS = frozenset({"generate", "embed"})


def settle(runtime: Runtime, call: Call, client: Client) -> None:
    """Write the request's log record; a second call does nothing."""
    exchange = call.exchange
    if call.record is not None:
        return
    if call.claim_win is not None:
        call.claim_win()
    now = time.perf_counter()
    record = call.record = _log_record(call, client, now)
    if exchange.verb in _BILLED_VERBS and call.attempt.tap.started:
        tap = call.attempt.tap
        usage, record.usage_source = tap.usage, REPORTED
        if usage is None or usage.estimated or not tap.has_all_counts or tap.finish is None:
            usage, record.usage_source = usage_of(call)
        record.input_tokens, record.output_tokens = usage.input, usage.output
        record.cache_read_tokens, record.cache_write_tokens = usage.cache_read, usage.cache_write
        record.reasoning_tokens = usage.reasoning
        if ITERATIONS in usage.native:
            _add_iterations(record, usage)
        if call.attempt.target is not None:
            record.cost_usd, record.price_source, record.service_tier = price_usage(call, usage)
    if exchange.passthrough_state is not None:
        _bill_passthrough(record, call, exchange.passthrough_state)
    cache_lookup = call.cache_lookup
    if cache_lookup is not None:
        cache_lookup.update_log_record(record)
    record.charged_usd = record.cost_usd
    if exchange.snapshot.has_markups:
        record.charged_usd = charge_of_call(call, record.cost_usd)
    if record.charged_usd is not None and not client.started:
        # A stream's headers are sent long before its cost is known.
        amount = format(record.charged_usd, "f").encode()
        client.headers = [*client.headers, *((name, amount) for name in _COST_HEADERS)]
    if not exchange.shadow_of:
        _attribute(record, exchange)
    if call.reservations:
        from_cache = cache_lookup is not None and cache_lookup.cached is not None
        used_tokens = 0 if from_cache else _total_tokens(record)
        runtime.limiter.settle(call, used_tokens, units(record.charged_usd), call.hedge_loss)
    if call.attempts and call.attempts[-1].ended_ms is None:
        call.attempts[-1].ended_ms = record.duration_ms
    if call.recorder.masks:
        _mask_errors(record, call.recorder.masks)
    if exchange.route is None:
        _clean_rejected_model(record, exchange.snapshot.masks)
    record.bodies = call.recorder.bodies(
        exchange.headers,
        client.headers,
        stream=exchange.stream and client.status == 200,
    )
    if record.bodies is None:
        # Recording starts when the key and the route are known, which can disable it.
        record.bodies_omitted = "off" if call.recorder.started or call.attempts else "rejected"
    if (
        exchange.store_policy is not None
        and (stored_response := response_state.response_to_store(call, record)) is not None
    ):
        record.stored_response = stored_response
        runtime.responses.add_pending(stored_response)
    if call.guard is not None:
        record.guardrails = call.guard.results
    trace = exchange.trace
    if trace is not None:
        record.trace_id, record.span_id = trace.trace_id, trace.span_id
        record.parent_span_id = trace.parent_span_id
    elif "traceparent" in exchange.headers:
        record.trace_id, record.parent_span_id = client_trace(exchange.headers)
    runtime.journal.append(record)
    runtime.metrics.record(record)
    if runtime.telemetry is not None and (trace is not None or exchange.unsampled_traceparent):
        runtime.telemetry.export(record, sampled=trace is not None)


def _total_tokens(record: LogRecord) -> int:
    """All tokens of prompt and response, as far as known."""
    return max(record.prompt_tokens or 0, 0) + max(record.output_tokens or 0, 0)


def _log_record(call: Call, client: Client, now: float) -> LogRecord:
    exchange, attempt = call.exchange, call.attempt
    tap, target, error = attempt.tap, attempt.target, call.error
    key, route = exchange.key, exchange.route
    started, first_byte_at = exchange.started, client.first_byte_at
    last_attempt = call.attempts[-1] if call.attempts else None
    upstream_dialect = provider = model = variant = ""
    if target is not None:
        provider, model = target.model.provider.name, target.model.name
        upstream_dialect, variant = target.model.provider.dialect, target.variant
        if last_attempt is not None and last_attempt.skipped is None:
            upstream_dialect = last_attempt.dialect
    own_s = (now if first_byte_at is None else first_byte_at) - started - call.upstream_wait_s
    # Most fields at once: setting them later, one by one, takes longer.
    record = LogRecord(
        id=exchange.id,
        started_at=exchange.started_at,
        client_request_id=exchange.client_request_id,
        endpoint=exchange.endpoint,
        client_dialect=exchange.dialect.name,
        upstream_dialect=upstream_dialect,
        key_id=key.id if key is not None else None,
        key_prefix=key.prefix if key is not None else "",
        route=route.name if route is not None else "",
        requested_model=exchange.model,
        provider=provider,
        model=model,
        target_id=target.id if target is not None else None,
        stream=exchange.stream,
        passthrough=attempt.passthrough,
        status=client.status,
        outcome=call.outcome,
        finish=tap.finish.reason if tap.finish is not None else "",
        duration_ms=milliseconds(now - started),
        overhead_ms=milliseconds(own_s) if own_s > 0 else 0.0,
        attempts=call.attempts,
        adaptations=attempt.adaptations,
        user_agent=exchange.headers.get("user-agent", "")[:200],
        client_ip=exchange.client_ip,
        upstream_id=(last_attempt.upstream_id or tap.provider_response_id)
        if last_attempt is not None
        else "",
        variant=variant,
        shadow_of=exchange.shadow_of,
    )
    if tap.first_token_at is not None:
        record.first_token_ms = milliseconds(tap.first_token_at - started)
    if client.chunks > 1 and first_byte_at is not None:
        # The mean time between the chunks of a stream.
        record.chunk_gap_ms = (client.sent_at - first_byte_at) * 1000 / (client.chunks - 1)
    if error is not None:
        record.outcome = "error" if call.outcome == "ok" else call.outcome
        record.error_kind, record.error = error.kind, error.message[:2000]
    if exchange.response_id:
        record.response_id = f"resp_{exchange.response_id}"
    return record


def _attribute(record: LogRecord, exchange: Exchange) -> None:
    """Record the session, the end user and the tags of a request."""
    snapshot = exchange.snapshot
    header_names = attribution_headers(snapshot.end_user_headers, snapshot.tag_headers)
    if not (
        ATTRIBUTION_FIELDS.isdisjoint(exchange.fields) and header_names.isdisjoint(exchange.headers)
    ):
        record.session, record.end_user = session_header(exchange), end_user_of(exchange)
        record.tags = sorted(tags_of(exchange))
    elif exchange.key is not None and exchange.key.tags:
        record.tags = sorted(exchange.key.tags)
    if exchange.prompt_tag:
        record.tags = [*record.tags, exchange.prompt_tag]


def _mask_errors(record: LogRecord, masks: tuple[Mask, ...]) -> None:
    """Mask error messages like bodies: they may repeat what the client sent."""
    record.error = mask_text(record.error, masks)
    for attempt in record.attempts:
        if attempt.error:
            attempt.error = mask_text(attempt.error, masks)


def _clean_rejected_model(record: LogRecord, masks: tuple[Mask, ...]) -> None:
    """Shorten the model of a request without a route, and mask keys, which clients send as one."""
    record.requested_model = record.requested_model[: model_names.MAX_LENGTH]
    for name in ("requested_model", "error"):
        text = getattr(record, name).encode(errors="replace")
        setattr(record, name, mask_secrets(text, masks).decode(errors="replace"))


def price_usage(call: Call, usage: Usage) -> tuple[Decimal | None, str, str]:
    """The cost of a usage at the call's target, its source, and the service tier."""
    assert call.attempt.target is not None
    if usage.provider_cost is not None:
        return Decimal(str(usage.provider_cost)), "provider", ""
    model, reported_tier = call.attempt.target.model, ""
    price = model.price
    tier = billed_tier(call, usage, call.attempt.tap.service_tier)
    if tier not in STANDARD_TIERS:
        reported_tier = tier[:20] if tier else ""
        price = tier_price(price, tier)
    if REGION in usage.native:
        price = region_price(price, model.provider.preset, usage)
    if call.exchange.verb == "embed" and price.output is None:
        # Embedding models have no output, and therefore no price for it.
        price = msgspec.structs.replace(price, output=Decimal(0))
    calls = call.attempts[-1].calls if call.attempts else []
    if calls:
        usd = _cost_of_calls(calls, usage, price)
    else:
        usd = cost(usage, price)
        if usd is not None and usage.native:
            usd += extra_cost(model, usage, price)
    return usd, price.source if usd is not None else "", reported_tier


def extra_cost(model: Model, usage: Usage, price: Price) -> Decimal:
    """What a call cost beyond its counts: images at their price, iterations, web searches."""
    usd = Decimal(0)
    if GEMINI_OUTPUT in usage.native:
        unit_price = unit_price_for(model.provider.preset, model.name)
        usd += image_surcharge(usage, price, model.price, unit_price.output_image)
    if ITERATIONS in usage.native:
        usd += iterations_cost(usage, model, price)
    if usage.web_searches:
        usd += search_cost(model.provider.preset, usage)
    return usd


def _add_iterations(record: LogRecord, usage: Usage) -> None:
    """Add the tokens of iterations that the usage does not include."""
    for _, extra in separate_iterations(usage):
        record.input_tokens = (record.input_tokens or 0) + (extra.input or 0)
        record.output_tokens = (record.output_tokens or 0) + (extra.output or 0)
        record.cache_read_tokens = (record.cache_read_tokens or 0) + (extra.cache_read or 0)
        record.cache_write_tokens = (record.cache_write_tokens or 0) + (extra.cache_write or 0)


def billed_tier(call: Call, usage: Usage, reported_tier: str | None) -> str | None:
    """The service tier that a response reports; if it reports none, the requested one.

    Claude's fast mode has prices of its own (platform.claude.com, "Fast mode") and counts as the
    tier `fast`, beside its `service_tier`.
    """
    if usage.native.get("speed") == "fast":
        return "fast"
    tier = reported_tier
    if _TIER_FIELDS.isdisjoint(call.exchange.fields):
        return tier
    if tier is None:
        tier = _requested_tier(call.exchange)
    if tier in _SAME_TIERS and call.attempt.target is not None:
        tiers = call.attempt.target.model.price.tiers
        if tier not in tiers and _SAME_TIERS[tier] in tiers:
            return _SAME_TIERS[tier]
    return tier


def _cost_of_calls(calls: list[UpstreamCall], usage: Usage, price: Price) -> Decimal | None:
    """The cost of several upstream calls, which together used `usage`.

    Each has its own: prices can depend on the length of a call's own prompt. Calls that were
    interrupted have none: then the cost is that of the total, at the price of short prompts.
    """
    costs = [c.cost_usd for c in calls if c.cost_usd is not None]
    if len(costs) == len(calls):
        return sum(costs, Decimal(0))
    return cost(usage, msgspec.structs.replace(price, above=()))


def _requested_tier(exchange: Exchange) -> str | None:
    """The service tier in the request, used if the response does not report its own."""
    raw = exchange.fields.get("service_tier") or exchange.fields.get("serviceTier")
    if raw is None:
        return None
    try:
        decoded_value = _tier_decoder.decode(raw)
    except msgspec.MsgspecError:
        return None
    name = decoded_value.type if isinstance(decoded_value, _BedrockTier) else decoded_value
    return name.lower().removeprefix("service_tier_")


def charge_of_call(call: Call, usd: Decimal | None) -> Decimal | None:
    """The charge for a cost of the call: with the markup of key, provider or settings."""
    exchange = call.exchange
    key, target = exchange.key, call.attempt.target
    return charge_of(
        usd,
        key.markup if key is not None else None,
        target.model.provider.markup if target is not None else None,
        exchange.snapshot.markup,
    )


def _bill_passthrough(record: LogRecord, call: Call, state: PassthroughState) -> None:
    """Record tokens and cost as the response reports them; nothing is estimated."""
    if record.attempts and record.attempts[-1].skipped is None:
        record.attempts[-1].sent_bytes = state.sent_bytes
    amounts = state.usage
    if amounts is None or call.attempt.target is None:
        return
    if amounts.usage is not None:
        record.input_tokens, record.output_tokens = amounts.usage.input, amounts.usage.output
        record.cache_read_tokens = amounts.usage.cache_read
        record.usage_source = REPORTED
    model = call.attempt.target.model
    unit_price = unit_price_for(model.provider.preset, model.name)
    record.cost_usd, record.price_source = passthrough_cost(amounts, model.price, unit_price)


# --- serving a call to its end ----------------------------------------------------------


async def serve_call(
    runtime: Runtime,
    call: Call,
    client: Client,
    deadlines: Deadlines,
    work: Awaitable[object],
    fail: ReportFailure,
) -> None:
    """Await `work` and settle the call; never raises for a failure of the work.

    `fail` is called with the failure first: that of an upstream or of the request itself, the
    reason for which the deadlines stopped it, CLIENT_GONE, or a fault of the gateway, which is
    logged. A cancellation that the deadlines did not cause is CLIENT_GONE and is raised again.
    """
    try:
        await work
    except GatewayError as failure:
        await fail(failure)
        # The frames in it have the bodies, and the failure itself: such a cycle would stay in
        # memory until the next garbage collection, which the size of the bodies does not hasten.
        failure.__traceback__ = None
    except asyncio.CancelledError:
        reason = deadlines.take_reason()
        client_gone = reason is None or reason == "client_gone"
        await fail(GatewayError(CLIENT_GONE if client_gone else stop_error(reason)))
        if reason is None:
            raise
    except RecursionError:
        # JSON just below the limit, which depends on the depth of the calls that read or write it.
        await fail(invalid("the request, or the response to it, is nested too deeply"))
    except Exception:
        log.exception("a request failed inside the gateway", extra={"request_id": call.exchange.id})
        message = "internal error of the gateway; see its log"
        await fail(GatewayError(Error(kind="upstream_error", message=message)))
    finally:
        deadlines.close()
        if call.record is None and not call.detached:
            settle(runtime, call, client)


def record_failure(call: Call, client: Client, error: Error) -> ErrorReply | None:
    """Record a failure without sending it; return the error reply, unless it was cut off."""
    exchange = call.exchange
    call.error = call.error or error
    if client.started:
        call.outcome = "cut"
        return None
    reply = exchange.dialect.client.render_error(error, exchange.id)
    client.status = reply.status
    call.outcome = "error"
    return reply
