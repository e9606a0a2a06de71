"""The way of one call: targets in order, until one answers its first frame.

Who is next after a failure is `routing.course.Course`'s to say, with a jittered wait before
each further round. A failure that the client caused ends it at once, unless a step
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
from gateway.relay import embed, embed_pieces, forward, forward_reply
from gateway.relay.call import Call, Client
from gateway.relay.entry import Attempt
from gateway.relay.facts import decision
from gateway.relay.hedge import race
from gateway.relay.media_parts import shown
from gateway.relay.prepare import Prepared, prepare, spoken
from gateway.relay.reasoning import again_without
from gateway.relay.reply import is_stream, reply, stopped
from gateway.relay.upstream import Answer
from gateway.relay.watch import Watch
from gateway.routing import readings
from gateway.routing.course import CLASS_OF, Candidate, Course, Decision, Skip
from gateway.routing.health import FAILURES
from gateway.routing.snapshot import Route, Target, Timeouts
from gateway.routing.stepwise import course_of

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

_AT_ONCE = frozenset({"rate_limit", "quota", "upstream_auth"})
# A verb -> what makes its request, where that is not `prepare`.
_MADE = {"embed": embed.prepare, "forward": forward.prepare}


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
    course = course_of(found, route)
    failure: GatewayError | None = None
    while (candidate := course.next()) is not None:
        _tell_skipped(call, course.passed)
        course.passed.clear()
        if course.waits:
            await _pause(course, route, watch)
        full = await runtime.admit(call, route, candidate.target)
        if full is None and runtime.health and not found.forced:
            full = await _tried_by_another(runtime, call, candidate)
        if full is not None:
            _tell_skipped(call, (Skip(candidate, full.message),))
            failure = GatewayError(full)
            course.failed(full)
            continue
        try:
            alone = call.attempted is not None or call.forwarded is not None
            if route.hedge_after_s is None or alone:
                await attempt(runtime, call, client, watch, candidate)
            else:
                await race(runtime, call, client, watch, candidate, course, attempt)
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
    runtime.breaker.look()
    now, busy = time.monotonic(), runtime.load.busy
    found = decision(call, route, runtime.health, runtime.readings, now, random.random, busy)
    _tell_skipped(call, found.skipped)
    if call.endpoint in call.dialect.passed_only:
        passing = tuple(c for c in found.candidates if spoken(call, c.target) is call.dialect)
        found = msgspec.structs.replace(found, candidates=passing or found.candidates)
    return sticky(found, call.native.provider) if call.native is not None else found


def sticky(found: Decision, provider: str) -> Decision:
    """The decision with the targets of this provider before all others."""
    mine = [c for c in found.candidates if c.target.model.provider.name == provider]
    if not mine or mine[0] is found.candidates[0]:
        return found
    first = found.candidates[0]
    # They are entered as the first one would have been, whatever lets their own step in.
    mine = [
        msgspec.structs.replace(
            c, stage=first.stage, step=first.step, first=first.first, entry=first.entry
        )
        for c in mine
    ]
    others = [c for c in found.candidates if c.target.model.provider.name != provider]
    return msgspec.structs.replace(found, candidates=(*mine, *others))


async def _pause(course: Course, route: Route, watch: Watch) -> None:
    """Wait before a further round; the deadlines of the last attempt are over."""
    if watch.reason is None:
        watch.clear()
    await asyncio.sleep(course.pause_s(route.backoff_s, random.random))


async def _tried_by_another(runtime: Runtime, call: Call, candidate: Candidate) -> Error | None:
    """Why a target that has just rested is not for this request; None if it may try it."""
    if await runtime.breaker.enter(candidate.target.model.label):
        return None
    runtime.limiter.leave(call)
    message = f"{candidate.target.model.label} is being tried after a rest by another request"
    return Error(kind="overloaded", message=message, retry_after_s=1)


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
    left = False
    counted = record.target in runtime.load.watched
    if counted:
        runtime.load.enter(record.target)
    try:
        await _with_reasoning(runtime, call, client, watch, candidate)
        error = call.error
    except GatewayError as failure:
        error = failure.error
        raise
    except asyncio.CancelledError:
        reason = watch.absorb()
        if reason is None or reason in {"client_gone", "drain"} or client.started:
            left = True
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
        if counted:
            runtime.load.leave(record.target)
        _note_health(runtime, target, candidate.owner, error, left=left)
        _note_speed(runtime, record, error, _tokens(call) if counted else 0)
        call.tell(record)


def _note_health(
    runtime: Runtime, target: Target, route: Route, error: Error | None, *, left: bool
) -> None:
    """Move the target's breaker; one whose client has left has said nothing of it."""
    if error is None:
        if runtime.health:
            label = target.model.label
            runtime.breaker.alive(label) if left else runtime.breaker.note(label, None, None, 0)
        return
    label, kind = target.model.label, error.kind
    allowed = _allowed(route, kind) if route.allowed or route.failures != FAILURES else None
    runtime.breaker.note(label, kind, error.retry_after_s, route.cooldown_s, allowed)


