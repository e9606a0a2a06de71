"""Runs one request: tries candidates in order until one produces its first frame.

`routing.candidates.RetryPlan` selects the candidate after a failure, with a jittered pause before
each further round. A failure that the client caused ends the request immediately, unless a step
of the route handles it; a failure after the first frame is never retried.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Literal

import msgspec

from gateway.canon.adaptation import adaptation_rows
from gateway.canon.errors import Error, GatewayError
from gateway.framing.formats import STREAM_FORMATS
from gateway.providers.auth import DERIVED_HEADER_SCHEMES
from gateway.providers.redact import MAX_CHARS, Redactor, scrub
from gateway.relay.event_loop import offload
from gateway.relay.exchange.call import AttemptState, Call, Client, Deadlines, stop_error
from gateway.relay.exchange.log_record import Attempt
from gateway.relay.exchange.request_features import routing_features
from gateway.relay.passthrough import request as passthrough_request
from gateway.relay.passthrough.request import request_body
from gateway.relay.passthrough.resource_ids import ID_MARKER_END
from gateway.relay.run import embeddings, passthrough_response
from gateway.relay.run.choices import respond_with_choices
from gateway.relay.run.client_credential import (
    error_for_client,
    is_fault_of_client,
    with_client_credential,
)
from gateway.relay.run.hedge import call_with_hedge
from gateway.relay.run.realtime import serve_session
from gateway.relay.run.reply import passed_headers_of, reply
from gateway.relay.run.route_guardrails import guard_for_route
from gateway.relay.run.stream import stream_response
from gateway.relay.run.web_search import find_gateway_search, respond_with_searches
from gateway.relay.state.reasoning import CALL_HINTS, retry_without_state
from gateway.relay.translate.choices import CHOICE_FIELDS, split_choices
from gateway.relay.translate.media_parts import without_file_bytes
from gateway.relay.translate.prepare import (
    PreparedRequest,
    prepare,
    upstream_dialect,
    uses_passthrough,
)
from gateway.relay.upstream.client import SUCCESS_STATUSES, UpstreamResponse, send_with_token
from gateway.relay.upstream.http1 import Content
from gateway.routing.candidates import (
    CLASS_BY_KIND,
    Candidate,
    Decision,
    RetryPlan,
    Skip,
    depends_on_content,
    retry_plan_for,
    select_candidates,
    with_fallbacks,
)
from gateway.routing.circuit_breaker import DEFAULT_COOLDOWN_AFTER
from gateway.routing.snapshot import Route, Target, Timeouts

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

_IMMEDIATE_COOLDOWN = frozenset({"rate_limit", "quota", "upstream_auth"})
# Verb -> the function that builds its upstream request, if not `prepare`.
_PREPARE_BY_VERB: dict[str, Callable[[Call, Route, Target], PreparedRequest]] = {
    "embed": embeddings.prepare,
    "passthrough": passthrough_request.prepare,
}


class UpstreamRefused(GatewayError):
    """An upstream's error response, with its own body for a client of the same dialect.

    `headers` are those for such a client: rate limits, and when to retry. `clean` is whether
    `body` is in the dialect's format and contains no secret; otherwise it must not be passed on.
    """

    def __init__(
        self,
        error: Error,
        status: int,
        body: bytes,
        headers: list[tuple[bytes, bytes]],
        *,
        clean: bool,
    ) -> None:
        super().__init__(error)
        self.status = status
        self.body = body
        self.headers = headers
        self.clean = clean


# How `run` ends: a target has responded; Redis has a cached response (`CacheLookup.blob`); or
# the target does not support the request itself, and the caller must execute `Exchange.plan`.
RunResult = Literal["answered", "cached", "planned"]
RunCall = Callable[["Runtime", Call, Client, Deadlines], Awaitable[RunResult]]


async def run(runtime: Runtime, call: Call, client: Client, deadlines: Deadlines) -> RunResult:
    """Serve the call. Raises GatewayError while nothing has been sent to the client."""
    exchange = call.exchange
    route = exchange.route
    assert route is not None
    if len(exchange.body) >= offload.LARGE_BYTES:
        await parse_for_selection(call, route)
    decision = select_targets(runtime, call, route)
    retry_plan = retry_plan_for(decision, route)
    failure: GatewayError | None = None
    while (candidate := retry_plan.next_candidate()) is not None:
        if retry_plan.bypassed_candidates:
            _record_skipped(call, retry_plan.bypassed_candidates)
            retry_plan.bypassed_candidates.clear()
        if retry_plan.pause_due:
            await _wait_before_round(call, retry_plan, route, deadlines)
        if candidate.route is not route and exchange.snapshot.uses_guardrails:
            try:
                await guard_for_route(runtime, call, candidate.route)
            except GatewayError as error:
                failure = error
                _record_skipped(call, (Skip(candidate, error.error.message),))
                if not retry_plan.record_failure(error.error):
                    raise
                continue
            exchange = call.exchange
        admission = await runtime.limiter.admit(call, route, candidate.target)
        if admission.is_cached:
            return "cached"
        refusal = admission.refusal
        if refusal is not None and admission.ends_request:
            raise GatewayError(refusal)
        if refusal is None and runtime.health and not decision.ignores_cooldowns:
            refusal = await _half_open_refusal(runtime, call, candidate)
        if refusal is not None:
            _record_skipped(call, (Skip(candidate, refusal.message),))
            failure = GatewayError(refusal)
            retry_plan.record_failure(refusal)
            continue
        if exchange.plan is not None and not _takes_request(call, candidate.target):
            runtime.limiter.release_attempt(call)
            return "planned"
        try:
            can_hedge = exchange.on_attempt is None and exchange.passthrough_state is None
            if route.hedge_after_s is None or not can_hedge:
                await attempt(runtime, call, client, deadlines, candidate)
            else:
                await call_with_hedge(
                    runtime, call, client, deadlines, candidate, retry_plan, attempt
                )
        except GatewayError as error:
            failure = error
            runtime.limiter.release_attempt(call)
            if not retry_plan.record_failure(error.error):
                raise
            error.__traceback__ = None  # its frames have the bodies of the failed attempt
        else:
            return "answered"
    _record_skipped(call, retry_plan.bypassed_candidates)
    raise failure or GatewayError(no_candidate_error(route, decision))


async def parse_for_selection(call: Call, route: Route) -> None:
    """Parse a large request off the event loop, if the choice of a target depends on it."""
    exchange = call.exchange
    if exchange.verb not in {"generate", "count_tokens"}:
        return
    if depends_on_content(with_fallbacks(exchange.snapshot, route)):
        with contextlib.suppress(GatewayError):  # it may still be passed through
            await exchange.parse()


async def parse_for_target(call: Call, target: Target) -> None:
    """Parse a large request off the event loop, if it is parsed for this target."""
    exchange = call.exchange
    if exchange.is_parsed or exchange.verb not in {"generate", "count_tokens"}:
        return
    if target.model.traits.default_context:
        # The context length depends on the parsed request, even if it is passed through.
        with contextlib.suppress(GatewayError):
            await exchange.parse()
    elif not await offload.run_scan(len(exchange.body), _takes_request, call, target):
        await exchange.parse()


def _takes_request(call: Call, target: Target) -> bool:
    """Whether the client's own body is sent to the target."""
    return uses_passthrough(call, target, upstream_dialect(call, target))


