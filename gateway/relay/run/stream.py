"""A streamed response to the client, one frame at a time: passed through or translated.

Until the first frame a failure raises and another target may be tried; after it, a failure is
reported in the client's own stream. The log record is settled before the last bytes leave.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

from gateway.canon.adaptation import adaptation_rows
from gateway.canon.alternatives import AlternativeEvents
from gateway.canon.errors import Error, GatewayError
from gateway.canon.events import Delta, End, Event, Failed, UsageUpdate
from gateway.canon.fold import ResponseBuilder
from gateway.dialects.base import ResponseContext, StreamParser, StreamRenderer
from gateway.framing import eventstream
from gateway.framing.formats import STREAM_FORMATS
from gateway.providers.redact import scrub_bytes
from gateway.relay.event_loop import offload
from gateway.relay.exchange.call import Call, Client, Deadlines, Header, stop_error
from gateway.relay.exchange.usage_estimate import usage_for_client
from gateway.relay.run.guarded_stream import StreamGuard
from gateway.relay.run.reply import (
    answer_headers,
    decode_frames,
    final_frames,
    model_field_replacement,
    passed_headers_of,
    response_context,
    stream_headers,
)
from gateway.relay.run.settle import settle
from gateway.relay.translate.prepare import PreparedRequest
from gateway.relay.upstream.client import Answer
from gateway.routing.snapshot import Target

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

PING_S = 15.0
# How long to wait for the end of a complete response, so that its connection can be reused.
LINGER_S = 1.0


async def stream_response(
    runtime: Runtime,
    call: Call,
    client: Client,
    deadlines: Deadlines,
    target: Target,
    prepared_request: PreparedRequest,
    answer: Answer,
) -> None:
    """Relays a streamed response. Raises GatewayError only before the first frame."""
    guard = None
    if call.guard is not None and call.guard.after:
        guard = StreamGuard(runtime, call)
        if guard.enforces:  # the client gets what its renderer makes of the checked events
            call.attempt.passthrough = call.recorder.passthrough = False
    context = await offload.run(call.exchange.offload_size, response_context, call)
    passed_headers = passed_headers_of(answer, call, prepared_request)
    stream = _Stream(
        runtime, call, client, deadlines, target, prepared_request, context, passed_headers
    )
    stream.guard = guard
    await stream.run(answer)


async def stream_events(
    runtime: Runtime,
    call: Call,
    client: Client,
    deadlines: Deadlines,
    target: Target,
    prepared_request: PreparedRequest,
    batches: AsyncIterator[list[Event] | AlternativeEvents],
) -> None:
    """Streams a response that several upstream calls make, given by its events.

    Raises GatewayError only before the first event.
    """
    context = await offload.run(call.exchange.offload_size, response_context, call)
    stream = _Stream(runtime, call, client, deadlines, target, prepared_request, context, [])
    if call.guard is not None and call.guard.after:
        stream.guard = StreamGuard(runtime, call)
    await stream.run_events(batches)


class _Stream:
    """One streamed response. `run` returns when the client has its end, normal or not."""

    def __init__(
        self,
        runtime: Runtime,
        call: Call,
        client: Client,
        deadlines: Deadlines,
        target: Target,
        prepared_request: PreparedRequest,
        context: ResponseContext,
        passed_headers: list[Header],
    ) -> None:
        exchange = call.exchange
        provider = target.model.provider
        dialect = prepared_request.dialect
        self.runtime, self.call, self.client, self.deadlines = runtime, call, client, deadlines
        self.target = target
        self.idle_s = (target.timeouts or provider.timeouts).idle_s
        self.cut = STREAM_FORMATS[dialect.framing]
        self.decoder = self.cut.new_decoder()
        self.parser: StreamParser = dialect.provider.stream_parser(
            target.model.traits, prepared_request.rendered_request
        )
        self.context = context
        self.renderer = exchange.dialect.client.stream_renderer(context)
        self.passed = call.attempt.passthrough
        echo = self.passed and runtime.model_echo
        self.renamer = StreamRenamer(exchange.model) if echo else None
        self.passed_headers = passed_headers
        self.folder = ResponseBuilder() if call.attempt.stores_reasoning else None
        self.pending = self.tail = b""
        # The first and the last bytes with an event that the client was sent.
        self.first_bytes = self.last_bytes = b""
        self.loop = asyncio.get_running_loop()
        self.pinger: asyncio.TimerHandle | None = None
        self.guard: StreamGuard | None = None
        # The final events of a stream that broke off.
        self.final_events: list[Event] = []

    async def run(self, answer: Answer) -> None:
        """Relays the whole stream. Raises GatewayError only before the first frame."""
        try:
            await relay_to_end(self._relay(answer), self._send_error, self.client, self.deadlines)
        finally:
            _note_reported_usage(self)
            if self.pinger is not None:
                self.pinger.cancel()

    async def _relay(self, answer: Answer) -> None:
        call, deadlines = self.call, self.deadlines
        tap, recorder = call.attempt.tap, call.recorder
        decoder, feed_parser = self.decoder, self.parser.feed
        while True:
            try:
                data = await answer.read()
            except GatewayError:
                if not _is_complete(self):
                    raise
                break
            if not data:
                break
            recorder.record_upstream(data)
            events: list[Event] = []
            for frame in decode_frames(decoder, data):
                events += feed_parser(frame)
            if events:
                tap.feed(events)
                if self.folder is not None:
                    self._fold(events)
                if tap.error is not None:
                    events, data = self._redact_error(events), self._without_secrets(data)
                if self.guard is not None:
                    events = await self._check_guardrails(self.guard, events)
            chunk = self._sendable_bytes(data) if self.passed else self._render_events(events)
            if not self.client.started:
                chunk = self.pending + chunk
                if not events:
                    self.pending = chunk
                    continue
                await self._begin_response(tap.error)
            if tap.finished:
                await self._finish(chunk)
                await _drain_upstream(answer)
                return
            if chunk:
                if not self.passed:
                    recorder.record_client(chunk)
                deadlines.pause(reset=bool(events))  # comments do not reset the idle timeout
                await self.client.write(chunk)
                deadlines.resume()
                if b"data:" in chunk:
                    self.first_bytes, self.last_bytes = self.first_bytes or chunk, chunk
            elif events:
                deadlines.reset()
        await self._handle_upstream_end(call)

    async def run_events(self, batches: AsyncIterator[list[Event] | AlternativeEvents]) -> None:
        """Relays events up to the end. Raises GatewayError only before the first of them."""
        try:
            await relay_to_end(
                self._relay_events(batches), self._send_error, self.client, self.deadlines
            )
        finally:
            if self.pinger is not None:
                self.pinger.cancel()

    async def _relay_events(self, batches: AsyncIterator[list[Event] | AlternativeEvents]) -> None:
        call, deadlines = self.call, self.deadlines
        choices: dict[int, StreamRenderer] = {}
        async for batch in batches:
            if isinstance(batch, AlternativeEvents):
                chunk = self._render_alternative(choices, batch)
            else:
                call.attempt.tap.feed(batch)
                self._fold(batch)
                events = batch
                if self.guard is not None:
                    events = await self._check_guardrails(self.guard, events)
                chunk = self._render_events(events)
            if not self.client.started:
                await self._begin_response(call.attempt.tap.error)
            if call.attempt.tap.finished:
                await self._finish(chunk)
                return
            if chunk:
                call.recorder.record_client(chunk)
                deadlines.pause(reset=True)
                await self.client.write(chunk)
                deadlines.resume()
            else:
                deadlines.reset()

    def _render_alternative(
        self, choices: dict[int, StreamRenderer], batch: AlternativeEvents
    ) -> bytes:
        """The client's bytes for another choice; `choices` are the renderers by index."""
        renderer = choices.get(batch.index)
        if renderer is None:
            new_renderer = self.call.exchange.dialect.client.choice_renderer
            assert new_renderer is not None
            renderer = choices[batch.index] = new_renderer(self.context, batch.index)
        self.call.attempt.tap.feed([event for event in batch.events if type(event) is Delta])
        chunk = b"".join(map(renderer.feed, batch.events))
        if renderer.report and isinstance(batch.events[-1], End):
            self.call.attempt.adaptations += adaptation_rows(renderer.report)
        return chunk

    def _fold(self, events: list[Event]) -> None:
        """Collects the response; at its end, stores reasoning that the client cannot send back."""
        tap = self.call.attempt.tap
        if self.folder is None or tap.error is not None:
            return
        for event in events:
            self.folder.feed(event)
        if tap.finished:
            self.runtime.reasoning.store_reasoning(self.call, self.folder.close().parts)

    async def _check_guardrails(self, guard: StreamGuard, events: list[Event]) -> list[Event]:
        """The events that may be sent; the time that the guardrails take is not the upstream's."""
        self.deadlines.pause(reset=True)
        try:
            return await guard.feed(events)
        finally:
            self.deadlines.resume()

    def _sendable_bytes(self, data: bytes) -> bytes:
        """The part of the upstream's bytes to send to the client now."""
        out = _complete_events(self, data)
        return (
            self.renamer.feed(out, self.call.attempt.tap.model) if self.renamer is not None else out
        )

    def _render_events(self, events: list[Event]) -> bytes:
        """The client's bytes; before the end, adds usage that the provider did not report."""
        tap = self.call.attempt.tap
        if tap.finished and not tap.has_all_counts and events and isinstance(events[-1], End):
            usage = usage_for_client(self.call, self.context)
            if usage is not tap.usage and usage is not None:
                events = [*events[:-1], UsageUpdate(usage), events[-1]]
        return b"".join(map(self.renderer.feed, events))

    def _redact_error(self, events: list[Event]) -> list[Event]:
        """The events of a failed stream with its error redacted: it may contain the key."""
        tap = self.call.attempt.tap
        if tap.error is not None:
            tap.error = self.runtime.provider_secrets.redact(self.call.exchange.snapshot, tap.error)
        return [Failed(tap.error) if isinstance(e, Failed) and tap.error else e for e in events]

    def _without_secrets(self, data: bytes) -> bytes:
        """The bytes of a failed stream without secrets, including the buffered ones."""
        secrets = [
            form.encode()
            for form in self.runtime.provider_secrets.forms(self.call.exchange.snapshot)
        ]
        scrubbed_data = scrub_bytes(self.tail + data, secrets)
        self.tail = scrubbed_data[: len(self.tail)]
        return scrubbed_data[len(self.tail) :]

    async def _begin_response(self, error: Error | None) -> None:
        """Commits to this target, because the first frame has arrived."""
        if error is not None:
            raise GatewayError(error)
        call = self.call
        call.end_upstream_wait()
        call.attempts[-1].first_byte_ms = call.exchange.elapsed_ms()
        self.deadlines.set_timeout(self.idle_s, "idle")
        self.pinger = self.loop.call_later(PING_S, self._ping)
        gateway_headers = [*stream_headers(call), *answer_headers(call, self.target.model.label)]
        await self.client.head(200, [*gateway_headers, *self.passed_headers])

    async def _handle_upstream_end(self, call: Call) -> None:
        """Handles the end of the bytes: sends what the parser still returns, or the error."""
        events = self.final_events or self._close_parser()
        call.attempt.tap.feed(events)
        self._fold(events)
        failed_event = next((e for e in events if isinstance(e, Failed)), None)
        if self.guard is not None:
            events = await self._check_guardrails(self.guard, events)
        if not self.client.started:
            await self._begin_response(failed_event.error if failed_event else None)
            await self.client.write(self.pending)
        if failed_event is not None:
            await self._send_error(failed_event.error)
            return
        if not self.passed:
            await self._finish(self._render_events(events))
            return
        self.tail, out = b"", self.tail
        out = self.renamer.feed(out, call.attempt.tap.model) if self.renamer is not None else out
        await self._finish(out)

    def _close_parser(self) -> list[Event]:
        """The final events; the tail becomes a complete event, or is dropped."""
        frames = final_frames(self.decoder)
        # A client drops an event that no blank line ends.
        self.tail = self.tail + self.cut.frame_terminators[0] if frames and self.tail else b""
        return [e for frame in frames for e in self.parser.feed(frame)] + self.parser.close()

    async def _finish(self, out: bytes) -> None:
        """Settles, then sends the last bytes."""
        call = self.call
        if not self.passed:
            call.recorder.record_client(out)
        call.attempt.final_bytes = out
        if call.attempt.tap.error is not None:
            call.error, call.outcome = call.attempt.tap.error, "cut"
        call.attempt.adaptations += adaptation_rows(self.renderer.report)
        self.deadlines.pause()
        if call.attempt.stores_reasoning:
            await self.runtime.reasoning.wait_stored()
        settle(self.runtime, call, self.client)
        await self.client.end(out)

    async def _send_error(self, error: Error) -> None:
        """Sends the error in the client's dialect; the stream does not end normally."""
        call = self.call
        if error.kind == "timeout" and _is_complete(self):
            await self._handle_upstream_end(call)
            return
        _note_reported_usage(self)
        error = self.runtime.provider_secrets.redact(call.exchange.snapshot, error)
        call.error, call.outcome = error, "cut"
        out = call.attempt.final_bytes = _render_failure(self, error)
        call.recorder.record_client(out)
        settle(self.runtime, call, self.client)
        await self.client.end(out)

    def _ping(self) -> None:
        """Keeps an idle client connection open; the bytes sent so far end with a complete event."""
        now = time.perf_counter()
        self.pinger = self.loop.call_later(PING_S, self._ping)
        quiet = now - self.client.sent_at >= PING_S - 0.5
        keepalive = self.call.exchange.dialect.keepalive
        if quiet and keepalive and self.call.entry is None:
            task = self.loop.create_task(self.client.write(keepalive))
            self.runtime.background.add(task)
            task.add_done_callback(self.runtime.background.discard)


