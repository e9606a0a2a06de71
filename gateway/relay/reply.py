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

from gateway.canon.adaptation import Adaptation, as_report
from gateway.canon.errors import Error, GatewayError, bad_upstream
from gateway.canon.events import Event, Failed
from gateway.canon.fold import Folder, fold, unfold
from gateway.canon.response import Response
from gateway.dialects.base import Exchange, StreamParser
from gateway.framing.eventstream import Corrupt
from gateway.framing.kinds import CUTS, FrameDecoder
from gateway.framing.sse import Frame, FrameTooLarge
from gateway.relay.call import Call, Client, Header
from gateway.relay.prepare import Prepared
from gateway.relay.settle import settle
from gateway.relay.upstream import Answer
from gateway.relay.watch import Watch
from gateway.routing.snapshot import Target

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

PING_S = 15.0
# How long to wait for the end of a connection whose answer is complete, so that it can be kept.
LINGER_S = 1.0
_STREAM_KINDS: dict[str, Header] = {
    **{name: (b"content-type", cut.kind) for name, cut in CUTS.items()},
    "array": (b"content-type", b"application/json; charset=utf-8"),
}
_STREAM_HEADERS: list[Header] = [
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
_JSON_HEADERS: list[Header] = [(b"content-type", b"application/json")]
# Answer headers that clients of the same dialect read. Never set-cookie.
_LIMITS = ("x-ratelimit-", "anthropic-ratelimit-")
_TELLING = ("openai-processing-ms", "openai-version")
_PASSED = (*_LIMITS, *_TELLING)


async def reply(
    runtime: Runtime,
    call: Call,
    client: Client,
    watch: Watch,
    target: Target,
    prepared: Prepared,
    answer: Answer,
) -> None:
    """Send a successful answer on. Raises GatewayError only before the first byte."""
    exchange = exchange_of(call)
    kind = answer.kind
    streamed = is_stream(prepared, kind)
    if not streamed and "html" in kind:
        text = await answer.read_all()
        call.recorder.upstream(text)
        raise bad_upstream(f"the upstream answered with {kind.partition(';')[0]}, not JSON")
    if call.stream and streamed:
        await _Stream(runtime, call, client, watch, target, prepared, exchange).run(answer)
        return
    if streamed:
        response = fold(await _all_events(call, target, prepared, answer))
        call.end_wait()
        await _send_whole(runtime, call, client, response, exchange, target)
        return
    data = await answer.read_all()
    call.end_wait()
    call.recorder.upstream(data)
    response = _parse_whole(call, target, prepared, data)
    if call.stream:
        await _send_unfolded(runtime, call, client, response, exchange, target)
        return
    passed = data if call.passthrough else None
    passed_headers = passed_headers_of(answer, call) if call.passthrough else []
    await _send_whole(runtime, call, client, response, exchange, target, passed, passed_headers)


def exchange_of(call: Call) -> Exchange:
    """What the client's renderer must know of this call."""
    route = call.route
    thinking: str = call.dialect.visible
    include_usage = False
    echo: dict[str, Any] = {}
    if not call.passthrough:
        request = call.request
        echo = call.dialect.echo(call.body) | call.told
        include_usage = bool(request.include_usage)
        if request.thinking is not None and request.thinking.visible is not None:
            thinking = request.thinking.visible
    return Exchange(
        id=call.answer_id or call.id.removeprefix("req_"),
        created=int(call.started_at),
        model=call.model,
        include_usage=include_usage,
        thinking=thinking,  # type: ignore[arg-type]
        reasoning_field=route.reasoning_field if route else "reasoning_content",  # type: ignore[arg-type]
        framing=call.framing,
        endpoint=call.endpoint,
        echo=echo,
    )


def is_stream(prepared: Prepared, kind: str) -> bool:
    """Whether an answer of this content type is a stream, as the upstream's dialect cuts it."""
    return CUTS[prepared.dialect.framing].mark in kind


def decode(data: bytes) -> Any:
    """An upstream's JSON. Raises GatewayError for anything else."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise bad_upstream("the upstream's answer is not valid JSON") from None


def _parse_whole(call: Call, target: Target, prepared: Prepared, data: bytes) -> Response:
    if call.passthrough and not call.stream and call.attempted is None and not call.remembers:
        seen = call.dialect.glance(data)
        if seen is not None:
            return seen
    response = prepared.dialect.provider.parse_response(
        decode(data), target.model.traits, prepared.rendered
    )
    if response.finish.reason == "malformed" and not call.passthrough:
        message = response.finish.explanation or "the model's output is malformed"
        raise GatewayError(Error(kind="malformed_output", message=message))
    return response


async def _all_events(
    call: Call, target: Target, prepared: Prepared, answer: Answer
) -> list[Event]:
    """A stream that nobody asked for, read to its end."""
    dialect = prepared.dialect
    decoder = CUTS[dialect.framing].decoder()
    parser = dialect.provider.stream_parser(target.model.traits, prepared.rendered)
    events: list[Event] = []
    while data := await answer.read():
        call.recorder.upstream(data)
        for frame in _frames(decoder, data):
            events += parser.feed(frame)
    return events + parser.close()


async def _send_whole(
    runtime: Runtime,
    call: Call,
    client: Client,
    response: Response,
    exchange: Exchange,
    target: Target,
    passed: bytes | None = None,
    headers: list[Header] | None = None,
) -> None:
    call.tap.note_response(response)
    if call.remembers:
        runtime.reasoning.note(call, response.parts)
    if passed is None:
        body, report = call.dialect.client.render_response(response, exchange)
        _report(call, report)
        passed = msgspec.json.encode(body)
        call.recorder.client(passed)
    call.last = passed
    if call.remembers:
        await runtime.reasoning.stored()
    client.status = 200
    client.headers = [*_JSON_HEADERS, *answer_headers(call, target), *(headers or [])]
    settle(runtime, call, client)
    await client.reply(200, client.headers, passed)


async def _send_unfolded(
    runtime: Runtime,
    call: Call,
    client: Client,
    response: Response,
    exchange: Exchange,
    target: Target,
) -> None:
    """A whole answer to a client that asked for a stream."""
    call.passthrough = call.recorder.passthrough = False
    renderer = call.dialect.client.stream_renderer(exchange)
    body = b"".join(renderer.feed(event) for event in unfold(response))
    call.tap.note_response(response)
    if call.remembers:
        runtime.reasoning.note(call, response.parts)
    call.recorder.client(body)
    call.last = body
    _report(call, tuple(renderer.report))
    if call.remembers:
        await runtime.reasoning.stored()
    client.status = 200
    client.headers = [*stream_headers(call), *answer_headers(call, target)]
    settle(runtime, call, client)
    await client.head(200, client.headers)
    await client.end(body)


def _report(call: Call, report: tuple[Adaptation, ...]) -> None:
    call.adaptations += as_report(report)


def _frames(decoder: FrameDecoder, data: bytes) -> list[Frame]:
    try:
        return decoder.feed(data)
    except Corrupt as error:
        raise bad_upstream(f"the upstream's stream is corrupt: {error}") from None
    except FrameTooLarge:
        raise bad_upstream("the upstream sent an event that is too large") from None


def stream_headers(call: Call) -> list[Header]:
    """The headers of a stream, as the client has it cut."""
    return [_STREAM_KINDS[call.framing], *_STREAM_HEADERS]


def answer_headers(call: Call, target: Target) -> list[Header]:
    """The gateway's own headers: ids, who answered, what translation changed."""
    return headers_of(call, target.model.label)


def headers_of(call: Call, label: str) -> list[Header]:
    """The same by the name of the target that answered."""
    request_id = call.id.encode()
    headers = [
        (b"x-request-id", request_id),
        (b"request-id", request_id),
        (b"x-dragoman-target", _ascii(label)),
        *call.limit_headers,
    ]
    if call.passage is not None:
        headers += call.passage.headers()
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


def passed_headers_of(answer: Answer, call: Call) -> list[Header]:
    """The answer headers that a client of the same dialect reads.

    An upstream's limits are not the client's where it has limits of its own here.
    """
    wanted = _TELLING if call.limit_headers else _PASSED
    return [
        (name.encode("latin-1"), _ascii(value))
        for name, value in answer.headers.items()
        if name.startswith(wanted)
    ]


class _Stream:
    """One streamed answer. `run` returns when the client has its end, good or bad."""

    def __init__(
        self,
        runtime: Runtime,
        call: Call,
        client: Client,
        watch: Watch,
        target: Target,
        prepared: Prepared,
        exchange: Exchange,
    ) -> None:
        provider = target.model.provider
        dialect = prepared.dialect
        self.runtime, self.call, self.client, self.watch = runtime, call, client, watch
        self.target = target
        self.idle_s = (target.timeouts or provider.timeouts).idle_s
        self.cut = CUTS[dialect.framing]
        self.decoder = self.cut.decoder()
        self.parser: StreamParser = dialect.provider.stream_parser(
            target.model.traits, prepared.rendered
        )
        self.renderer = call.dialect.client.stream_renderer(exchange)
        self.passed = call.passthrough
        self.folder = Folder() if call.remembers else None
        self.held = b""
        self.tail = b""
        self.loop = asyncio.get_running_loop()
        self.pinger: asyncio.TimerHandle | None = None

    async def run(self, answer: Answer) -> None:
        """Relay the whole stream. Raises GatewayError only before the first frame."""
        try:
            await to_its_end(self._relay(answer), self._break, self.client, self.watch)
        finally:
            if self.pinger is not None:
                self.pinger.cancel()

    async def _relay(self, answer: Answer) -> None:
        call, tap, recorder, watch = self.call, self.call.tap, self.call.recorder, self.watch
        while data := await answer.read():
            recorder.upstream(data)
            events: list[Event] = []
            for frame in _frames(self.decoder, data):
                events += self.parser.feed(frame)
            if events:
                self._read(events)
            out = self._whole(data) if self.passed else b"".join(map(self.renderer.feed, events))
            if not self.client.started:
                out = self.held + out
                if not events:
                    self.held = out
                    continue
                await self._begin(tap.error)
            if tap.over:
                await self._finish(out)
                await self._linger(answer)
                return
            if out:
                if not self.passed:
                    recorder.client(out)
                watch.hold(touched=bool(events))  # comments that are passed on are no sign of life
                await self.client.write(out)
                watch.resume()
            elif events:
                watch.touch()
        await self._close(call)

    def _read(self, events: list[Event]) -> None:
        """Read along; what the client can not carry is remembered at the end."""
        tap = self.call.tap
        tap.feed(events)
        if self.folder is None or tap.error is not None:
            return
        for event in events:
            self.folder.feed(event)
        if tap.over:
            self.runtime.reasoning.note(self.call, self.folder.close().parts)

    def _whole(self, data: bytes) -> bytes:
        """The whole events of what came; a begun one is held until the rest is there.

        A client would choke on a torn event before it could read that the stream broke.
        """
        if not self.decoder.pending and not self.tail:
            return data
        data = self.tail + data
        if not self.decoder.pending:
            self.tail = b""
            return data
        ends = ((data.rfind(end), len(end)) for end in self.cut.ends)
        cut = max((at + length for at, length in ends if at >= 0), default=0)
        self.tail = data[cut:]
        return data[:cut]

    async def _begin(self, error: Error | None) -> None:
        """The first frame is here: commit to this target."""
        if error is not None:
            raise GatewayError(error)
        call = self.call
        call.end_wait()
        call.attempts[-1].first_byte_ms = call.ms()
        self.watch.expect(self.idle_s, "idle")
        self.pinger = self.loop.call_later(PING_S, self._ping)
        await self.client.head(200, [*stream_headers(call), *answer_headers(call, self.target)])

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
            await self.client.write(self.held)
        if failed is not None:
            await self._break(failed.error)
            return
        out = self.tail if self.passed else b"".join(map(self.renderer.feed, events))
        await self._finish(out)

    async def _finish(self, out: bytes) -> None:
        """Settle, then send the last bytes."""
        call = self.call
        if not self.passed:
            call.recorder.client(out)
        call.last = out
        if call.tap.error is not None:
            call.error, call.outcome = call.tap.error, "cut"
        _report(call, tuple(self.renderer.report))
        self.watch.hold()
        if call.remembers:
            await self.runtime.reasoning.stored()
        settle(self.runtime, call, self.client)
        await self.client.end(out)

    async def _break(self, error: Error) -> None:
        """Tell the client in its own dialect that the stream broke; never a clean end."""
        call = self.call
        call.error, call.outcome = error, "cut"
        out = call.last = self.renderer.feed(Failed(error))
        call.recorder.client(out)
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
    watch: Watch,
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
        if not client.started or watch.reason in {None, "client_gone"}:
            raise
        watch.absorb()
        await tell(stopped(watch.reason))


def stopped(reason: str | None) -> Error:
    """The error for a request that its watch ended."""
    kind = {"drain": "overloaded", "body": "invalid_request"}.get(reason or "", "timeout")
    return Error(kind=kind, message=_STOPPED.get(reason or "", "the request was ended"))
