"""A streamed response to the client, one frame at a time: passed through or translated.

Until the first frame a failure raises and another target may be tried; after it, a failure is
reported in the client's own stream. The log record is settled before the last bytes leave.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from gateway.canon.adaptation import adaptation_rows
from gateway.canon.alternatives import AlternativeEvents
from gateway.canon.errors import Error, GatewayError
from gateway.canon.events import Delta, End, Event, Failed, UsageUpdate
from gateway.canon.fold import ResponseBuilder
from gateway.canon.json_values import decode_or_none
from gateway.canon.response import unknown_finish
from gateway.dialects.base import ChoicesParser, ResponseContext, StreamParser, StreamRenderer
from gateway.framing import eventstream, ndjson
from gateway.framing.formats import STREAM_FORMATS
from gateway.framing.headers import Header
from gateway.framing.sse import Frame
from gateway.providers.redact import scrub_bytes
from gateway.relay.event_loop import offload
from gateway.relay.exchange.call import Call, Client, Deadlines, stop_error
from gateway.relay.exchange.usage_estimate import usage_of
from gateway.relay.limits.max_rates import requested_choices
from gateway.relay.run.guarded_stream import StreamGuard
from gateway.relay.run.reply import (
    close_stream,
    decode_frames,
    final_frames,
    model_field_replacement,
    passed_headers_of,
    refuse_endless_stream,
    response_context,
    response_headers,
    stream_headers,
)
from gateway.relay.run.settle import settle
from gateway.relay.translate.choices import CHOICE_FIELDS
from gateway.relay.translate.prepare import PreparedRequest
from gateway.relay.upstream.client import UpstreamResponse
from gateway.routing.snapshot import Target

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

PING_S = 15.0
# How long to wait for the end of a complete response, so that its connection can be reused.
LINGER_S = 1.0
# Fields of events without a name that have content or the reason for the end.
_CONTENT_FIELDS = ("choices", "candidates", "promptFeedback", "message")


async def stream_response(
    runtime: Runtime,
    call: Call,
    client: Client,
    deadlines: Deadlines,
    target: Target,
    prepared_request: PreparedRequest,
    upstream_response: UpstreamResponse,
) -> None:
    """Relay a streamed response. Raises GatewayError only before the first frame."""
    guard = None
    if call.guard is not None and call.guard.after:
        guard = StreamGuard(runtime, call)
        if guard.enforces:  # the client gets what its renderer makes of the checked events
            call.attempt.passthrough = call.recorder.passthrough = False
    context = await offload.run(call.exchange.offload_size, response_context, call)
    passed_headers = passed_headers_of(runtime, upstream_response, call, prepared_request)
    client_stream = _ClientStream(
        runtime, call, client, deadlines, target, guard, context, passed_headers
    )
    relay = _StreamRelay(client_stream, prepared_request, upstream_response)
    try:
        await relay_to_end(relay.run(), relay.send_error, client, deadlines)
    finally:
        relay.note_reported_usage()
        client_stream.stop_pings()


async def stream_events(
    runtime: Runtime,
    call: Call,
    client: Client,
    deadlines: Deadlines,
    target: Target,
    batches: AsyncIterator[list[Event] | AlternativeEvents],
) -> None:
    """Stream a response that several upstream calls make, given by its events.

    Raises GatewayError only before the first event.
    """
    context = await offload.run(call.exchange.offload_size, response_context, call)
    guard = StreamGuard(runtime, call) if call.guard is not None and call.guard.after else None
    client_stream = _ClientStream(runtime, call, client, deadlines, target, guard, context, [])
    try:
        await relay_to_end(
            _relay_events(client_stream, batches), client_stream.fail, client, deadlines
        )
    finally:
        client_stream.stop_pings()


async def _relay_events(
    client_stream: _ClientStream, batches: AsyncIterator[list[Event] | AlternativeEvents]
) -> None:
    """Relay events up to the end. Raises GatewayError only before the first of them."""
    tap = client_stream.call.attempt.tap
    async for batch in batches:
        if isinstance(batch, AlternativeEvents):
            chunk = client_stream.render_alternative(batch)
        else:
            tap.feed(batch)
            client_stream.fold(batch)
            chunk = client_stream.render(await client_stream.check_guardrails(batch))
        if not client_stream.client.started:
            await client_stream.begin(tap.error)
        if tap.finished:
            await client_stream.finish(chunk)
            return
        if chunk:
            await client_stream.send(chunk, reset=True)
        else:
            client_stream.deadlines.reset()


class _ClientStream:
    """The client's side of a streamed response: renders events, sends bytes, settles the call."""

    def __init__(
        self,
        runtime: Runtime,
        call: Call,
        client: Client,
        deadlines: Deadlines,
        target: Target,
        guard: StreamGuard | None,
        context: ResponseContext,
        passed_headers: list[Header],
    ) -> None:
        self.runtime, self.call, self.client, self.deadlines = runtime, call, client, deadlines
        self.target, self.guard, self.context = target, guard, context
        self.passed_headers = passed_headers
        self.passed = call.attempt.passthrough
        self.renderer = call.exchange.dialect.client.stream_renderer(context)
        # Renderers of the other choices, by index.
        self.choices: dict[int, StreamRenderer] = {}
        self.folder = ResponseBuilder() if call.attempt.stores_reasoning else None
        # The first and the last bytes with an event that were passed through.
        self.first_bytes = self.last_bytes = b""
        self.loop = asyncio.get_running_loop()
        self.pinger: asyncio.TimerHandle | None = None
        self.has_begun = False
        # The task that reads the upstream, if pings may come before its first event.
        self.relay_task: asyncio.Task[None] | None = None

    def fold(self, events: list[Event]) -> None:
        """Collect the response; at its end, store reasoning that the client cannot send back."""
        tap = self.call.attempt.tap
        if self.folder is None or tap.error is not None:
            return
        for event in events:
            self.folder.feed(event)
        if tap.finished:
            self.runtime.reasoning.store_reasoning(self.call, self.folder.close().parts)

    async def check_guardrails(self, events: list[Event]) -> list[Event]:
        """The events that may be sent; the time that the guardrails take is not the upstream's."""
        if self.guard is None:
            return events
        self.deadlines.pause(reset=True)
        try:
            return await self.guard.feed(events)
        finally:
            self.deadlines.resume()

    def render(self, events: list[Event]) -> bytes:
        """The client's bytes; usage that the provider did not report is added before the end."""
        tap = self.call.attempt.tap
        if tap.finished and not tap.has_all_counts and events and isinstance(events[-1], End):
            usage, _ = usage_of(self.call)
            events = [*events[:-1], UsageUpdate(usage), events[-1]]
        return b"".join(map(self.renderer.feed, events))

    def render_alternative(self, batch: AlternativeEvents) -> bytes:
        """The client's bytes for another choice."""
        renderer = self.choices.get(batch.index)
        if renderer is None:
            new_renderer = self.call.exchange.dialect.client.choice_renderer
            assert new_renderer is not None
            renderer = self.choices[batch.index] = new_renderer(self.context, batch.index)
        self.call.attempt.tap.feed([event for event in batch.events if type(event) is Delta])
        chunk = b"".join(map(renderer.feed, batch.events))
        if renderer.report and isinstance(batch.events[-1], End):
            self.call.attempt.adaptations += adaptation_rows(renderer.report)
        return chunk

    async def begin(self, error: Error | None) -> None:
        """Commit to this target, because the first frame has arrived."""
        if error is not None:
            raise GatewayError(error)
        call = self.call
        self.has_begun = True
        call.end_upstream_wait()
        call.attempts[-1].first_byte_ms = call.exchange.elapsed_ms()
        timeouts = self.target.timeouts or self.target.model.provider.timeouts
        self.deadlines.set_timeout(timeouts.idle_s, "idle")
        if self.pinger is None:
            self.pinger = self.loop.call_later(PING_S, self._ping)
        gateway_headers = [*stream_headers(call), *response_headers(call, self.target.model.label)]
        await self.client.head(200, [*gateway_headers, *self.passed_headers])

    def ping_before_events(self) -> None:
        """Also ping a client while an upstream that has begun its stream sends no event of it."""
        if self.pinger is None:
            self.relay_task = asyncio.current_task()
            self.pinger = self.loop.call_later(PING_S, self._ping)

    async def _send_early_ping(self, keepalive: bytes) -> None:
        # A call that has been stopped, as the loser of a hedged request, may not respond.
        if self.has_begun or self.relay_task is None or self.relay_task.cancelling():
            return
        label = self.target.model.label
        gateway_headers = [*stream_headers(self.call), *response_headers(self.call, label)]
        await self.client.ping([*gateway_headers, *self.passed_headers], keepalive)

    async def send(self, chunk: bytes, *, reset: bool) -> None:
        """Send bytes; `reset` restarts the idle timeout of the upstream."""
        if not self.passed:
            self.call.recorder.record_client(chunk)
        elif b"data:" in chunk:
            self.first_bytes, self.last_bytes = self.first_bytes or chunk, chunk
        self.deadlines.pause(reset=reset)
        await self.client.write(chunk)
        self.deadlines.resume()

    async def finish(self, out: bytes) -> None:
        """Settle, then send the last bytes."""
        call = self.call
        if not self.passed:
            call.recorder.record_client(out)
        call.attempt.final_bytes = out
        if call.attempt.tap.error is not None:
            call.error, call.outcome = call.attempt.tap.error, "cut"
        report, finish = tuple(self.renderer.report), call.attempt.tap.finish
        if finish is not None and finish.unknown and not self.passed:
            report += unknown_finish(finish)
        call.attempt.adaptations += adaptation_rows(report)
        self.deadlines.pause()
        if call.attempt.stores_reasoning:
            await self.runtime.reasoning.wait_stored()
        settle(self.runtime, call, self.client)
        await self.client.end(out)

    async def fail(self, error: Error) -> None:
        """Settle, then send the error in the client's dialect as the end of the stream."""
        call = self.call
        error = self.runtime.provider_secrets.redact(call.exchange.snapshot, error)
        call.error, call.outcome = error, "cut"
        render_passed = call.exchange.dialect.client.render_passed_failure
        out = b""
        if self.passed and render_passed is not None:
            out = render_passed(error, self.first_bytes, self.last_bytes)
        out = call.attempt.final_bytes = out or self.renderer.feed(Failed(error))
        call.recorder.record_client(out)
        settle(self.runtime, call, self.client)
        await self.client.end(out)

    def _ping(self) -> None:
        """Keep an idle client connection open; the bytes sent so far end with a complete event."""
        now = time.perf_counter()
        self.pinger = self.loop.call_later(PING_S, self._ping)
        quiet = now - self.client.sent_at >= PING_S - 0.5
        keepalive = self.call.exchange.dialect.keepalive
        if quiet and keepalive and self.call.record is None:
            started = self.client.started
            ping = self.client.write(keepalive) if started else self._send_early_ping(keepalive)
            task = self.loop.create_task(ping)
            self.runtime.background.add(task)
            task.add_done_callback(self.runtime.background.discard)

    def stop_pings(self) -> None:
        """End the pings of an idle connection."""
        self.relay_task = None
        if self.pinger is not None:
            self.pinger.cancel()