def select_targets(runtime: Runtime, call: Call, route: Route) -> Decision:
    """The targets to try, those of the fallback routes last; skipped targets are logged."""
    exchange = call.exchange
    runtime.breaker.refresh()
    routes, depends_on_caller = [route], route.depends_on_caller
    if route.fallbacks or route.fallbacks_by_kind:
        routes = with_fallbacks(exchange.snapshot, route)
        depends_on_caller = any(route.depends_on_caller for route in routes)
    features = None
    if depends_on_caller:
        features = routing_features(
            exchange, routes, gateway_searches=runtime.web_search is not None and route.web_search
        )
    decision = select_candidates(
        routes,
        features,
        runtime.health,
        runtime.latency.stats,
        time.monotonic(),
        random.random,
        runtime.load.in_flight,
    )
    if decision.skipped:
        _record_skipped(call, decision.skipped)
    if exchange.endpoint in exchange.dialect.passthrough_only:
        same_dialect = tuple(
            c for c in decision.candidates if upstream_dialect(call, c.target) is exchange.dialect
        )
        decision = msgspec.structs.replace(decision, candidates=same_dialect or decision.candidates)
    return (
        prefer_provider(decision, exchange.native_continuation.provider)
        if exchange.native_continuation is not None
        else decision
    )


def prefer_provider(decision: Decision, provider: str) -> Decision:
    """The decision with the targets of this provider before all others."""
    preferred_candidates = [
        c for c in decision.candidates if c.target.model.provider.name == provider
    ]
    if not preferred_candidates or preferred_candidates[0] is decision.candidates[0]:
        return decision
    first = decision.candidates[0]
    # They take the position of the first one, whatever activates their own step.
    preferred_candidates = [
        msgspec.structs.replace(
            c,
            stage=first.stage,
            step=first.step,
            first_stage=first.first_stage,
            entry_kinds=first.entry_kinds,
        )
        for c in preferred_candidates
    ]
    other_candidates = [c for c in decision.candidates if c.target.model.provider.name != provider]
    return msgspec.structs.replace(decision, candidates=(*preferred_candidates, *other_candidates))


