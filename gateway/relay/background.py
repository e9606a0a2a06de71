"""Responses that run in the background: begun by a request, asked after by others.

Each is a task of its own with its own row in the log. Cancelling one in another process
goes by way of the store, where whoever runs it looks twice a second. At a shutdown they
have as long as all requests; what then still runs has failed.
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
from gateway.dialects.openai_responses.kept import (
    ENDS,
    begun,
    broken,
    read_event,
    with_fields,
    with_response,
)
from gateway.framing.sse import Decoder
from gateway.relay.call import Call, Client
from gateway.relay.keeping import MOST_BYTES, cleaned
from gateway.relay.kept import Kept
from gateway.relay.reply import exchange_of, stopped
from gateway.relay.responses import BEAT_S
from gateway.relay.settle import settle
from gateway.relay.watch import Watch

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

log = logging.getLogger(__name__)

MOST = 200
Run = Callable[["Runtime", Call, Client, Watch], Awaitable[None]]
_CANCELLED = Error(kind="client_gone", message="the response was cancelled")
_GONE = Error(kind="upstream_error", message="the gateway ended while the response ran")


class Job:
    """One response while it runs. `events` grows if it streams; `kept` is its latest state."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self.events: list[bytes] = []
        self.over = False
        self.cancelled = False
        self.watch: Watch | None = None
        self.size = 0
        self._changed = asyncio.Event()

    def tell(self) -> None:
        """Wake who follows it."""
        self._changed.set()
        self._changed = asyncio.Event()

    def cancel(self) -> None:
        """End it now."""
        if self.over or self.cancelled:
            return
        self.cancelled = True
        if self.watch is not None:
            self.watch.stop("client_gone")

    async def follow(self, after: int = -1) -> AsyncIterator[bytes]:
        """Its events from the one numbered after `after` to the last, as they come."""
        place = 0
        while True:
            while place < len(self.events):
                event = self.events[place]
                place += 1
                if (read_event(event).sequence_number or 0) > after:
                    yield event
            if self.over:
                return
            await self._changed.wait()


def of(runtime: Runtime) -> Background:
    """The process's responses in the background."""
    for helper in runtime.helpers:
        if isinstance(helper, Background):
            return helper
    made = Background(runtime)
    runtime.helpers.append(made)
    return made


class Background:
    """All responses that run in the background of this process."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._jobs: dict[tuple[str, str], Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._beating: asyncio.Task[None] | None = None

    def job(self, owner: str, response_id: str) -> Job | None:
        """The one with this id, while it runs here."""
        return self._jobs.get((owner, response_id))

    async def start(self, call: Call, run: Run) -> Job:
        """Begin one. Raises GatewayError for what can not be kept, and if too many run."""
        keeping = call.keeping
        if keeping is None or not keeping.store or not call.recorder.on:
            raise invalid(
                "background: the response has to be kept to be asked after; it needs "
                "store true, and a key and route whose bodies are kept",
                "background",
            )
        if len(self._jobs) >= MOST or self._runtime.draining:
            message = f"no more than {MOST} responses may run in the background"
            if self._runtime.draining:
                message = "the gateway is shutting down"
            raise GatewayError(Error(kind="overloaded", message=message))
        call.detached = True
        _alone(call)
        kept = Kept(
            id=f"resp_{call.answer_id}",
            owner=keeping.owner,
            created_at=call.started_at,
            heard_at=time.time(),
            status="queued",
            earlier=keeping.earlier,
            input=bytes(call.fields.get("input", b"")),
            response=begun(exchange_of(call), "queued"),
        )
        job = self._jobs[kept.owner, kept.id] = Job(kept)
        try:
            await self._runtime.responses.save(cleaned(call, kept))
        except BaseException:
            del self._jobs[kept.owner, kept.id]
            call.detached = False
            raise
        task = asyncio.create_task(self._work(call, job, run))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._beating is None or self._beating.done():
            self._beating = asyncio.create_task(self._beat())
        return job

    async def _work(self, call: Call, job: Job, run: Run) -> None:
        runtime = self._runtime
        runtime.metrics.in_flight(1)
        watch = job.watch = runtime.watches.open()
        job.kept = _at(job.kept, "in_progress")
        client = Client(_sender(call, job))
        error: Error | None = None
        try:
            if job.cancelled:
                raise GatewayError(_CANCELLED)
            await run(runtime, call, client, watch)
        except GatewayError as failure:
            error = failure.error
        except asyncio.CancelledError:
            reason = watch.absorb()
            error = _GONE if reason is None else stopped(reason)
        except Exception:
            log.exception("a background response failed inside the gateway")
            error = Error(kind="upstream_error", message="the gateway failed; see its log")
        finally:
            runtime.metrics.in_flight(-1)
            watch.close()
        await self._end(call, client, job, _CANCELLED if job.cancelled else error)

    async def _end(self, call: Call, client: Client, job: Job, error: Error | None) -> None:
        if error is not None and not client.started:
            call.error, call.outcome = error, "error"
            client.status = call.dialect.client.render_error(error, call.id).status
        elif error is not None:
            call.error, call.outcome = error, "cut"
        settle(self._runtime, call, client)
        if job.cancelled:
            job.kept = _at(job.kept, "cancelled")
        elif error is not None:
            _fail(call, job, error)
        job.kept = msgspec.structs.replace(job.kept, events=_bounded(job))
        if job.kept.size > MOST_BYTES:
            job.kept = msgspec.structs.replace(job.kept, events=[], earlier=b"")
        try:
            await self._runtime.responses.save(cleaned(call, job.kept))
        except GatewayError:
            self._runtime.responses.note(job.kept)
        finally:
            job.over = True
            job.tell()
            self._jobs.pop((job.kept.owner, job.kept.id), None)

    async def _beat(self) -> None:
        """Tell the store that they live, and hear which of them are to stop."""
        while self._jobs:
            await asyncio.sleep(BEAT_S)
            with contextlib.suppress(Exception):  # the store has said why in the log
                stopped_ids = await self._runtime.responses.beat(list(self._jobs))
                for (_, response_id), job in list(self._jobs.items()):
                    if response_id in stopped_ids:
                        job.cancel()

    async def stop(self) -> None:
        """Wait for all; the drain's deadline ends those that take longer."""
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._beating is not None:
            self._beating.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._beating


