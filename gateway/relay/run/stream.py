"""An upstream's answer -> the client's: whole or streamed, passed on or translated.

Until the first frame nothing is sent to the client, so a failure raises and
another target may be tried. After it, a failure is told in the client's stream.
The log row is settled before the last bytes leave: an answer that a client has
in full is in the journal.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.canon.adaptation import Adaptation, adaptation_rows
from gateway.canon.errors import Error, GatewayError, bad_upstream
from gateway.canon.events import End, Event, Failed, UsageUpdate
from gateway.canon.fold import ResponseBuilder, fold_events, unfold_response
from gateway.canon.response import Response
from gateway.dialects.base import ResponseContext, StreamParser
from gateway.framing.eventstream import CorruptMessage
from gateway.framing.formats import STREAM_FORMATS, FrameDecoder
from gateway.framing.sse import Frame, FrameTooLarge
from gateway.providers.redact import scrub_bytes
from gateway.relay.event_loop import offload
from gateway.relay.exchange.call import Call, Client, Header
from gateway.relay.exchange.deadlines import Deadlines
from gateway.relay.exchange.request_features import estimate_tokens
from gateway.relay.exchange.usage_estimate import usage_for_client
from gateway.relay.run.model_echo import StreamRenamer, replace_model
from gateway.relay.run.settle import settle
from gateway.relay.translate.prepare import Prepared
from gateway.relay.upstream.client import Answer
from gateway.routing.snapshot import Target

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

PING_S = 15.0
# A target's name is sent back so far: names of models may be the client's own words.
MAX_TARGET_CHARS = 256
MAX_PASSED_CHARS = 256
# How long to wait for the end of a connection whose answer is complete, so that it can be kept.
LINGER_S = 1.0
_STREAM_KINDS: dict[str, Header] = {
    **{name: (b"content-type", cut.content_type) for name, cut in STREAM_FORMATS.items()},
    "array": (b"content-type", b"application/json; charset=utf-8"),
}
_STREAM_HEADERS: list[Header] = [
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
_JSON_HEADERS: list[Header] = [(b"content-type", b"application/json")]
# Answer headers that clients of the same dialect read. Never set-cookie.
_LIMITS = ("x-ratelimit-", "anthropic-ratelimit-")
_INFORMATIVE_HEADERS = ("openai-processing-ms", "openai-version")
_PASSED_HEADERS = (*_LIMITS, *_INFORMATIVE_HEADERS)


async def reply(
    runtime: Runtime,
    call: Call,
    client: Client,
    deadlines: Deadlines,
    target: Target,
    prepared: Prepared,
    answer: Answer,
) -> None:
    """Send a successful answer on. Raises GatewayError only before the first byte."""
    exchange = await offload.run(call.offload_size, exchange_of, call)
    kind = answer.kind
    streamed = is_stream(prepared, kind)
    if not streamed and "html" in kind:
        text = await answer.read_all()
        call.recorder.record_upstream(text)
        raise bad_upstream(f"the upstream answered with {kind.partition(';')[0]}, not JSON")
    passed_headers = passed_headers_of(answer, call) if is_alike(call, prepared) else []
    if call.stream and streamed:
        stream = _Stream(
            runtime, call, client, deadlines, target, prepared, exchange, passed_headers
        )
        await stream.run(answer)
        return
    if streamed:
        response = fold_events(await _all_events(call, target, prepared, answer))
        call.end_upstream_wait()
        await _send_response(
            runtime, call, client, response, exchange, target, headers=passed_headers
        )
        return
    data = await answer.read_all()
    call.end_upstream_wait()
    call.recorder.record_upstream(data)
    size = len(data) if not call.passthrough or len(data) >= offload.SCANNED_BYTES else 0
    response = await offload.run(size, _parse_response, call, target, prepared, data)
    if call.stream:
        size = len(data)
        await _send_unfolded(
            runtime, call, client, response, exchange, target, passed_headers, size
        )
        return
    passed = echo_model(runtime, call, data, response.model) if call.passthrough else None
    await _send_response(
        runtime, call, client, response, exchange, target, passed, passed_headers, size=len(data)
    )


def exchange_of(call: Call) -> ResponseContext:
    """What the client's renderer must know of this call."""
    route = call.route
    thinking: str = call.dialect.default_reasoning_display
    include_usage = False
    echo: dict[str, Any] = {}
    prompt_tokens: int | None = None
    if not call.passthrough:
        request = call.request
        echo = call.dialect.read_echo(call.body) | call.echoed_fields
        include_usage = bool(request.include_usage)
        if request.thinking is not None and request.thinking.visible is not None:
            thinking = request.thinking.visible
        if call.stream and call.dialect.reports_early_usage:
            prompt_tokens = estimate_tokens(call)
    return ResponseContext(
        id=call.response_id or call.id.removeprefix("req_"),
        created=int(call.started_at),
        model=call.model,
        include_usage=include_usage,
        reasoning_display=thinking,  # type: ignore[arg-type]
        reasoning_field=route.reasoning_field if route else "reasoning_content",  # type: ignore[arg-type]
        framing=call.framing,
        endpoint=call.endpoint,
        echoed_fields=echo,
        prompt_tokens_estimate=prompt_tokens,
    )