async def _wait_before_round(
    call: Call, retry_plan: RetryPlan, route: Route, deadlines: Deadlines
) -> None:
    """Wait before a further round; the deadlines of the last attempt no longer apply."""
    if deadlines.reason is None:
        deadlines.clear()
    started_s = time.perf_counter()
    try:
        await asyncio.sleep(retry_plan.pause_s(route.backoff_s, random.random))
    finally:
        call.upstream_wait_s += time.perf_counter() - started_s


async def _half_open_refusal(runtime: Runtime, call: Call, candidate: Candidate) -> Error | None:
    """Why a half-open target must not be called; None if it may be."""
    if await runtime.breaker.allow_request(candidate.target.model.label):
        return None
    runtime.limiter.release_attempt(call)
    message = f"{candidate.target.model.label} is in cooldown: another request is testing it"
    return Error(kind="overloaded", message=message, retry_after_s=1)


def no_candidate_error(route: Route, decision: Decision) -> Error:
    """The error for a request without a matching target on the route."""
    if not decision.skipped:
        message = f"the route {route.name} has no targets"
        return Error(kind="not_found", message=message, param="model")
    reasons = "; ".join(dict.fromkeys(skip.reason for skip in decision.skipped))
    message = f"no target of the route {route.name} supports this request: {reasons}"
    return Error(kind="invalid_request", message=message)


def _record_skipped(call: Call, skips: Iterable[Skip]) -> None:
    exchange = call.exchange
    for skip in skips:
        record = _new_attempt(call, skip.candidate.target, skipped=skip.reason)
        call.attempts.append(record)
        if exchange.on_attempt is not None:
            exchange.on_attempt(record)


def _new_attempt(call: Call, target: Target, *, skipped: str | None = None) -> Attempt:
    provider = target.model.provider
    return Attempt(
        target=target.model.label,
        provider=provider.name,
        model=target.model.name,
        dialect=provider.dialect,
        started_ms=call.exchange.elapsed_ms(),
        skipped=skipped,
    )


