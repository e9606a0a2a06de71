"""The way of one call: targets in order, until one answers its first frame.

Who is next after a failure is `routing.plan.Course`'s to say, with a short, jittered wait
before each further round. A failure that the client caused ends it at once, unless a step
of the route is made for it; one after the first frame is never retried.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from gateway.canon.adaptation import as_report
from gateway.canon.errors import Error, GatewayError
from gateway.providers.auth import MAKERS
from gateway.providers.redact import scrub
from gateway.relay import embed
from gateway.relay.call import Call, Client
from gateway.relay.entry import Attempt
from gateway.relay.facts import decision
from gateway.relay.prepare import Prepared, prepare
from gateway.relay.reply import is_stream, reply, stopped
from gateway.relay.upstream import Answer
from gateway.relay.watch import Watch
from gateway.routing import readings
from gateway.routing.health import note
from gateway.routing.plan import Candidate, Course, Decision, Skip
from gateway.routing.snapshot import Route, Target, Timeouts

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

BACKOFF_S = 0.25


class UpstreamRefused(GatewayError):
    """An upstream's refusal, with its own words for a client of the same dialect."""

    def __init__(self, error: Error, status: int, body: bytes) -> None:
        super().__init__(error)
        self.status = status
        self.body = body


async def run(runtime: Runtime, call: Call, client: Client, watch: Watch) -> None:
    """Answer the call. Raises GatewayError while nothing has been sent to the client."""
    route = call.route
    assert route is not None
    found = plan(runtime, call, route)
    course = Course(found, route.retries)
    failure: GatewayError | None = None
    while (candidate := course.next()) is not None:
        _tell_skipped(call, course.passed)
        course.passed.clear()
        if course.waits:
            await asyncio.sleep(BACKOFF_S * course.round * (0.5 + random.random()))  # noqa: S311
        full = await runtime.admit(call, route, candidate.target)
        if full is not None:
            _tell_skipped(call, (Skip(candidate, full.message),))
            failure = GatewayError(full)
            course.failed(full)
            continue
        try:
            await attempt(runtime, call, client, watch, candidate)
        except GatewayError as error:
            failure = error
            runtime.limiter.leave(call)
            if not course.failed(error.error):
                raise
        else:
            return
    _tell_skipped(call, course.passed)
    raise failure or GatewayError(nobody(route, found))


def plan(runtime: Runtime, call: Call, route: Route) -> Decision:
    """The targets to try, those of the fallback routes last; who is left out is logged."""
    found = decision(call, route, runtime.health, runtime.readings, time.monotonic(), random.random)
    _tell_skipped(call, found.skipped)
    return found


def nobody(route: Route, found: Decision) -> Error:
    """The error for a request that no target of the route is for."""
    if not found.skipped:
        return Error(kind="not_found", message=f"the route {route.name} has no targets")
    whys = "; ".join(dict.fromkeys(skip.why for skip in found.skipped))
    message = f"no target of the route {route.name} takes this request: {whys}"
    return Error(kind="invalid_request", message=message)


def _tell_skipped(call: Call, skips: Iterable[Skip]) -> None:
    for skip in skips:
        record = _attempt(call, skip.candidate.target, skipped=skip.why)
        call.attempts.append(record)
        call.tell(record)


def _attempt(call: Call, target: Target, *, skipped: str | None = None) -> Attempt:
    provider = target.model.provider
    return Attempt(
        target=target.model.label,
        provider=provider.name,
        model=target.model.name,
        dialect=provider.dialect,
        started_ms=call.ms(),
        skipped=skipped,
    )


async def attempt(
    runtime: Runtime, call: Call, client: Client, watch: Watch, candidate: Candidate
) -> None:
    """One call of one target. Raises GatewayError while nothing has been sent on."""
    target = candidate.target
    record = _attempt(call, target)
    call.attempts.append(record)
    call.target = target
    call.recorder.new_attempt()
    call.tap = call.new_tap()
    call.sent_at = 0.0
    error: Error | None = None
    try:
        await _call_target(runtime, call, client, watch, candidate)
        error = call.error
    except GatewayError as failure:
        error = failure.error
        raise
    except asyncio.CancelledError:
        reason = watch.absorb()
        if reason is None or reason in {"client_gone", "drain"} or client.started:
            raise
        watch.clear()
        error = stopped(reason)
        raise GatewayError(error) from None
    finally:
        record.ended_ms = call.ms()
        call.end_wait()  # an attempt in vain was a wait all the same
        if error is not None:
            record.error_kind, record.error = error.kind, error.message[:500]
            record.upstream_id = error.upstream_id
        _note_health(runtime, target, candidate.owner, error)
        _note_speed(runtime, record, error)
        call.tell(record)