def _complete_events(stream: _Stream, data: bytes) -> bytes:
    """The complete events in the data; an incomplete one is buffered.

    A client would fail on a truncated event before it could read the error.
    """
    if not stream.decoder.pending and not stream.tail:
        return data
    data = stream.tail + data
    if not stream.decoder.pending:
        stream.tail = b""
        return data
    ends = ((data.rfind(end), len(end)) for end in stream.cut.frame_terminators)
    cut = max((position + length for position, length in ends if position >= 0), default=0)
    if isinstance(stream.decoder, eventstream.Decoder):
        cut = len(data) - stream.decoder.pending_bytes
    stream.tail = data[cut:]
    return data[:cut]


def _is_complete(stream: _Stream) -> bool:
    """Whether a stream that broke off contains the whole response: only its last bytes miss."""
    if stream.call.attempt.tap.finished:
        return False
    stream.final_events = stream.final_events or stream._close_parser()
    return bool(stream.final_events) and isinstance(stream.final_events[-1], End)


def _note_reported_usage(stream: _Stream) -> None:
    """Notes the usage that the chunks of a stream that broke off reported."""
    tap = stream.call.attempt.tap
    if tap.started and not tap.finished:
        events = stream.final_events or stream.parser.close()
        tap.feed([event for event in events if type(event) is UsageUpdate])