async def attempt(
    runtime: Runtime, call: Call, client: Client, deadlines: Deadlines, candidate: Candidate
) -> None:
    """One call of one target. Raises GatewayError while nothing has been sent to the client."""
    exchange = call.exchange
    target = candidate.target
    record = _new_attempt(call, target)
    call.attempts.append(record)
    if call.attempt.target is not None:
        call.recorder.new_attempt()
        call.attempt = AttemptState(None, exchange.new_tap())
    state = call.attempt
    state.target = target
    error: Error | None = None
    is_inconclusive = False
    if call.recorder.enabled:
        call.recorder.add_redactor(
            runtime.provider_secrets.redactor(exchange.snapshot, target.model.provider)
        )
    is_watched = record.target in runtime.load.counted_targets
    if is_watched:
        runtime.load.begin_call(record.target)
    try:
        if len(exchange.body) >= offload.LARGE_BYTES:
            await parse_for_target(call, target)
        if target.model.traits.reasoning and (
            exchange.earlier_responses
            or exchange.offload_size
            or offload.contains(exchange.body, CALL_HINTS)
        ):
            state.recalled_reasoning = await runtime.reasoning.load_missing(call, target)
        try:
            await _call_target(runtime, call, client, deadlines, candidate)
        except GatewayError as failure:
            if client.started or not retry_without_state(call, target, failure.error):
                raise
            call.end_upstream_wait()
            call.recorder.new_attempt()
            state.tap = exchange.new_tap()
            await _call_target(runtime, call, client, deadlines, candidate)
        error = call.error
    except GatewayError as failure:
        # The error may quote the upstream's message, which may contain a key.
        error = failure.error = runtime.provider_secrets.redact(exchange.snapshot, failure.error)
        if state.client_credential:
            error = failure.error = error_for_client(error, state.client_credential)
        raise
    except asyncio.CancelledError:
        reason = deadlines.take_reason()
        if reason is None or reason in {"client_gone", "drain"} or client.started:
            is_inconclusive = True
            if state.upstream_sent_at:
                state.tap.started = True  # the provider reads the prompt, and bills it
            raise
        deadlines.clear()
        error = stop_error(reason)
        raise GatewayError(error) from None
    finally:
        record.ended_ms = exchange.elapsed_ms()
        if state.upstream_sent_at:
            call.end_upstream_wait()  # failed attempts count as waiting too
        if error is not None:
            record.error_kind, record.error = error.kind, error.message[:500]
            record.upstream_id = error.upstream_id
        if is_watched:
            runtime.load.end_call(record.target)
        if error is not None or runtime.health:
            if state.client_credential and is_fault_of_client(error):
                _update_breaker(runtime, target, candidate.route, None, is_inconclusive=True)
            else:
                _update_breaker(
                    runtime, target, candidate.route, error, is_inconclusive=is_inconclusive
                )
        if error is None and record.first_byte_ms is not None:
            usage = state.tap.usage if is_watched else None
            tokens = (usage.input or 0) + (usage.output or 0) if usage is not None else 0
            runtime.latency.record(record.target, record.first_byte_ms - record.started_ms, tokens)
        elif error is not None and error.retryable:  # not a failure that the client caused
            runtime.latency.record_failure(record.target, record.ended_ms - record.started_ms)
        if exchange.on_attempt is not None:
            exchange.on_attempt(record)


def _update_breaker(
    runtime: Runtime, target: Target, route: Route, error: Error | None, *, is_inconclusive: bool
) -> None:
    """Update the target's circuit breaker.

    A call is inconclusive if its end says nothing about the target, as when the client disconnects.
    """
    label = target.model.label
    if error is None:
        if is_inconclusive:
            runtime.breaker.release_trial(label)
        else:
            runtime.breaker.record_outcome(label, None, None, 0)
        return
    kind = error.kind
    threshold = (
        _cooldown_threshold(route, kind)
        if route.cooldown_after_by_kind or route.cooldown_after != DEFAULT_COOLDOWN_AFTER
        else None
    )
    runtime.breaker.record_outcome(label, kind, error.retry_after_s, route.cooldown_s, threshold)


def _cooldown_threshold(route: Route, kind: str) -> int | None:
    """Failures of a kind in a row before a cooldown; None for the default."""
    by_kind = route.cooldown_after_by_kind.get(CLASS_BY_KIND.get(kind, ""))
    # Rate limits and rejected credentials are not random: the cooldown begins immediately.
    return by_kind if by_kind is not None or kind in _IMMEDIATE_COOLDOWN else route.cooldown_after


def _with_first_token_limit(timeouts: Timeouts, first_token_s: float) -> Timeouts:
    """The timeouts with a limit for the first token, if it is shorter."""
    if first_token_s >= timeouts.first_byte_s:
        return timeouts
    return msgspec.structs.replace(
        timeouts, first_byte_s=first_token_s, connect_s=min(first_token_s, timeouts.connect_s)
    )