def is_stream(prepared: Prepared, kind: str) -> bool:
    """Whether an answer of this content type is a stream, as the upstream's dialect cuts it."""
    return STREAM_FORMATS[prepared.dialect.framing].content_type_marker in kind


def decode(data: bytes) -> Any:
    """An upstream's JSON. Raises GatewayError for anything else."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise bad_upstream("the upstream's answer is not valid JSON") from None


def _parse_response(call: Call, target: Target, prepared: Prepared, data: bytes) -> Response:
    if (
        call.passthrough
        and not call.stream
        and call.on_attempt is None
        and not call.remembers_reasoning
    ):
        seen = call.dialect.peek_usage(data)
        if seen is not None:
            return seen
    response = prepared.dialect.provider.parse_response(
        decode(data), target.model.traits, prepared.rendered
    )
    if response.finish.reason == "malformed" and not call.passthrough:
        message = response.finish.explanation or "the model's output is malformed"
        raise GatewayError(Error(kind="malformed_output", message=message))
    return response


def echo_model(runtime: Runtime, call: Call, data: bytes, upstream_model: str) -> bytes:
    """A whole answer that is passed on, with the model's name as the client asked for it."""
    return replace_model(data, upstream_model, call.model) if runtime.model_echo else data


async def _all_events(
    call: Call, target: Target, prepared: Prepared, answer: Answer
) -> list[Event]:
    """A stream that nobody asked for, read to its end."""
    dialect = prepared.dialect
    decoder = STREAM_FORMATS[dialect.framing].new_decoder()
    parser = dialect.provider.stream_parser(target.model.traits, prepared.rendered)
    events: list[Event] = []
    while data := await answer.read():
        call.recorder.record_upstream(data)
        for frame in _frames(decoder, data):
            events += parser.feed(frame)
    return events + parser.close()


async def _send_response(
    runtime: Runtime,
    call: Call,
    client: Client,
    response: Response,
    exchange: ResponseContext,
    target: Target,
    passed: bytes | None = None,
    headers: list[Header] | None = None,
    size: int = 0,
) -> None:
    call.tap.note_response(response)
    if call.remembers_reasoning:
        runtime.reasoning.store_answer(call, response.parts)
    if passed is None:
        passed = await offload.run(size, _rendered, call, response, exchange)
        call.recorder.record_client(passed)
    call.final_bytes = passed
    if call.remembers_reasoning:
        await runtime.reasoning.wait_stored()
    client.status = 200
    client.headers = [*_JSON_HEADERS, *answer_headers(call, target), *(headers or [])]
    settle(runtime, call, client)
    await client.reply(200, client.headers, passed)


def _with_usage(call: Call, response: Response, exchange: ResponseContext) -> Response:
    usage = usage_for_client(call, exchange)
    return response if usage is None else msgspec.structs.replace(response, usage=usage)