def _alone(call: Call) -> None:
    """Take what is the gateway's own out of what a provider gets."""
    fields = {name: raw for name, raw in call.fields.items() if name != "background"}
    if call.native is not None:
        rest = {k: raw for k, raw in call.native.fields.items() if k != "background"}
        call.native = msgspec.structs.replace(call.native, fields=rest)
    call.fields, call.body = fields, msgspec.json.encode(fields)
    call.told["background"] = True


def _at(kept: Kept, status: str) -> Kept:
    response = with_fields(kept.response, status=status)
    return msgspec.structs.replace(kept, status=status, response=response)


def _fail(call: Call, job: Job, error: Error) -> None:
    response = broken(job.kept.response, error)
    job.kept = msgspec.structs.replace(job.kept, status="failed", response=response)
    if call.stream and not job.events:
        renderer = call.dialect.client.stream_renderer(exchange_of(call))
        for frame in Decoder().feed(renderer.feed(Failed(error))):
            job.events.append(frame.data)


def _bounded(job: Job) -> list[bytes]:
    """Its events, if there is room for them: they say again what the response says."""
    return job.events if job.size <= MOST_BYTES - job.kept.size else []


def _sender(call: Call, job: Job) -> Callable[[dict[str, Any]], Awaitable[None]]:
    """What takes the answer in instead of a client's socket."""
    decoder, got = Decoder(), bytearray()

    async def send(message: dict[str, Any]) -> None:
        data = message.get("body", b"")
        if call.stream:
            for frame in decoder.feed(data):
                _hear(job, frame.data)
            job.tell()
        else:
            got.extend(data)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                _finish(job, bytes(got))
        await asyncio.sleep(0)

    return send


def _hear(job: Job, event: bytes) -> None:
    try:
        event = with_response(event, id=job.kept.id, background=True)
        told = read_event(event)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return
    job.size += len(event)
    job.events.append(event)
    if told.type in ENDS and told.response:
        _finish(job, bytes(told.response))


def _finish(job: Job, response: bytes) -> None:
    """Have the answer under the id that the client was told when it asked."""
    response = with_fields(response, id=job.kept.id, background=True)
    status = msgspec.json.decode(response).get("status") or "completed"
    job.kept = msgspec.structs.replace(job.kept, status=status, response=response)