def _render_failure(stream: _Stream, error: Error) -> bytes:
    """The event that ends a stream with an error."""
    render = stream.call.exchange.dialect.client.render_passed_failure
    out = b""
    if stream.passed and render is not None:
        out = render(error, stream.first_bytes, stream.last_bytes)
    return out or stream.renderer.feed(Failed(error))


async def _drain_upstream(answer: Answer) -> None:
    """Reads what follows a complete response."""
    with contextlib.suppress(TimeoutError, GatewayError):
        async with asyncio.timeout(LINGER_S):
            while await answer.read():
                pass


async def relay_to_end(
    relay_response: Awaitable[None],
    send_error: Callable[[Error], Awaitable[None]],
    client: Client,
    deadlines: Deadlines,
) -> None:
    """Relays a response; an error after its first byte is sent to the client by `send_error`.

    Raises GatewayError and CancelledError before that, and if the client has disconnected.
    """
    try:
        await relay_response
    except GatewayError as failure:
        if not client.started:
            raise
        await send_error(failure.error)
    except asyncio.CancelledError:
        if not client.started or deadlines.reason in {None, "client_gone"}:
            raise
        deadlines.take_reason()
        await send_error(stop_error(deadlines.reason))


class StreamRenamer:
    """Replaces the model in a stream: the field as found in its first event, in each event."""

    __slots__ = ("_field", "_replacement", "_requested_model")

    def __init__(self, requested_model: str) -> None:
        self._requested_model = requested_model
        self._field: bytes | None = None
        self._replacement = b""

    def feed(self, data: bytes, upstream_model: str) -> bytes:
        """Complete events with the model replaced; `upstream_model` is empty until it is known."""
        field = self._field
        if field is None:
            if not upstream_model:
                return data
            if upstream_model == self._requested_model:
                self._field = b""
                return data
            # Empty if there is nothing to replace.
            field, self._replacement = model_field_replacement(
                data, upstream_model, self._requested_model
            )
            self._field = field
        start = data.find(field) if field else -1
        if start < 0:
            return data
        end = start + len(field)
        if data.find(field, end) < 0:
            return data[:start] + self._replacement + data[end:]
        # Only the first in each line, as tool arguments come after the model.
        lines = data.split(b"\n")
        return b"\n".join(line.replace(field, self._replacement, 1) for line in lines)