async def _call_target(
    runtime: Runtime, call: Call, client: Client, deadlines: Deadlines, candidate: Candidate
) -> None:
    exchange, target, provider = call.exchange, candidate.target, candidate.target.model.provider
    timeouts, size = target.timeouts or provider.timeouts, exchange.offload_size
    if candidate.step is not None and candidate.step.first_token_s is not None:
        timeouts = _with_first_token_limit(timeouts, candidate.step.first_token_s)
    if exchange.timeout_s is not None:
        timeouts = _with_first_token_limit(timeouts, exchange.timeout_s)
    if exchange.client_socket is not None:
        await serve_session(runtime, call, client, deadlines, target, timeouts)
        return
    if exchange.verb == "embed" and (
        batches := await offload.run(size, embeddings.split_inputs, call, target)
    ):
        deadlines.set_timeout(timeouts.first_byte_s, "first_byte", total_s=timeouts.total_s)
        call.attempt.upstream_sent_at = time.perf_counter()
        await embeddings.embed_in_batches(
            runtime, call, client, candidate.route, target, batches, timeouts
        )
        return
    if runtime.media is not None:
        await runtime.media.gather(call, candidate.route, target)
    if runtime.web_search is not None and (
        search_tool := find_gateway_search(call, candidate.route, target)
    ):
        await respond_with_searches(
            runtime, call, client, deadlines, candidate.route, target, timeouts, search_tool
        )
        return
    if not exchange.fields.keys().isdisjoint(CHOICE_FIELDS) and (
        requests := await offload.run(size, split_choices, call, target)
    ):
        await respond_with_choices(
            runtime, call, client, deadlines, candidate.route, target, timeouts, requests
        )
        return
    request = (
        _prepare_request(runtime, call, candidate.route, target)
        if size < offload.LARGE_BYTES
        else await offload.run(size, _prepare_request, runtime, call, candidate.route, target)
    )
    content: Content = request.content
    method, recorder, state = "POST", call.recorder, exchange.passthrough_state
    headers = runtime.request_templates.headers(provider, request.headers)
    if state is not None or request.content.find(ID_MARKER_END) >= 0:
        inputs = (runtime, exchange, target, request, deadlines)
        content = await offload.run_scan(size or len(request.content), request_body, *inputs)
    if state is not None:
        headers = passthrough_request.request_headers(exchange, headers)
        method = passthrough_request.http_method(exchange)
    if provider.client_credential:
        headers = with_client_credential(call, provider, headers)
    call.attempts[-1].dialect = request.dialect.name
    if recorder.enabled:
        logged_body = request.content if state is None else state.logged_body
        if call.fetched_media:
            logged_body = without_file_bytes(logged_body, call.fetched_media)
        recorder.upstream_request = logged_body
        recorder.upstream_headers = dict(request.headers)
        recorder.passthrough = call.attempt.passthrough
    deadlines.set_timeout(timeouts.first_byte_s, "first_byte", total_s=timeouts.total_s)
    call.attempt.upstream_sent_at = time.perf_counter()
    url = runtime.request_templates.url(provider, request.path)
    if size >= offload.SCANNED_BYTES and recorder.enabled:
        await offload.run(size, recorder.mask_requests)
    extra = exchange.trace_headers(call.attempts[-1]) if runtime.config.trace_headers else ()
    http_request = (method, url, headers, content, timeouts.connect_s, extra)
    if provider.auth in DERIVED_HEADER_SCHEMES:
        response = await send_with_token(runtime.upstreams, runtime.tokens, provider, *http_request)
        if recorder.enabled:
            recorder.add_redactor(Redactor(runtime.tokens.secrets()))
    else:
        response = await runtime.upstreams.send(*http_request, network=provider.network)
    is_reusable = False
    try:
        await _handle_response(runtime, call, client, deadlines, target, request, response)
        is_reusable = call.error is None
    finally:
        await response.close(sound=is_reusable)