class _StreamRelay:
    """Reads the upstream's bytes and passes them, or what their events render to, to the client."""

    def __init__(
        self,
        client_stream: _ClientStream,
        prepared_request: PreparedRequest,
        upstream_response: UpstreamResponse,
    ) -> None:
        call, runtime = client_stream.call, client_stream.runtime
        dialect, traits = prepared_request.dialect, client_stream.target.model.traits
        self.client_stream, self.call, self.upstream_response = (
            client_stream,
            call,
            upstream_response,
        )
        self.secrets = runtime.provider_secrets
        self.prepared_request = prepared_request
        self.frame_terminators = STREAM_FORMATS[dialect.framing].frame_terminators
        self.decoder = STREAM_FORMATS[dialect.framing].new_decoder()
        self.new_parser: Callable[[], StreamParser] = partial(
            dialect.provider.stream_parser, traits, prepared_request.rendered_request
        )
        self.parser = self.new_parser()
        self.passed = client_stream.passed
        echo = self.passed and runtime.model_echo
        self.renamer = StreamRenamer(call.exchange.model) if echo else None
        # Bytes before the first event, and those of an incomplete event.
        self.pending = self.tail = b""
        # The frame with an error, or one that is unreadable.
        self.failed_frame: Frame | None = None
        # What the parser returned at the end of the bytes.
        self.final_events: list[Event] = []

    async def run(self) -> None:
        """Relay the whole stream. Raises GatewayError only before the first frame."""
        out, upstream_response = self.client_stream, self.upstream_response
        tap, recorder = self.call.attempt.tap, self.call.recorder
        decoder, feed_parser = self.decoder, self.parser.feed
        stream_bytes = withheld_bytes = 0
        while True:
            try:
                data = await upstream_response.read()
            except GatewayError:
                if not self._is_complete():
                    raise
                break
            if not data:
                break
            recorder.record_upstream(data)
            stream_bytes += len(data)
            events: list[Event] = []
            frames = decode_frames(decoder, data)
            for frame in frames:
                if not (frame_events := feed_parser(frame)):
                    withheld_bytes += len(frame.data)
                    continue
                events += frame_events
                if type(events[-1]) is Failed:
                    self.failed_frame = frame
                    later_frames = frames[frames.index(frame) + 1 :]
                    events[-1] = self._later_failure(frame, later_frames) or events[-1]
                    break
                if type(events[-1]) is End and events[-1].error_follows:
                    self.failed_frame = frame
                    if self._lacks_choices():
                        events[-1] = self._failure_in(frame) or events[-1]
                    break
            if events:
                tap.feed(events)
                if out.folder is not None:
                    out.fold(events)
                if tap.error is not None:
                    events, data = self._redact_error(events), self._without_secrets(data)
                    if not out.has_begun:
                        raise GatewayError(tap.error)
                if out.guard is not None:
                    events = await out.check_guardrails(events)
            refuse_endless_stream(stream_bytes, withheld_bytes, tap.block_count)
            if self.failed_frame is not None and self.passed:
                if tap.error is None:
                    await self._finish_before(self.failed_frame, data)
                    return
                if out.client.started:
                    await self._send_failed_frame(self.failed_frame, tap.error, data)
                    return
            chunk = self._sendable_bytes(data) if self.passed else out.render(events)
            if not out.has_begun:
                chunk = self.pending + chunk
                if not events:
                    self.pending = chunk
                    out.ping_before_events()
                    continue
                await out.begin(tap.error)
            if tap.finished:
                await out.finish(chunk)
                await drain_upstream(upstream_response)
                return
            if chunk:
                await out.send(chunk, reset=bool(events))  # comments do not reset the idle timeout
            elif events:
                out.deadlines.reset()
        await self._handle_upstream_end()

    def _later_failure(self, failed_frame: Frame, later_frames: list[Frame]) -> Failed | None:
        """The error in a later event than an unreadable one, for which it is the reason."""
        if self._is_native_failure(failed_frame):
            return None
        for frame in filter(self._is_native_failure, later_frames):
            if (failed_event := self._failure_in(frame)) is not None:
                return failed_event
        return None

    def _failure_in(self, frame: Frame) -> Failed | None:
        """The error of a frame, without regard to the events before it."""
        events = self.new_parser().feed(frame)
        return next((event for event in events if isinstance(event, Failed)), None)

    async def _finish_before(self, frame: Frame, data: bytes) -> None:
        """End a passed stream that is complete without the error in this frame."""
        out = self.client_stream
        events = self._renamed(self._events_before(frame, self._complete_events(data)))
        if not out.client.started:
            events = self.pending + events
            await out.begin(None)
        await out.finish(events)
        await drain_upstream(self.upstream_response)

    async def _send_failed_frame(self, frame: Frame, error: Error, data: bytes) -> None:
        """Send the last bytes of a passed stream that failed.

        An error in a form that the client's API does not have is replaced: a client ignores it, or
        fails on it, and would take the stream for complete.
        """
        out = self.client_stream
        if self._is_native_failure(frame):
            await out.finish(self._sendable_bytes(data))
            await drain_upstream(self.upstream_response)
            return
        events = self._renamed(self._events_before(frame, self._complete_events(data)))
        if events:
            await out.send(events, reset=True)
        await self.send_error(error)

    def _events_before(self, frame: Frame, events: bytes) -> bytes:
        """The complete events before the one with this frame."""
        if isinstance(self.decoder, eventstream.Decoder):
            return events[: eventstream.find_message(events, frame.data)]
        first_line = frame.data.partition(b"\n")[0]
        positions = [events.find(name + first_line) for name in (b"data: ", b"data:", b"")]
        before = events[: next((position for position in positions if position >= 0), 0)]
        ends = [before.rfind(t) + len(t) for t in self.frame_terminators if t in before]
        return before[: max(ends, default=0)]

    def _is_native_failure(self, frame: Frame) -> bool:
        """Whether a frame has the form of the client's API, by its name and fields."""
        payload = decode_or_none(frame.data)
        if not isinstance(payload, dict):
            return False
        if isinstance(self.decoder, eventstream.Decoder):
            return True
        first_bytes = self.client_stream.first_bytes
        if first_bytes.startswith(b"event:") or b"\nevent:" in first_bytes:
            return bool(frame.event) and payload.get("type") == frame.event
        if payload.get("error"):  # Ollama's is a text
            expected_type = str if isinstance(self.decoder, ndjson.Decoder) else dict
            return isinstance(payload["error"], expected_type)
        return any(isinstance(payload.get(name), dict | list) for name in _CONTENT_FIELDS)

    def _sendable_bytes(self, data: bytes) -> bytes:
        """The part of the upstream's bytes to send to the client now."""
        out = self._complete_events(data)
        return out if self.renamer is None else self._renamed(out)

    def _renamed(self, events: bytes) -> bytes:
        """Complete events with the name of the model that the client requested."""
        if self.renamer is None:
            return events
        return self.renamer.feed(events, self.call.attempt.tap.model)

    def _complete_events(self, data: bytes) -> bytes:
        """The complete events in the data; an incomplete one is held back.

        A client would fail on a truncated event before it could read the error.
        """
        if not self.decoder.pending and not self.tail:
            return data
        data = self.tail + data
        if not self.decoder.pending:
            self.tail = b""
            return data
        ends = ((data.rfind(end), len(end)) for end in self.frame_terminators)
        cut = max((position + length for position, length in ends if position >= 0), default=0)
        if isinstance(self.decoder, eventstream.Decoder):
            cut = len(data) - self.decoder.pending_bytes
        self.tail = data[cut:]
        return data[:cut]

    def _redact_error(self, events: list[Event]) -> list[Event]:
        """The events of a failed stream with its error redacted: it may contain the key."""
        tap = self.call.attempt.tap
        if tap.error is not None:
            tap.error = self.secrets.redact(self.call.exchange.snapshot, tap.error)
        return [Failed(tap.error) if isinstance(e, Failed) and tap.error else e for e in events]

    def _without_secrets(self, data: bytes) -> bytes:
        """The bytes of a failed stream without secrets, including those held back."""
        secrets = [form.encode() for form in self.secrets.forms(self.call.exchange.snapshot)]
        scrubbed_data = scrub_bytes(self.tail + data, secrets)
        self.tail = scrubbed_data[: len(self.tail)]
        return scrubbed_data[len(self.tail) :]

    async def _handle_upstream_end(self) -> None:
        """Handle the end of the bytes: send what the parser still returns, or the error."""
        out, tap = self.client_stream, self.call.attempt.tap
        events = self._read_final_events()
        tap.feed(events)
        out.fold(events)
        failed_event = next((e for e in events if isinstance(e, Failed)), None)
        events = await out.check_guardrails(events)
        if not out.client.started:
            await out.begin(failed_event.error if failed_event else None)
            await out.client.write(self.pending)
        if failed_event is not None:
            await self.send_error(failed_event.error)
            return
        if not self.passed:
            await out.finish(out.render(events))
            return
        self.tail, remaining_bytes = b"", self.tail
        await out.finish(self._renamed(remaining_bytes))

    async def send_error(self, error: Error) -> None:
        """Send the error in the client's dialect, unless the response is complete without it."""
        if error.kind == "timeout" and self._is_complete():
            await self._handle_upstream_end()
            return
        self.note_reported_usage()
        await self.client_stream.fail(error)

    def _is_complete(self) -> bool:
        """Whether a stream that broke off contains the whole response: only its last bytes miss."""
        if self.call.attempt.tap.finished or self._lacks_choices():
            return False
        return any(isinstance(event, End) for event in self._read_final_events())

    def _lacks_choices(self) -> bool:
        """Whether a choice that the upstream was asked for has not begun in a stream that broke.

        A stream that ends normally may have fewer: some providers ignore `n`.
        """
        if CHOICE_FIELDS.isdisjoint(self.call.exchange.fields):
            return False
        if not isinstance(self.parser, ChoicesParser):
            return False
        fields = msgspec.json.decode(self.prepared_request.content, type=dict[str, msgspec.Raw])
        return 1 + len(self.parser.alternatives) < requested_choices(fields)

    def _read_final_events(self) -> list[Event]:
        """The final events; the tail becomes a complete event, or is dropped."""
        if not self.final_events:
            last_frames = final_frames(self.decoder)
            # A client drops an event that no blank line ends.
            self.tail = self.tail + self.frame_terminators[0] if last_frames and self.tail else b""
            self.final_events = close_stream(last_frames, self.parser)
        return self.final_events

    def note_reported_usage(self) -> None:
        """Note the usage that the chunks of a stream that broke off reported."""
        tap = self.call.attempt.tap
        if tap.started and not tap.finished:
            tap.feed([event for event in self._read_final_events() if type(event) is UsageUpdate])


async def drain_upstream(upstream_response: UpstreamResponse) -> None:
    """Read what follows a complete response; an upstream may leave its connection open."""
    with contextlib.suppress(TimeoutError, GatewayError):
        async with asyncio.timeout(LINGER_S):
            while await upstream_response.read():
                pass


async def relay_to_end(
    relay_response: Awaitable[None],
    send_error: Callable[[Error], Awaitable[None]],
    client: Client,
    deadlines: Deadlines,
) -> None:
    """Relay a response; an error after its first byte is sent to the client by `send_error`.

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
