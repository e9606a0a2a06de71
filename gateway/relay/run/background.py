"""Responses that run in the background: started by one request, retrieved by others.

Each runs in its own task and has its own log record. A cancellation from another process
goes through the store, which the running process polls twice a second. At a shutdown they
have as much time as other requests; those still running then fail.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.canon.errors import Error, GatewayError, invalid
from gateway.canon.events import Failed
from gateway.dialects.openai_responses.stored_responses import (
    END_EVENTS,
    failed_response,
    read_event,
    started_response,
    with_fields,
    with_response_fields,
)
from gateway.framing.sse import Decoder
from gateway.relay.exchange.call import Call, Client, Deadlines, Exchange
from gateway.relay.exchange.stored_response import StoredResponse
from gateway.relay.run.pipeline import RunCall
from gateway.relay.run.reply import response_context
from gateway.relay.run.response_state import ADMIN, MAX_STORED_BYTES, OPEN, mask_stored_response
from gateway.relay.run.settle import CLIENT_GONE, serve_call, settle
from gateway.relay.state.responses import HEARTBEAT_S

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

log = logging.getLogger(__name__)

MAX_JOBS = 200
# Maximum for one key or its team, so that others can run some, too.
MAX_JOBS_PER_OWNER = 100
# Storing a response that has ended is repeated: the first pause, which doubles, up to the second
# one; after the third time the response is lost.
SAVE_PAUSE_S = 0.5
MAX_SAVE_PAUSE_S = 15.0
SAVE_RETRY_S = 600.0
_CANCELLED_ERROR = Error(kind="client_gone", message="the response was cancelled")
_INCOMPLETE = Error(kind="upstream_error", message="the response ended before it was complete")
_SHUTDOWN = Error(kind="upstream_error", message="the gateway ended while the response ran")


class BackgroundJob:
    """One response while it runs. `events` grows if it streams; `response` is its latest state."""

    def __init__(self, response: StoredResponse) -> None:
        self.response = response
        self.events: list[bytes] = []
        self.finished = False
        self.cancelled = False
        self.deadlines: Deadlines | None = None
        self.size = 0
        self._changed = asyncio.Event()

    def notify(self) -> None:
        """Wake its followers."""
        self._changed.set()
        self._changed = asyncio.Event()

    def finish(self) -> None:
        """End the streams of its followers."""
        self.finished = True
        self.notify()

    def cancel(self) -> None:
        """Cancel it immediately."""
        if self.finished or self.cancelled:
            return
        self.cancelled = True
        if self.deadlines is not None:
            self.deadlines.stop("client_gone")

    async def follow(self, after: int = -1) -> AsyncIterator[bytes]:
        """Its events after number `after`, as they arrive."""
        index = 0
        while True:
            while index < len(self.events):
                event = self.events[index]
                index += 1
                if (read_event(event).sequence_number or 0) > after:
                    yield event
            if self.finished:
                return
            await self._changed.wait()


def background_responses(runtime: Runtime) -> BackgroundResponses:
    """The background responses of the process."""
    for service in runtime.services:
        if isinstance(service, BackgroundResponses):
            return service
    background = BackgroundResponses(runtime)
    runtime.services.append(background)
    return background


class BackgroundResponses:
    """All background responses that run in this process."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._jobs: dict[tuple[str, str], BackgroundJob] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._heartbeat_task: asyncio.Task[None] | None = None

    def job(self, owner: str, response_id: str) -> BackgroundJob | None:
        """The job with this id, while it runs in this process."""
        return self._jobs.get((owner, response_id))

    async def start(self, call: Call, run_call: RunCall) -> BackgroundJob:
        """Start a job. Raises GatewayError if it cannot be stored, or if too many run."""
        exchange = call.exchange
        policy = exchange.store_policy
        if policy is None or not policy.store or not call.recorder.enabled:
            raise invalid(
                "background: the response must be stored so that it can be read later; set "
                "store to true, and use a key and route with body logging",
                "background",
            )
        if len(self._jobs) >= MAX_JOBS or self._runtime.draining:
            message = f"at most {MAX_JOBS} responses can run in the background"
            if self._runtime.draining:
                message = "the gateway is shutting down"
            raise GatewayError(Error(kind="overloaded", message=message))
        if policy.owner not in {OPEN, ADMIN} and self._count(policy.owner) >= MAX_JOBS_PER_OWNER:
            message = (
                f"at most {MAX_JOBS_PER_OWNER} responses of a key or team can run in the background"
            )
            raise GatewayError(Error(kind="rate_limit", message=message, retry_after_s=1))
        call.detached = True
        _strip_background_field(exchange)
        exchange.freeze()
        stored_response = StoredResponse(
            id=f"resp_{exchange.response_id}",
            owner=policy.owner,
            created_at=exchange.started_at,
            heartbeat_at=time.time(),
            status="queued",
            previous_items=policy.previous_items,
            input=bytes(exchange.fields.get("input", b"")),
            response=started_response(response_context(call), "queued"),
        )
        job = self._jobs[stored_response.owner, stored_response.id] = BackgroundJob(stored_response)
        try:
            await self._runtime.responses.save(mask_stored_response(call, stored_response))
        except BaseException:
            del self._jobs[stored_response.owner, stored_response.id]
            call.detached = False
            raise
        task = asyncio.create_task(self._run_job(call, job, run_call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._heartbeat_task is None or self._heartbeat_task.done():
            self._heartbeat_task = asyncio.create_task(self._send_heartbeats())
        return job

    def _count(self, owner: str) -> int:
        """The number of jobs of an owner."""
        return sum(name == owner for name, _ in self._jobs)

    async def _run_job(self, call: Call, job: BackgroundJob, run_call: RunCall) -> None:
        runtime, body_bytes = self._runtime, call.exchange.large_body_bytes
        runtime.metrics.requests_in_flight += 1
        runtime.metrics.large_body_bytes += body_bytes
        deadlines = job.deadlines = Deadlines(runtime.deadline_ticker)
        job.response = _with_status(job.response, "in_progress")
        client = Client(_response_sink(call, job))
        error: Error | None = _CANCELLED_ERROR if job.cancelled else None

        async def fail(failure: GatewayError) -> None:
            nonlocal error
            # There is no client connection: only `cancel` or the end of the process stops it.
            error = _SHUTDOWN if failure.error is CLIENT_GONE else failure.error
            error = _CANCELLED_ERROR if job.cancelled else error

        try:
            if error is None:
                work = run_call(runtime, call, client, deadlines)
                await serve_call(runtime, call, client, deadlines, work, fail)
        finally:
            runtime.metrics.requests_in_flight -= 1
            runtime.metrics.large_body_bytes -= body_bytes
            deadlines.close()
            await self._end(call, client, job, error)

    async def _end(
        self, call: Call, client: Client, job: BackgroundJob, error: Error | None
    ) -> None:
        exchange = call.exchange
        if error is not None and not client.started:
            call.error, call.outcome = error, "error"
            client.status = exchange.dialect.client.render_error(error, exchange.id).status
        elif error is not None:
            call.error, call.outcome = error, "cut"
        settle(self._runtime, call, client)
        if job.cancelled:
            job.response = _with_status(job.response, "cancelled")
        elif error is not None:
            _fail(call, job, error)
        elif job.response.running:  # the upstream's last event was `error`, which has no response
            _fail(call, job, call.error or _INCOMPLETE)
        job.response = msgspec.structs.replace(job.response, events=_events_within_limit(job))
        if job.response.size > MAX_STORED_BYTES:
            job.response = msgspec.structs.replace(job.response, events=[], previous_items=b"")
        try:
            await self._save_finished(job, mask_stored_response(call, job.response))
        finally:
            job.finish()
            self._jobs.pop((job.response.owner, job.response.id), None)

    async def _save_finished(self, job: BackgroundJob, response: StoredResponse) -> None:
        """Save a response that has ended; repeat that while the database is unavailable.

        Until then the job stays, so that this process serves its response and its heartbeats go
        on. At a shutdown the last attempt is the next one.
        """
        end, pause_s = time.monotonic() + SAVE_RETRY_S, SAVE_PAUSE_S
        while True:
            try:
                await self._runtime.responses.save(response)
                return
            except GatewayError:
                self._runtime.responses.add_pending(response)
            job.finish()
            if self._runtime.draining or time.monotonic() > end:
                log.error("a background response could not be stored", extra={"id": response.id})
                return
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, MAX_SAVE_PAUSE_S)

    async def _send_heartbeats(self) -> None:
        """Send heartbeats of the jobs to the store, and cancel those cancelled elsewhere."""
        while self._jobs:
            await asyncio.sleep(HEARTBEAT_S)
            with contextlib.suppress(Exception):  # the store has logged it
                stopped_ids = await self._runtime.responses.heartbeat(list(self._jobs))
                for (_, response_id), job in list(self._jobs.items()):
                    if response_id in stopped_ids:
                        job.cancel()

    async def stop(self) -> None:
        """Wait for all jobs; the drain deadline stops those that take longer."""
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._heartbeat_task is not None:
            self._heartbeat_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._heartbeat_task


def _strip_background_field(exchange: Exchange) -> None:
    """Remove the field `background` from what is sent to a provider."""
    fields = {name: raw for name, raw in exchange.fields.items() if name != "background"}
    if exchange.native_continuation is not None:
        native_fields = {
            k: raw for k, raw in exchange.native_continuation.fields.items() if k != "background"
        }
        exchange.native_continuation = msgspec.structs.replace(
            exchange.native_continuation, fields=native_fields
        )
    exchange.fields, exchange.body = fields, msgspec.json.encode(fields)
    exchange.echoed_fields["background"] = True


def _with_status(stored: StoredResponse, status: str) -> StoredResponse:
    response = with_fields(stored.response, status=status)
    return msgspec.structs.replace(stored, status=status, response=response)


def _fail(call: Call, job: BackgroundJob, error: Error) -> None:
    exchange = call.exchange
    response = failed_response(job.response.response, error)
    job.response = msgspec.structs.replace(job.response, status="failed", response=response)
    if exchange.stream and not job.events:
        renderer = exchange.dialect.client.stream_renderer(response_context(call))
        for frame in Decoder().feed(renderer.feed(Failed(error))):
            job.events.append(frame.data)


def _events_within_limit(job: BackgroundJob) -> list[bytes]:
    """Its events, if there is room for them: they repeat the content of the response."""
    return job.events if job.size <= MAX_STORED_BYTES - job.response.size else []


def _response_sink(call: Call, job: BackgroundJob) -> Callable[[dict[str, Any]], Awaitable[None]]:
    """A `send` function that collects the response instead of a client's socket."""
    decoder, body = Decoder(), bytearray()

    async def send(message: dict[str, Any]) -> None:
        data = message.get("body", b"")
        if call.exchange.stream:
            for frame in decoder.feed(data):
                _add_event(job, frame.data)
            job.notify()
        else:
            body.extend(data)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                _set_response(job, bytes(body))
        await asyncio.sleep(0)

    return send


def _add_event(job: BackgroundJob, event: bytes) -> None:
    try:
        event = with_response_fields(event, id=job.response.id, background=True)
        event_fields = read_event(event)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return
    job.size += len(event)
    job.events.append(event)
    if event_fields.type in END_EVENTS and event_fields.response:
        _set_response(job, bytes(event_fields.response))


def _set_response(job: BackgroundJob, response: bytes) -> None:
    """Store the response under the id that the client received at the start."""
    response = with_fields(response, id=job.response.id, background=True)
    status = msgspec.json.decode(response).get("status") or "completed"
    job.response = msgspec.structs.replace(job.response, status=status, response=response)