def _prepare_request(runtime: Runtime, call: Call, route: Route, target: Target) -> PreparedRequest:
    """The upstream request; records on the call how it is sent."""
    exchange = call.exchange
    prepared_request = _PREPARE_BY_VERB.get(exchange.verb, prepare)(call, route, target)
    call.attempt.passthrough = prepared_request.rendered_request is None
    call.attempt.stores_reasoning = (
        target.model.traits.reasoning
        and (
            "tools" in exchange.fields
            or "toolConfig" in exchange.fields
            or exchange.earlier_responses is not None
        )
        and runtime.reasoning.should_store(call, target, prepared_request.dialect)
    )
    call.attempt.adaptations = list(exchange.gateway_adaptations)
    if prepared_request.report:
        call.attempt.adaptations += adaptation_rows(prepared_request.report)
    return prepared_request


async def _handle_response(
    runtime: Runtime,
    call: Call,
    client: Client,
    deadlines: Deadlines,
    target: Target,
    prepared_request: PreparedRequest,
    response: UpstreamResponse,
) -> None:
    exchange = call.exchange
    record = call.attempts[-1]
    record.status = response.status
    record.upstream_id = response.headers.get("request-id") or response.headers.get("x-request-id")
    if response.status in SUCCESS_STATUSES and runtime.health:
        runtime.breaker.release_trial(target.model.label)
    if response.status not in SUCCESS_STATUSES:
        await _raise_refusal(runtime, call, prepared_request, response)
    stream_format = STREAM_FORMATS[prepared_request.dialect.framing]
    is_stream = stream_format.content_type_marker in response.content_type
    if exchange.stream and exchange.verb == "generate" and exchange.passthrough_state is None:
        is_stream = stream_format.matches(response.content_type, await response.peek())
    streamed = exchange.stream and is_stream
    if not streamed:
        # The wait for a stream ends with its first frame.
        record.first_byte_ms = exchange.elapsed_ms()
    if exchange.verb == "embed":
        await embeddings.reply(runtime, call, client, target, response)
        return
    if exchange.passthrough_state is not None:
        await passthrough_response.reply(runtime, call, client, deadlines, target, response)
        return
    if streamed:
        await stream_response(runtime, call, client, deadlines, target, prepared_request, response)
        return
    await reply(runtime, call, client, target, prepared_request, response, is_stream=is_stream)


async def _raise_refusal(
    runtime: Runtime,
    call: Call,
    prepared_request: PreparedRequest,
    response: UpstreamResponse,
) -> None:
    """Raise the error for an upstream's error response, without secrets in it."""
    body = await response.read_error()
    call.recorder.record_upstream(body)
    if not 400 <= response.status < 600:
        message = f"the upstream answered with the unexpected status {response.status}"
        raise GatewayError(Error(kind="upstream_error", message=message, status=response.status))
    error = prepared_request.dialect.provider.parse_error(response.status, response.headers, body)
    error = runtime.provider_secrets.redact(call.exchange.snapshot, error)
    headers = passed_headers_of(runtime, response, call, prepared_request)
    wait_ms = response.headers.get("retry-after-ms", "")
    if wait_ms.isascii() and wait_ms.isdigit() and len(wait_ms) < 10:
        headers.append((b"retry-after-ms", wait_ms.encode()))
    clean = _has_native_form(prepared_request, response, error, body) and _has_no_secret(
        runtime, call, body
    )
    raise UpstreamRefused(error, response.status, body, headers, clean=clean)


def _has_native_form(
    prepared_request: PreparedRequest,
    response: UpstreamResponse,
    error: Error,
    body: bytes,
) -> bool:
    """Whether an error is in the dialect's format: AWS, in front of a container, has its own."""
    if error.status not in {None, response.status}:
        return False
    is_aws = (
        "x-amzn-errortype" in response.headers and prepared_request.dialect.framing != "eventstream"
    )
    return not is_aws or b'"error"' in body


def _has_no_secret(runtime: Runtime, call: Call, body: bytes) -> bool:
    """Whether an upstream's error body contains no secret, escaped or not."""
    if len(body) > MAX_CHARS:
        return False
    secrets = runtime.provider_secrets.forms(call.exchange.snapshot)
    texts = [body.decode("utf-8", "replace")]
    with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        texts.append(msgspec.json.encode(msgspec.json.decode(body)).decode())
    return all(scrub(text, secrets) == text for text in texts)
