"""Hedged requests: calls a second target if the first is slow to respond.

Each attempt runs on a fork of the call. The first with data for the client wins; the other
is cancelled. The estimated usage of the loser is recorded on its attempt, and counts like the
request's own: for its provider's tokens, and for the limits and budgets of key, team and
route. Nothing of the loser reaches the client, and the log record is the winner's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from gateway.canon.errors import Error, GatewayError
from gateway.framing.headers import Header
from gateway.relay.exchange.call import NO_HEDGE_LOSS, Call, Client, Deadlines, StopReason
from gateway.relay.exchange.log_record import HEDGE_LOSER
from gateway.relay.exchange.usage_estimate import BY_TEXT, REPORTED, usage_of
from gateway.relay.run.route_guardrails import guard_for_route
from gateway.relay.run.settle import CLIENT_GONE, charge_of_call, price_usage
from gateway.routing.candidates import Candidate, RetryPlan
from gateway.routing.limits import Estimate, units

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

RunAttempt = Callable[["Runtime", Call, Client, Deadlines, Candidate], Awaitable[None]]
_LOSER_MESSAGE = "another target responded first"
_REFUSED_MESSAGE = "another target refused the request"


async def call_with_hedge(
    runtime: Runtime,
    call: Call,
    client: Client,
    deadlines: Deadlines,
    candidate: Candidate,
    retry_plan: RetryPlan,
    attempt: RunAttempt,
) -> None:
    """Call a target, and a second one if the first is slow. Raises GatewayError.

    The failure that is raised is the candidate's own; that of the second is recorded in the
    retry plan.
    """
    hedge_race = _Race(runtime, call, client, attempt)
    if deadlines.reason is None:
        deadlines.clear()  # each racer has its own deadlines
    try:
        await hedge_race.run(candidate, retry_plan)
    except asyncio.CancelledError:
        await hedge_race.end(deadlines.reason)
        raise
    finally:
        hedge_race.close()


class _GatedClient(Client):
    """The client of one racer: the first to send a head wins. Both may send pings before."""

    __slots__ = ("_claim_win", "_client")

    def __init__(self, client: Client, claim_win: Callable[[], None]) -> None:
        super().__init__(client._send)
        self._claim_win, self._client = claim_win, client

    async def head(self, status: int, headers: list[Header]) -> None:
        self._claim_win()
        self.join(self._client)
        self.pinged = self._client.pinged
        await super().head(status, headers)

    async def ping(self, headers: list[Header], data: bytes) -> None:
        await self._client.ping(headers, data)

    def unlink(self) -> None:
        """Remove the reference to its racer, which has won or lost by now."""
        self._claim_win = _do_nothing


def _do_nothing() -> None: ...


class _Racer:
    """One of the two attempts, with its own copy of the call and its own deadlines."""

    def __init__(self, hedge_race: _Race, candidate: Candidate, call: Call) -> None:
        self.candidate = candidate
        self.call = call.fork(self._claim_win)
        self.client = _GatedClient(hedge_race.client, self._claim_win)
        self.deadlines: Deadlines | None = None
        self._race = hedge_race
        self._failure: GatewayError | None = None
        self.task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        hedge_race = self._race
        self.deadlines = Deadlines(hedge_race.runtime.deadline_ticker)
        try:
            await hedge_race.attempt(
                hedge_race.runtime, self.call, self.client, self.deadlines, self.candidate
            )
        except GatewayError as error:
            # A task keeps the frames of what it raises, and these refer to the racer.
            error.__traceback__ = None
            self._failure = error
        finally:
            self.deadlines.close()

    def _claim_win(self) -> None:
        self._race.claim_win(self)

    def stop(self, reason: StopReason | None) -> None:
        """Stop it: through its deadlines if there is a reason, else by cancelling its task."""
        if reason is not None and self.deadlines is not None:
            self.deadlines.stop(reason)
        else:
            self.task.cancel()

    def failure(self) -> GatewayError | None:
        """Its failure after it has ended. Raises errors that are not failures of an upstream."""
        if self.task.cancelled():
            return None
        if (error := self.task.exception()) is not None:
            raise error
        return self._failure

    def unlink(self) -> None:
        """Remove references to itself: the bodies would stay in memory until a collection."""
        self.call.claim_win = None
        self.client.unlink()


class _Race:
    def __init__(self, runtime: Runtime, call: Call, client: Client, attempt: RunAttempt) -> None:
        self.runtime, self.call, self.client, self.attempt = runtime, call, client, attempt
        self.racers: list[_Racer] = []
        self.winner: _Racer | None = None
        self._refused: _Racer | None = None  # the one whose failure ends the request
        self._earlier_attempts = list(call.attempts)

    async def run(self, candidate: Candidate, retry_plan: RetryPlan) -> None:
        first = self._start_racer(candidate, self.call)
        # What was reserved at the provider for this attempt belongs to the racer.
        if self.call.reservations and self.call.reservations[-1].attempt:
            first.call.reservations.append(self.call.reservations.pop())
        pending = {first.task}
        route = self.call.exchange.route or candidate.route
        timeout = route.hedge_after_s
        while pending:
            finished_tasks, pending = await asyncio.wait(
                pending, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
            )
            if self.winner is not None:
                await self.winner.task
                if (failure := self.winner.failure()) is not None:
                    raise failure
                return
            if not finished_tasks:
                timeout = None
                second = await self._start_second(retry_plan)
                pending = pending | {second.task} if second is not None else pending
                continue
            for racer in [racer for racer in self.racers if racer.task in finished_tasks]:
                self._handle_failure(racer, retry_plan, is_first=racer is first)
        error = Error(kind="upstream_error", message="no target has responded")
        raise first.failure() or GatewayError(error)

    def _start_racer(self, candidate: Candidate, call: Call) -> _Racer:
        racer = _Racer(self, candidate, call)
        self.racers.append(racer)
        return racer

    async def _start_second(self, retry_plan: RetryPlan) -> _Racer | None:
        """Start a racer for a second target, if one may be called."""
        runtime = self.runtime
        while self.winner is None and (candidate := retry_plan.hedge_candidate()) is not None:
            label = candidate.target.model.label
            second_call = self.call.fork()
            if not await self._pass_guardrails(second_call, candidate, retry_plan):
                continue
            try:
                admission = await runtime.limiter.admit(
                    second_call, candidate.route, candidate.target
                )
                if admission.refusal is not None and admission.ends_request:
                    raise GatewayError(admission.refusal)
                if admission.refusal is not None or not await runtime.breaker.allow_request(label):
                    continue
                if self.winner is not None:  # the first has responded in the meantime
                    runtime.breaker.release_trial(label)
                    return None
                racer = self._start_racer(candidate, second_call)
                racer.call.reservations, second_call.reservations = second_call.reservations, []
                return racer
            finally:
                runtime.limiter.release_attempt(second_call)
        return None

    async def _pass_guardrails(
        self, call: Call, candidate: Candidate, retry_plan: RetryPlan
    ) -> bool:
        """Whether the guardrails of the candidate's route let the call pass."""
        exchange = call.exchange
        if candidate.route is not exchange.route and exchange.snapshot.uses_guardrails:
            try:
                await guard_for_route(self.runtime, call, candidate.route)
            except GatewayError as failure:
                retry_plan.record_failure(failure.error, candidate)
                return False
        return True

    def _handle_failure(self, racer: _Racer, retry_plan: RetryPlan, *, is_first: bool) -> None:
        """Handle a racer that has ended. Raises if that ends the request."""
        failure = racer.failure()
        self.runtime.limiter.release_attempt(racer.call)
        if failure is None:
            return
        ends_request = (
            not failure.error.retryable
            if is_first
            else not retry_plan.record_failure(failure.error, racer.candidate)
        )
        if ends_request:
            self._refused = racer
            raise failure

    def claim_win(self, racer: _Racer) -> None:
        """Let this racer respond to the client; its state becomes the call's."""
        if self.winner is not None:
            return
        self.winner = racer
        losers = [loser for loser in self.racers if loser is not racer]
        tokens = spent_units = 0
        for loser in losers:
            if not loser.task.done():
                used = _mark_loser(loser.call, _LOSER_MESSAGE)
                self.runtime.limiter.release_attempt(loser.call, used)
                loser.task.cancel()
                tokens, spent_units = tokens + used.tokens, spent_units + used.units
        racer.call.hedge_loss = Estimate(tokens, spent_units)
        records = [record for loser in losers for record in loser.call.attempts]
        racer.call.attempts[:0] = [*self._earlier_attempts, *records]
        racer.call.reservations[:0] = self.call.reservations
        self.call.reservations = []

    async def end(self, reason: StopReason | None) -> None:
        """Stop all racers after a cancellation from outside, and wait for them."""
        for racer in self.racers:
            if not racer.task.done():
                racer.stop(reason)
        await asyncio.gather(*(racer.task for racer in self.racers), return_exceptions=True)

    def close(self) -> None:
        """Continue the call and the client with the state of the final racer."""
        final_racer = self.winner or self._refused or self.racers[-1]
        for racer in self.racers:
            if racer is final_racer:
                continue
            used = NO_HEDGE_LOSS
            if self.winner is None and (racer.task.cancelled() or not racer.task.done()):
                # The client disconnected, or the other target refused the request: its provider
                # has read the prompt, too.
                message = _REFUSED_MESSAGE if self._refused else CLIENT_GONE.message
                used = final_racer.call.hedge_loss = _mark_loser(racer.call, message)
            # Also for a racer that has ended: a cancellation from outside ends both.
            self.runtime.limiter.release_attempt(racer.call, used)
            racer.task.cancel()
        if not final_racer.task.done() and final_racer is not self.winner:
            final_racer.task.cancel()
        if self.winner is None:
            records = [record for racer in self.racers for record in racer.call.attempts]
            final_racer.call.attempts = [*self._earlier_attempts, *records]
            final_racer.call.reservations = [
                *self.call.reservations,
                *final_racer.call.reservations,
            ]
        self.call.join(final_racer.call)
        self.client.join(final_racer.client)
        for racer in self.racers:
            racer.unlink()
        self.racers.clear()
        self.winner = self._refused = None


def _mark_loser(call: Call, message: str) -> Estimate:
    """Mark the last attempt of a hedge loser; return its estimated usage."""
    if not call.attempts:
        return NO_HEDGE_LOSS
    record = call.attempts[-1]
    record.error_kind, record.error = HEDGE_LOSER, message
    record.ended_ms = call.exchange.elapsed_ms()
    attempt = call.attempt
    is_sent = attempt.upstream_sent_at or attempt.tap.started or record.first_byte_ms is not None
    if attempt.target is None or not is_sent:
        return NO_HEDGE_LOSS  # nothing has been sent
    usage, source = usage_of(call)
    record.input_tokens, record.output_tokens = usage.input, usage.output
    record.cache_read_tokens, record.cache_write_tokens = usage.cache_read, usage.cache_write
    # The usage reported so far is not final.
    record.usage_source = BY_TEXT if source == REPORTED else source
    record.cost_usd, record.price_source, _ = price_usage(call, usage)
    record.charged_usd = charge_of_call(call, record.cost_usd)
    tokens = max(usage.prompt_tokens or 0, 0) + max(usage.output or 0, 0)
    return Estimate(tokens, units(record.charged_usd))