def _allowed(route: Route, kind: str) -> int | None:
    """After how many failures of a kind in a row a target rests; None is as usual."""
    found = route.allowed.get(CLASS_OF.get(kind, ""))
    # A rate limit and a refused credential are no chance: they rest at once.
    return found if found is not None or kind in _AT_ONCE else route.failures


def _tokens(call: Call) -> int:
    usage = call.tap.usage
    if usage is None:
        return 0
    return max(0, usage.input or 0) + max(0, usage.output or 0)


def _note_speed(runtime: Runtime, record: Attempt, error: Error | None, tokens: int) -> None:
    """Keep the average that `fastest` goes by; what a client did wrong says nothing."""
    now, known = time.monotonic(), runtime.readings.get(record.target)
    if error is None and record.first_byte_ms is not None:
        took_ms = record.first_byte_ms - record.started_ms
        runtime.readings[record.target] = readings.measured(known, took_ms, now, tokens)
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


async def _with_reasoning(
    runtime: Runtime, call: Call, client: Client, watch: Watch, candidate: Candidate
) -> None:
    """Call a target with the reasoning it wants back; once more without, if it refuses that."""
    await runtime.reasoning.recall(call, candidate.target)
    try:
        await _call_target(runtime, call, client, watch, candidate)
    except GatewayError as failure:
        if client.started or not again_without(call, candidate.target, failure.error):
            raise
        call.end_wait()
        call.recorder.new_attempt()
        call.tap = call.new_tap()
        await _call_target(runtime, call, client, watch, candidate)


async def _call_target(
    runtime: Runtime, call: Call, client: Client, watch: Watch, candidate: Candidate
) -> None:
    target = candidate.target
    provider = target.model.provider
    limits = _limits(candidate)
    if pieces := embed_pieces.pieces(call, target):
        watch.limit(limits.total_s)
        watch.expect(limits.first_byte_s, "first_byte")
        call.sent_at = time.perf_counter()
        await embed_pieces.answer(runtime, call, client, candidate.owner, target, pieces, limits)
        return
    if runtime.media is not None:
        await runtime.media.gather(call, candidate.owner, target)
    prepared = _MADE.get(call.verb, prepare)(call, candidate.owner, target)
    content = forward.body_of(runtime, call, target, prepared, watch)
    call.passthrough = prepared.rendered is None
    call.remembers = runtime.reasoning.wants(call, target, prepared.dialect)
    call.adaptations = [*call.noted, *as_report(prepared.report)]
    call.attempts[-1].dialect = prepared.dialect.name
    url = runtime.lines.url(provider, prepared.path)
    headers = runtime.lines.headers(provider, prepared.headers)
    headers, method = forward.headers_of(call, headers), forward.method_of(call)
    _record(call, prepared, dict(prepared.headers))
    watch.limit(limits.total_s)
    watch.expect(limits.first_byte_s, "first_byte")
    call.sent_at = time.perf_counter()
    if provider.auth in MAKERS:
        headers = await runtime.tokens.headers(provider, method, url, headers, content)
    answer = await runtime.upstreams.send(method, url, headers, content, limits.connect_s)
    try:
        await _answered(runtime, call, client, watch, target, prepared, answer)
    finally:
        await answer.close()


def _record(call: Call, prepared: Prepared, headers: dict[str, str]) -> None:
    recorder = call.recorder
    if recorder.on:
        state = call.forwarded
        content = shown(prepared.content, call.media) if call.media else prepared.content
        recorder.upstream_request = content if state is None else state.shown
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
    if answer.status == 200 and runtime.health:
        runtime.breaker.alive(target.model.label)
    if answer.status != 200:
        await _refused(runtime, call, prepared, answer)
    if not (call.stream and is_stream(prepared, answer.kind)):
        # A stream's wait is counted to its first frame.
        record.first_byte_ms = call.ms()
    if call.verb == "embed":
        await embed.reply(runtime, call, client, target, answer)
        return
    if call.forwarded is not None:
        await forward_reply.reply(runtime, call, client, watch, target, answer)
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