async def _send_unfolded(
    runtime: Runtime,
    call: Call,
    client: Client,
    response: Response,
    exchange: ResponseContext,
    target: Target,
    headers: list[Header],
    size: int,
) -> None:
    """A whole answer to a client that asked for a stream."""
    call.passthrough = call.recorder.passthrough = False
    renderer = call.dialect.client.stream_renderer(exchange)
    call.tap.note_response(response)
    response = _with_usage(call, response, exchange)
    body = await offload.run(size, lambda: b"".join(map(renderer.feed, unfold_response(response))))
    if call.remembers_reasoning:
        runtime.reasoning.store_answer(call, response.parts)
    call.recorder.record_client(body)
    call.final_bytes = body
    _report(call, tuple(renderer.report))
    if call.remembers_reasoning:
        await runtime.reasoning.wait_stored()
    client.status = 200
    client.headers = [*stream_headers(call), *answer_headers(call, target), *headers]
    settle(runtime, call, client)
    await client.head(200, client.headers)
    await client.end(body)


def _rendered(call: Call, response: Response, exchange: ResponseContext) -> bytes:
    response = _with_usage(call, response, exchange)
    body, report = call.dialect.client.render_response(response, exchange)
    _report(call, report)
    return msgspec.json.encode(body)


def _report(call: Call, report: tuple[Adaptation, ...]) -> None:
    call.adaptations += adaptation_rows(report)


def _frames(decoder: FrameDecoder, data: bytes) -> list[Frame]:
    try:
        return decoder.feed(data)
    except CorruptMessage as error:
        raise bad_upstream(f"the upstream's stream is corrupt: {error}") from None
    except FrameTooLarge:
        raise bad_upstream("the upstream sent an event that is too large") from None


def stream_headers(call: Call) -> list[Header]:
    """The headers of a stream, as the client has it cut."""
    return [_STREAM_KINDS[call.framing], *_STREAM_HEADERS]


def answer_headers(call: Call, target: Target) -> list[Header]:
    """The gateway's own headers: ids, who answered, what translation changed."""
    return headers_of(call, target.model.label)


def id_headers(call: Call) -> list[Header]:
    """The ids of a request: the one that its client chose is told back, beside the log's."""
    echoed = call.echoed_id.encode()
    headers = [(b"x-request-id", echoed), (b"request-id", echoed)]
    if call.client_request_id:
        headers.append((b"x-dragoman-request-id", call.id.encode()))
    return headers


def headers_of(call: Call, label: str) -> list[Header]:
    """The same by the name of the target that answered."""
    headers = [
        *id_headers(call),
        (b"x-dragoman-target", _ascii(label[:MAX_TARGET_CHARS])),
        *call.limit_headers,
    ]
    if call.cache_lookup is not None:
        headers += call.cache_lookup.headers()
    if len(call.attempts) > 1:
        tried = sum(1 for attempt in call.attempts if attempt.skipped is None)
        if tried > 1:
            headers.append((b"x-dragoman-attempts", b"%d" % tried))
    for action in ("dropped", "approximated") if call.adaptations else ():
        fields = [row["field"] for row in call.adaptations if row["action"] == action]
        if fields:
            unique = ", ".join(dict.fromkeys(fields))
            headers.append((b"x-dragoman-" + action.encode(), _ascii(unique)[:2048]))
    return headers


def _ascii(text: str) -> bytes:
    """A header value: printable ASCII only, so that nothing can end the header early."""
    if text.isascii() and text.isprintable():
        return text.encode("ascii")
    return "".join(c if " " <= c <= "~" else "?" for c in text).encode("ascii")


def is_alike(call: Call, prepared: Prepared) -> bool:
    """Whether the upstream speaks the client's dialect, so that its headers mean the same."""
    return prepared.rendered is None or prepared.dialect.name == call.dialect.name


def passed_headers_of(answer: Answer, call: Call) -> list[Header]:
    """The answer headers that a client of the same dialect reads.

    An upstream's limits are not the client's where it has limits of its own here.
    """
    prefixes = _INFORMATIVE_HEADERS if call.limit_headers else _PASSED_HEADERS
    return [
        (name.encode("latin-1"), _ascii(value))
        for name, value in answer.headers.items()
        if name.startswith(prefixes) and len(name) + len(value) <= MAX_PASSED_CHARS
    ]


