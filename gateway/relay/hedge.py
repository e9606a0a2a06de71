"""Two targets for one request: the second is asked when the first is slow to begin.

Each runs on a copy of the call behind a gate. Who first has something for the client wins:
the other is cancelled. What it will have used, by estimate, stands on its attempt and counts
wherever the request itself does: its provider's tokens, and the key's, team's and route's
limits and budgets. Nothing of the loser reaches the client, and its row is the winner's.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from gateway.canon.errors import Error, GatewayError
from gateway.relay.call import NO_LOSS, Call, Client, Header
from gateway.relay.entry import LOST
from gateway.relay.settle import charge_of, priced
from gateway.relay.unreported import BY_TEXT, REPORTED, usage_of
from gateway.relay.watch import Reason, Watch
from gateway.routing.course import Candidate, Course
from gateway.routing.limits import Want, units

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

Attempting = Callable[["Runtime", Call, Client, Watch, Candidate], Awaitable[None]]
_LOST_WHY = "another target answered first"
# What an attempt makes of a call; it is the winner's in the end.
_OF_ATTEMPT = (
    "target",
    "passthrough",
    "adaptations",
    "tap",
    "recorder",
    "error",
    "outcome",
    "waited_s",
    "sent_at",
    "entry",
    "attempts",
    "holds",
    "lost",
    "stateless",
)


async def race(
    runtime: Runtime,
    call: Call,
    client: Client,
    watch: Watch,
    candidate: Candidate,
    course: Course,
    attempt: Attempting,
) -> None:
    """One call of a target, and of a second one if that is slow. Raises GatewayError.

    The failure that is raised is the candidate's own; that of the second has been told to
    the course.
    """
    contest = _Contest(runtime, call, client, attempt)
    if watch.reason is None:
        watch.clear()  # each lane has its own deadlines
    try:
        await contest.run(candidate, course)
    except asyncio.CancelledError:
        await contest.end(watch.reason)
        raise
    finally:
        contest.close()


class _Gate(Client):
    """The client as one lane sees it: whoever writes first has won."""

    __slots__ = ("_win",)

    def __init__(self, client: Client, win: Callable[[], None]) -> None:
        super().__init__(client._send)
        self._win = win

    async def head(self, status: int, headers: list[Header]) -> None:
        self._win()
        await super().head(status, headers)


class _Lane:
    """One of the two, with its own copy of the call and its own deadlines."""

    def __init__(self, contest: _Contest, candidate: Candidate) -> None:
        self.candidate = candidate
        self.call = copy.copy(contest.call)
        self.call.attempts, self.call.holds, self.call.adaptations = [], [], []
        self.call.recorder = copy.copy(contest.call.recorder)
        self.call.won = self._win
        self.client = _Gate(contest.client, self._win)
        self.watch: Watch | None = None
        self._contest = contest
        self.task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        contest = self._contest
        self.watch = contest.runtime.watches.open()
        try:
            await contest.attempt(
                contest.runtime, self.call, self.client, self.watch, self.candidate
            )
        finally:
            self.watch.close()

    def _win(self) -> None:
        self._contest.win(self)

    def stop(self, reason: Reason | None) -> None:
        """End it: for the reason the request itself is ended for, if there is one."""
        if reason is not None and self.watch is not None:
            self.watch.stop(reason)
        else:
            self.task.cancel()

    def failure(self) -> GatewayError | None:
        """Why it failed, once it is over. Raises what is no failure of an upstream."""
        if self.task.cancelled():
            return None
        error = self.task.exception()
        if error is None or isinstance(error, GatewayError):
            return error
        raise error


class _Contest:
    def __init__(self, runtime: Runtime, call: Call, client: Client, attempt: Attempting) -> None:
        self.runtime, self.call, self.client, self.attempt = runtime, call, client, attempt
        self.lanes: list[_Lane] = []
        self.winner: _Lane | None = None
        self._before = list(call.attempts)

    async def run(self, candidate: Candidate, course: Course) -> None:
        first = self._begin(candidate)
        # What was reserved at the provider for this attempt is the lane's.
        if self.call.holds and self.call.holds[-1].attempt:
            first.call.holds.append(self.call.holds.pop())
        pending = {first.task}
        timeout = (
            candidate.owner.hedge_after_s
            if self.call.route is None
            else (self.call.route.hedge_after_s)
        )
        while pending:
            done, pending = await asyncio.wait(
                pending, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
            )
            if self.winner is not None:
                await self.winner.task
                return
            if not done:
                timeout = None
                second = await self._second(course)
                pending = pending | {second.task} if second is not None else pending
                continue
            for lane in [lane for lane in self.lanes if lane.task in done]:
                self._failed(lane, course, alone=lane is first)
        raise first.failure() or GatewayError(_nothing())

    def _begin(self, candidate: Candidate) -> _Lane:
        lane = _Lane(self, candidate)
        self.lanes.append(lane)
        return lane

    async def _second(self, course: Course) -> _Lane | None:
        """The lane of a second target, if there is one that may be called."""
        runtime = self.runtime
        while self.winner is None and (candidate := course.beside()) is not None:
            label = candidate.target.model.label
            spare = copy.copy(self.call)
            spare.holds = []
            try:
                full = await runtime.admit(spare, candidate.owner, candidate.target)
                if full is not None or not await runtime.breaker.enter(label):
                    continue
                if self.winner is not None:  # the first has answered meanwhile
                    runtime.breaker.alive(label)
                    return None
                lane = self._begin(candidate)
                lane.call.holds, spare.holds = spare.holds, []
                return lane
            finally:
                runtime.limiter.leave(spare)
        return None

    def _failed(self, lane: _Lane, course: Course, *, alone: bool) -> None:
        """Take in that a lane is over. Raises where that ends the request."""
        failure = lane.failure()
        self.runtime.limiter.leave(lane.call)
        if failure is None:
            return
        ends = (
            not failure.error.retryable
            if alone
            else not course.failed(failure.error, lane.candidate)
        )
        if ends:
            raise failure

    def win(self, lane: _Lane) -> None:
        """This lane answers the client; what it has is the call's from here on."""
        if self.winner is not None:
            return
        self.winner = lane
        lost = [other for other in self.lanes if other is not lane]
        tokens = spent = 0
        for other in lost:
            if not other.task.done():
                used = _write_off(other.call)
                self.runtime.limiter.leave(other.call, used)
                other.task.cancel()
                tokens, spent = tokens + used.tokens, spent + used.units
        lane.call.lost = Want(tokens, spent)
        records = [record for other in lost for record in other.call.attempts]
        lane.call.attempts[:0] = [*self._before, *records]
        lane.call.holds[:0] = self.call.holds
        self.call.holds = []

    async def end(self, reason: Reason | None) -> None:
        """The request is ended from outside: end what is under way, and wait for it."""
        for lane in self.lanes:
            if not lane.task.done():
                lane.stop(reason)
        await asyncio.gather(*(lane.task for lane in self.lanes), return_exceptions=True)

    def close(self) -> None:
        """Give the call and the client what has become of them."""
        lane = self.winner or self.lanes[-1]
        for other in self.lanes:
            if other is lane:
                continue
            # Also of one that is over: a request that is ended from outside ends both.
            self.runtime.limiter.leave(other.call)
            other.task.cancel()
        if not lane.task.done() and lane is not self.winner:
            lane.task.cancel()
        if self.winner is None:
            records = [record for other in self.lanes for record in other.call.attempts]
            lane.call.attempts = [*self._before, *records]
            lane.call.holds = [*self.call.holds, *lane.call.holds]
        for name in _OF_ATTEMPT:
            setattr(self.call, name, getattr(lane.call, name))
        seen, client = lane.client, self.client
        client.started, client.status, client.headers = seen.started, seen.status, seen.headers
        client.first_byte_at, client.sent_at = seen.first_byte_at, seen.sent_at


def _nothing() -> Error:
    return Error(kind="upstream_error", message="no target has answered")


def _write_off(call: Call) -> Want:
    """Say on the last attempt of a loser that it lost, and what it will have used: that."""
    if not call.attempts:
        return NO_LOSS
    record = call.attempts[-1]
    record.error_kind, record.error = LOST, _LOST_WHY
    record.ended_ms = call.ms()
    if call.target is None or (not call.sent_at and record.first_byte_ms is None):
        return NO_LOSS  # nothing has been sent
    usage, source = usage_of(call)
    record.input_tokens, record.output_tokens = usage.input, usage.output
    record.cache_read_tokens, record.cache_write_tokens = usage.cache_read, usage.cache_write
    # What it has reported so far is not its last word.
    record.usage_source = BY_TEXT if source == REPORTED else source
    record.cost_usd, record.price_source, _ = priced(call, usage)
    record.charged_usd = charge_of(call, record.cost_usd)
    tokens = max(usage.prompt or 0, 0) + max(usage.output or 0, 0)
    return Want(tokens, units(record.charged_usd))
