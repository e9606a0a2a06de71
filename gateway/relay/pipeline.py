"""The way of one call: targets in order, until one answers its first frame.

Rounds: every usable target once, then (after a short, jittered wait) again those
whose failure may pass, as often as the route allows. A failure that the client
caused ends it at once; one after the first frame is never retried.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

import msgspec

from gateway.canon.adaptation import as_report
from gateway.canon.errors import Error, GatewayError
from gateway.dialects import DIALECTS
from gateway.providers.redact import scrub
from gateway.relay.call import Call, Client
from gateway.relay.entry import Attempt
from gateway.relay.prepare import Prepared, prepare
from gateway.relay.reply import reply, stopped
from gateway.relay.tap import Tap
from gateway.relay.upstream import Answer
from gateway.relay.watch import Watch
from gateway.routing.health import candidates, note
from gateway.routing.snapshot import Route, Target, Timeouts
from gateway.routing.strategies import STRATEGIES

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

BACKOFF_S = 0.25
# A longer Retry-After is the client's to wait for, not ours.
WORTH_WAITING_S = 2
# Kinds that may pass within a second; others are tried elsewhere but not again.
_TRANSIENT = frozenset({"upstream_error", "overloaded", "rate_limit", "malformed_output"})


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
    steps = plan(runtime, call, route)
    failure: GatewayError | None = None
    for round_ in range(route.retries + 1):
        if round_:
            await asyncio.sleep(BACKOFF_S * round_ * (0.5 + random.random()))  # noqa: S311
        again: list[tuple[Route, Target]] = []
        for owner, target in steps:
            try:
                await attempt(runtime, call, client, watch, owner, target)
            except GatewayError as error:
                failure = error
                if not error.error.retryable:
                    raise
                if _worth_repeating(error.error):
                    again.append((owner, target))
            else:
                return
        steps = again
        if not steps:
            break
    raise failure or GatewayError(
        Error(kind="not_found", message=f"the route {route.name} has no targets")
    )


def plan(runtime: Runtime, call: Call, route: Route) -> list[tuple[Route, Target]]:
    """The targets to try, those of the fallback routes last; cooling ones are skipped."""
    now = time.monotonic()
    ordered: list[tuple[Route, Target]] = []
    for owner in (route, *_fallbacks(call, route)):
        strategy = STRATEGIES[owner.strategy]
        ordered += [(owner, t) for t in strategy(owner.targets, now, random.random)]
    owners = {id(target): owner for owner, target in ordered}
    usable, skipped = candidates([t for _, t in ordered], runtime.health, now)
    for target, why in skipped:
        call.attempts.append(_attempt(call, target, skipped=why))
    return [(owners[id(target)], target) for target in usable]


def _fallbacks(call: Call, route: Route) -> list[Route]:
    found = (call.snapshot.route(name) for name in route.fallbacks)
    return [other for other in found if other is not None and other.name != route.name]


def _worth_repeating(error: Error) -> bool:
    if error.kind not in _TRANSIENT or error.should_retry is False:
        return False
    return error.retry_after_s is None or error.retry_after_s <= WORTH_WAITING_S


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
    runtime: Runtime, call: Call, client: Client, watch: Watch, route: Route, target: Target
) -> None:
    """One call of one target. Raises GatewayError while nothing has been sent on."""
    record = _attempt(call, target)
    call.attempts.append(record)
    call.target = target
    call.recorder.new_attempt()
    call.tap = Tap()
    call.sent_at = 0.0
    error: Error | None = None
    try:
        await _call_target(runtime, call, client, watch, route, target)
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
        _note_health(runtime, target, route, error)
        runtime.metrics.attempt(record)


def _note_health(runtime: Runtime, target: Target, route: Route, error: Error | None) -> None:
    label = target.model.label
    kind = error.kind if error is not None else None
    retry_after = error.retry_after_s if error is not None else None
    state = runtime.health.get(label)
    if kind is None and state is None:
        return
    runtime.health[label] = note(state, kind, retry_after, time.monotonic(), route.cooldown_s)


async def _call_target(
    runtime: Runtime, call: Call, client: Client, watch: Watch, route: Route, target: Target
) -> None:
    provider = target.model.provider
    prepared = prepare(call, route, target)
    call.passthrough = prepared.rendered is None
    call.adaptations = as_report(prepared.report)
    limits: Timeouts = target.timeouts or provider.timeouts
    url = runtime.lines.url(provider, prepared.path)
    headers = runtime.lines.headers(provider, prepared.headers)
    _record(call, prepared, dict(prepared.headers))
    watch.limit(limits.total_s)
    watch.expect(limits.first_byte_s, "first_byte")
    call.sent_at = time.perf_counter()
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
        await _refused(runtime, call, target, answer)
    if not (call.stream and "event-stream" in answer.kind):
        # A stream's wait is counted to its first frame.
        record.first_byte_ms = call.ms()
    await reply(runtime, call, client, watch, target, prepared, answer)


async def _refused(runtime: Runtime, call: Call, target: Target, answer: Answer) -> None:
    """Raise what an upstream's refusal means, without a secret in it."""
    body = await answer.read_all(1024 * 1024)
    call.recorder.upstream(body)
    if 300 <= answer.status < 400 or answer.status < 200 or answer.status in {201, 202, 204}:
        message = f"the upstream answered with status {answer.status}, which is no answer"
        raise GatewayError(Error(kind="upstream_error", message=message, status=answer.status))
    provider_half = DIALECTS[target.model.provider.dialect].provider
    error = provider_half.parse_error(answer.status, answer.headers, body)
    secrets = runtime.secrets(call.snapshot)
    message = scrub(error.message, secrets)
    if message != error.message:
        error = msgspec.structs.replace(error, message=message)
    raise UpstreamRefused(error, answer.status, body)