class _Stream:
    """One streamed answer. `run` returns when the client has its end, good or bad."""

    def __init__(
        self,
        runtime: Runtime,
        call: Call,
        client: Client,
        deadlines: Deadlines,
        target: Target,
        prepared: Prepared,
        exchange: ResponseContext,
        passed_headers: list[Header],
    ) -> None:
        provider = target.model.provider
        dialect = prepared.dialect
        self.runtime, self.call, self.client, self.deadlines = runtime, call, client, deadlines
        self.target = target
        self.idle_s = (target.timeouts or provider.timeouts).idle_s
        self.cut = STREAM_FORMATS[dialect.framing]
        self.decoder = self.cut.new_decoder()
        self.parser: StreamParser = dialect.provider.stream_parser(
            target.model.traits, prepared.rendered
        )
        self.exchange = exchange
        self.renderer = call.dialect.client.stream_renderer(exchange)
        self.passed = call.passthrough
        echo = self.passed and runtime.model_echo
        self.renamer = StreamRenamer(call.model) if echo else None
        self.passed_headers = passed_headers
        self.folder = ResponseBuilder() if call.remembers_reasoning else None
        self.pending = b""
        self.tail = b""
        self.loop = asyncio.get_running_loop()
        self.pinger: asyncio.TimerHandle | None = None

    async def run(self, answer: Answer) -> None:
        """Relay the whole stream. Raises GatewayError only before the first frame."""
        try:
            await to_its_end(self._relay(answer), self._break, self.client, self.deadlines)
        finally:
            if self.pinger is not None:
                self.pinger.cancel()

    async def _relay(self, answer: Answer) -> None:
        call, tap, recorder, deadlines = (
            self.call,
            self.call.tap,
            self.call.recorder,
            self.deadlines,
        )
        while data := await answer.read():
            recorder.record_upstream(data)
            events: list[Event] = []
            for frame in _frames(self.decoder, data):
                events += self.parser.feed(frame)
            if events:
                self._read(events)
                if tap.error is not None:
                    events, data = self._redact(events), self._clean(data)
            chunk = self._passed(data) if self.passed else self._render(events)
            if not self.client.started:
                chunk = self.pending + chunk
                if not events:
                    self.pending = chunk
                    continue
                await self._begin(tap.error)
            if tap.finished:
                await self._finish(chunk)
                await self._linger(answer)
                return
            if chunk:
                if not self.passed:
                    recorder.record_client(chunk)
                deadlines.pause(
                    reset=bool(events)
                )  # comments that are passed on are no sign of life
                await self.client.write(chunk)
                deadlines.resume()
            elif events:
                deadlines.reset()
        await self._close(call)

    def _read(self, events: list[Event]) -> None:
        """Read along; what the client can not carry is remembered at the end."""
        tap = self.call.tap
        tap.feed(events)
        if self.folder is None or tap.error is not None:
            return
        for event in events:
            self.folder.feed(event)
        if tap.finished:
            self.runtime.reasoning.store_answer(self.call, self.folder.close().parts)

    def _passed(self, data: bytes) -> bytes:
        """What of the upstream's bytes goes to the client now."""
        out = self._complete_events(data)
        return self.renamer.feed(out, self.call.tap.model) if self.renamer is not None else out

    def _render(self, events: list[Event]) -> bytes:
        """The client's bytes; before the end, counts that the provider has left out."""
        if self.call.tap.finished and events and isinstance(events[-1], End):
            usage = usage_for_client(self.call, self.exchange)
            if usage is not None:
                events = [*events[:-1], UsageUpdate(usage), events[-1]]
        return b"".join(map(self.renderer.feed, events))

    def _redact(self, events: list[Event]) -> list[Event]:
        """The events of a stream that failed: the upstream's words may repeat its key."""
        tap = self.call.tap
        if tap.error is not None:
            tap.error = self.runtime.redacted(self.call.snapshot, tap.error)
        return [Failed(tap.error) if isinstance(e, Failed) and tap.error else e for e in events]

    def _clean(self, data: bytes) -> bytes:
        """The bytes of a stream that failed, with those of it that are held back."""
        secrets = [form.encode() for form in self.runtime.secrets(self.call.snapshot)]
        cleaned = scrub_bytes(self.tail + data, secrets)
        self.tail = cleaned[: len(self.tail)]
        return cleaned[len(self.tail) :]

    def _complete_events(self, data: bytes) -> bytes:
        """The whole events of what came; a begun one is held until the rest is there.

        A client would choke on a torn event before it could read that the stream broke.
        """
        if not self.decoder.pending and not self.tail:
            return data
        data = self.tail + data
        if not self.decoder.pending:
            self.tail = b""
            return data
        ends = ((data.rfind(end), len(end)) for end in self.cut.frame_terminators)
        cut = max((position + length for position, length in ends if position >= 0), default=0)
        self.tail = data[cut:]
        return data[:cut]

    async def _begin(self, error: Error | None) -> None:
        """The first frame is here: commit to this target."""
        if error is not None:
            raise GatewayError(error)
        call = self.call
        call.end_upstream_wait()
        call.attempts[-1].first_byte_ms = call.elapsed_ms()
        self.deadlines.set_timeout(self.idle_s, "idle")
        self.pinger = self.loop.call_later(PING_S, self._ping)
        gateway_headers = [*stream_headers(call), *answer_headers(call, self.target)]
        await self.client.head(200, [*gateway_headers, *self.passed_headers])

    async def _close(self, call: Call) -> None:
        """The bytes are over: say what the parser still owes, or that it broke off."""
        events: list[Event] = []
        for frame in self.decoder.close():
            events += self.parser.feed(frame)
        events += self.parser.close()
        self._read(events)
        failed = next((e for e in events if isinstance(e, Failed)), None)
        if not self.client.started:
            await self._begin(failed.error if failed else None)
            await self.client.write(self.pending)
        if failed is not None:
            await self._break(failed.error)
            return
        if not self.passed:
            await self._finish(self._render(events))
            return
        self.tail, out = b"", self.tail
        out = self.renamer.feed(out, call.tap.model) if self.renamer is not None else out
        await self._finish(out)

    async def _finish(self, out: bytes) -> None:
        """Settle, then send the last bytes."""
        call = self.call
        if not self.passed:
            call.recorder.record_client(out)
        call.final_bytes = out
        if call.tap.error is not None:
            call.error, call.outcome = call.tap.error, "cut"
        _report(call, tuple(self.renderer.report))
        self.deadlines.pause()
        if call.remembers_reasoning:
            await self.runtime.reasoning.wait_stored()
        settle(self.runtime, call, self.client)
        await self.client.end(out)

    async def _break(self, error: Error) -> None:
        """Tell the client in its own dialect that the stream broke; never a clean end."""
        call = self.call
        error = self.runtime.redacted(call.snapshot, error)
        call.error, call.outcome = error, "cut"
        out = call.final_bytes = self.renderer.feed(Failed(error))
        call.recorder.record_client(out)
        settle(self.runtime, call, self.client)
        await self.client.end(out)

    async def _linger(self, answer: Answer) -> None:
        with contextlib.suppress(TimeoutError, GatewayError):
            async with asyncio.timeout(LINGER_S):
                while await answer.read():
                    pass

    def _ping(self) -> None:
        """Keep an idle client connection open; what was sent ends with a whole event."""
        now = time.perf_counter()
        self.pinger = self.loop.call_later(PING_S, self._ping)
        quiet = now - self.client.sent_at >= PING_S - 0.5
        if quiet and not self.call.settled:
            task = self.loop.create_task(self.client.write(self.call.dialect.keepalive))
            self.runtime.background.add(task)
            task.add_done_callback(self.runtime.background.discard)


_STOPPED = {
    "body": "the request body did not arrive in time",
    "first_byte": "the upstream did not begin to answer in time",
    "idle": "the upstream went silent in the middle of its answer",
    "total": "the upstream did not finish its answer in time",
    "drain": "the gateway is shutting down",
}


async def to_its_end(
    relaying: Awaitable[None],
    tell: Callable[[Error], Awaitable[None]],
    client: Client,
    deadlines: Deadlines,
) -> None:
    """Relay an answer; what breaks it after its first byte is told to the client by `tell`.

    Raises GatewayError and CancelledError before that, and where the client has gone.
    """
    try:
        await relaying
    except GatewayError as failure:
        if not client.started:
            raise
        await tell(failure.error)
    except asyncio.CancelledError:
        if not client.started or deadlines.reason in {None, "client_gone"}:
            raise
        deadlines.take_reason()
        await tell(stopped(deadlines.reason))


def stopped(reason: str | None) -> Error:
    """The error for a request that its deadlines ended."""
    kind = {"drain": "overloaded", "body": "invalid_request"}.get(reason or "", "timeout")
    return Error(kind=kind, message=_STOPPED.get(reason or "", "the request was ended"))
