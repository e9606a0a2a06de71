"""Several choices (`n`) from a target that returns one: parallel calls, one response.

All calls are one attempt at one target with one log record; tokens and cost are their sum. If
one fails, all fail: no client expects fewer choices than it requested. A stream's choices are
interleaved where the client's API can (`Client.choice_renderer`), else the first one is streamed
and the others follow it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gateway.canon.alternatives import AlternativeEvents
from gateway.canon.errors import GatewayError, invalid
from gateway.canon.events import End, Event, Start, UsageUpdate
from gateway.canon.fold import ResponseBuilder
from gateway.canon.request import Request
from gateway.canon.response import Response, Usage, merge_usage
from gateway.dialects.shared.failed_streams import malformed_output_error
from gateway.relay.exchange.call import Call, Client, Deadlines
from gateway.relay.run.model_call import (
    call_events,
    finish_record,
    new_record,
    prepare_call,
    report_adaptations,
    reported_tier,
)
from gateway.relay.run.reply import send_collected
from gateway.relay.run.stream import stream_events
from gateway.relay.translate.choices import sum_usage
from gateway.relay.translate.prepare import PreparedRequest
from gateway.routing.snapshot import Route, Target, Timeouts

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

# Maximum number of upstream calls of one request at the same time.
MAX_PARALLEL_CALLS = 16
# Events that wait for a client that reads slowly, before the upstreams are read on.
_QUEUED_BATCHES = 64


async def respond_with_choices(
    runtime: Runtime,
    call: Call,
    client: Client,
    deadlines: Deadlines,
    route: Route,
    target: Target,
    timeouts: Timeouts,
    requests: tuple[Request, ...],
) -> None:
    """Respond to the client. Raises GatewayError only before the first byte."""
    count = call.exchange.request.sampling.n or 1
    if count > runtime.config.max_choices:
        path = call.exchange.request.client_path("n")
        raise invalid(
            f"{path} is {count}; this gateway allows at most {runtime.config.max_choices} choices",
            path,
        )
    prepared_requests = [await prepare_call(call, route, target, request) for request in requests]
    report_adaptations(call, prepared_requests[0])
    if call.recorder.enabled:
        bodies = b",".join(part.content for part in prepared_requests)
        call.recorder.upstream_request = b"[" + bodies + b"]"
    deadlines.set_timeout(timeouts.first_byte_s, "first_byte", total_s=timeouts.total_s)
    call.attempt.upstream_sent_at = time.perf_counter()
    calls = _ParallelCalls(runtime, call, target, timeouts, prepared_requests)
    interleaved = _can_interleave(call) and len(requests) == count
    async with contextlib.aclosing(calls.events(interleaved=interleaved)) as batches:
        if call.exchange.stream:
            await stream_events(runtime, call, client, deadlines, target, batches)
        else:
            await send_collected(runtime, call, client, target, batches)


def _can_interleave(call: Call) -> bool:
    """Whether the choices of a stream may be sent at the same time: guardrails check them whole."""
    guarded = call.guard is not None and bool(call.guard.after)
    has_renderer = call.exchange.dialect.client.choice_renderer is not None
    return call.exchange.stream and has_renderer and not guarded


class _ParallelCalls:
    def __init__(
        self,
        runtime: Runtime,
        call: Call,
        target: Target,
        timeouts: Timeouts,
        prepared_requests: list[PreparedRequest],
    ) -> None:
        self.runtime, self.call, self.target, self.timeouts = runtime, call, target, timeouts
        self.prepared_requests = prepared_requests
        self.builders = [ResponseBuilder() for _ in prepared_requests]
        self.usages: list[Usage | None] = [None] * len(prepared_requests)
        self.tiers: list[str | None] = [None] * len(prepared_requests)
        self.slots = asyncio.Semaphore(MAX_PARALLEL_CALLS)
        self.queue: asyncio.Queue[tuple[int, list[Event] | BaseException | None]] = asyncio.Queue(
            _QUEUED_BATCHES
        )

    async def events(self, *, interleaved: bool) -> AsyncGenerator[list[Event] | AlternativeEvents]:
        """The events of the first choice, with those of the others in between or at the end."""
        tasks = [
            asyncio.create_task(self._run(number)) for number in range(len(self.prepared_requests))
        ]
        try:
            running = len(tasks)
            pending_events: list[AlternativeEvents] = []
            has_begun = False
            while running:
                number, events = await self.queue.get()
                if isinstance(events, BaseException):
                    raise events
                if events is None:
                    running -= 1
                    continue
                content = self._content_events(number, events)
                if number > 0:
                    if interleaved and content:
                        pending_events.append(AlternativeEvents(number, content))
                elif content:
                    has_begun = True
                    yield content
                if has_begun:  # the first choice's first event begins the response
                    for batch in pending_events:
                        yield batch
                    pending_events = []
            yield self._final_events(interleaved=interleaved)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, number: int) -> None:
        """Put the events of one call into the queue, then None or its failure."""
        try:
            async with self.slots:
                record = new_record(self.call)
                async with contextlib.aclosing(
                    call_events(
                        self.runtime,
                        self.call,
                        self.target,
                        self.prepared_requests[number],
                        self.timeouts.connect_s,
                    )
                ) as batches:
                    async for events in batches:
                        self._add_usage(number, events)
                        self.tiers[number] = reported_tier(events) or self.tiers[number]
                        await self.queue.put((number, events))
                finish_record(self.call, record, self.usages[number], self.tiers[number])
        except asyncio.CancelledError:
            raise
        except Exception as failure:  # raised by `events`, which reads the queue
            await self.queue.put((number, failure))
            return
        await self.queue.put((number, None))

    def _add_usage(self, number: int, events: list[Event]) -> None:
        """Add the tokens of a call to its usage."""
        for event in events:
            if isinstance(event, UsageUpdate):
                self.usages[number] = merge_usage(self.usages[number], event.usage)
            elif isinstance(event, Start):
                self.usages[number] = event.usage

    def _content_events(self, number: int, events: list[Event]) -> list[Event]:
        """The events without usage, which is that of all calls together. Raises GatewayError."""
        content: list[Event] = []
        for event in events:
            self.builders[number].feed(event)
            if isinstance(event, End) and event.finish.reason == "malformed":
                raise GatewayError(malformed_output_error(event.finish))
            if isinstance(event, Start):
                content.append(replace(event, usage=None))
            elif not isinstance(event, UsageUpdate | End) or (number > 0 and type(event) is End):
                content.append(event)
        return content

    def _final_events(self, *, interleaved: bool) -> list[Event]:
        responses = [builder.close() for builder in self.builders]
        alternatives: list[Response] = []
        for number, response in enumerate(responses):
            if number > 0 and not interleaved:
                alternatives.append(replace(response, usage=None, alternatives=()))
            alternatives += response.alternatives
        events: list[Event] = []
        usage = sum_usage(self.usages)
        if usage is not None:
            events.append(UsageUpdate(usage))
        return [*events, End(responses[0].finish, tuple(alternatives))]