def _note_health(runtime: Runtime, target: Target, route: Route, error: Error | None) -> None:
    label = target.model.label
    kind = error.kind if error is not None else None
    retry_after = error.retry_after_s if error is not None else None
    state = runtime.health.get(label)
    if kind is None and state is None:
        return
    runtime.health[label] = note(state, kind, retry_after, time.monotonic(), route.cooldown_s)


def _note_speed(runtime: Runtime, record: Attempt, error: Error | None) -> None:
    """Keep the average that `fastest` goes by; what a client did wrong says nothing."""
    now, known = time.monotonic(), runtime.readings.get(record.target)
    if error is None and record.first_byte_ms is not None:
        took_ms = record.first_byte_ms - record.started_ms
        runtime.readings[record.target] = readings.measured(known, took_ms, now)
    elif error is not None and error.retryable and record.ended_ms is not None:
        took_ms = record.ended_ms - record.started_ms
        runtime.readings[record.target] = readings.failed(known, took_ms, now)


def _limits(candidate: Candidate) -> Timeouts:
    limits = candidate.target.timeouts or candidate.target.model.provider.timeouts
    budget_s = candidate.step.first_token_s if candidate.step is not None else None
    if budget_s is None or budget_s >= limits.first_byte_s:
        return limits
    return msgspec.structs.replace(
        limits, first_byte_s=budget_s, connect_s=min(budget_s, limits.connect_s)
    )


async def _call_target(
    runtime: Runtime, call: Call, client: Client, watch: Watch, candidate: Candidate
) -> None:
    target = candidate.target
    provider = target.model.provider
    made = embed.prepare if call.verb == "embed" else prepare
    prepared = made(call, candidate.owner, target)
    call.passthrough = prepared.rendered is None
    call.adaptations = as_report(prepared.report)
    call.attempts[-1].dialect = prepared.dialect.name
    limits = _limits(candidate)
    url = runtime.lines.url(provider, prepared.path)
    headers = runtime.lines.headers(provider, prepared.headers)
    _record(call, prepared, dict(prepared.headers))
    watch.limit(limits.total_s)
    watch.expect(limits.first_byte_s, "first_byte")
    call.sent_at = time.perf_counter()
    if provider.auth in MAKERS:
        headers = await runtime.tokens.headers(provider, "POST", url, headers, prepared.content)
    answer = await runtime.upstreams.send("POST", url, headers, prepared.content, limits.connect_s)
    try:
        await _answered(runtime, call, client, watch, target, prepared, answer)
    finally:
        await answer.close()


def _record(call: Call, prepared: Prepared, headers: dict[str, str]) -> None:
    recorder = call.recorder
    if recorder.on:
        recorder.upstream_request = prepared.content
        recorder.upstream_headers = headers
        recorder.passthrough = call.passthrough


async def _answered(
    runtime: Runtime,
    call: Call,
    client: Client,
    watch: Watch,
    target: Target,
    prepared: Prepared,
    answer: Answer,
) -> None:
    record = call.attempts[-1]
    record.status = answer.status
    record.upstream_id = answer.headers.get("request-id") or answer.headers.get("x-request-id")
    if answer.status != 200:
        await _refused(runtime, call, prepared, answer)
    if not (call.stream and is_stream(prepared, answer.kind)):
        # A stream's wait is counted to its first frame.
        record.first_byte_ms = call.ms()
    if call.verb == "embed":
        await embed.reply(runtime, call, client, target, answer)
        return
    await reply(runtime, call, client, watch, target, prepared, answer)


async def _refused(runtime: Runtime, call: Call, prepared: Prepared, answer: Answer) -> None:
    """Raise what an upstream's refusal means, without a secret in it."""
    body = await answer.read_all(1024 * 1024)
    call.recorder.upstream(body)
    if 300 <= answer.status < 400 or answer.status < 200 or answer.status in {201, 202, 204}:
        message = f"the upstream answered with status {answer.status}, which is no answer"
        raise GatewayError(Error(kind="upstream_error", message=message, status=answer.status))
    error = prepared.dialect.provider.parse_error(answer.status, answer.headers, body)
    secrets = runtime.secrets(call.snapshot)
    message = scrub(error.message, secrets)
    if message != error.message:
        error = msgspec.structs.replace(error, message=message)
    raise UpstreamRefused(error, answer.status, body)
