"""The answer of a forwarded call on its way to the client.

JSON is read whole, as it has the counts and the ids; anything else, and every stream, goes
on as it comes. Files and pictures are in the log by their length alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.canon.errors import Error
from gateway.dialects import rerank
from gateway.framing.sse import Decoder, FrameTooLarge
from gateway.relay import batches, measure
from gateway.relay.call import Call, Client, Header
from gateway.relay.forward import ours, spoken_characters, state_of
from gateway.relay.reply import answer_headers, decode, passed_headers_of, to_its_end
from gateway.relay.settle import settle
from gateway.relay.upstream import MAX_REPLY_BYTES, Answer
from gateway.relay.watch import Watch
from gateway.routing.snapshot import Target

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

# Ten pictures of the largest size in base64.
MAX_PICTURES_BYTES = 256 * 1024 * 1024
# A whole picture stands in one event.
MAX_EVENT_BYTES = 64 * 1024 * 1024
# What a browser would run if somebody led it here.
_ACTIVE = ("html", "xml", "svg", "javascript", "ecmascript")
_SAFE: Header = (b"x-content-type-options", b"nosniff")


async def reply(
    runtime: Runtime,
    call: Call,
    client: Client,
    watch: Watch,
    target: Target,
    answer: Answer,
) -> None:
    """Send an answer on. Raises GatewayError only before the first byte."""
    _, operation = state_of(call)
    kind = answer.kind.partition(";")[0].strip().lower()
    if not operation.raw and (kind == "application/json" or kind.endswith("+json")):
        await _whole(runtime, call, client, target, answer)
        return
    await _Passing(runtime, call, client, watch, target, answer).run()


async def _whole(
    runtime: Runtime, call: Call, client: Client, target: Target, answer: Answer
) -> None:
    state, operation = state_of(call)
    pictures = operation.family.startswith("images/")
    data = await answer.read_all(MAX_PICTURES_BYTES if pictures else MAX_REPLY_BYTES)
    call.end_wait()
    state.measured = measure.read(operation.family, data)
    call.tap.started = True
    shown = msgspec.json.encode(measure.described(answer.kind, data)) if pictures else data
    call.recorder.upstream(shown)
    out = await _rewritten(runtime, call, target, data)
    if out is not data:
        call.passthrough = call.recorder.passthrough = False
        call.recorder.client(out)
    elif not call.recorder.passthrough:
        call.recorder.client(shown)
    call.attempts[-1].received_bytes = len(data)
    client.status = 200
    client.headers = [
        (b"content-type", b"application/json"),
        *answer_headers(call, target),
        *passed_headers_of(answer, call),
    ]
    settle(runtime, call, client)
    await client.reply(200, client.headers, out)


async def _rewritten(runtime: Runtime, call: Call, target: Target, data: bytes) -> bytes:
    """The answer as this client gets it; the same bytes where nothing differs."""
    state, operation = state_of(call)
    if operation.ids:
        body = decode(data)
        provider = target.model.provider.name
        if isinstance(body, dict):
            body = await _own(runtime, call, provider, body)
        await batches.seen(runtime, call, target.model.provider, body)
        return msgspec.json.encode(ours(runtime, call, provider, body))
    if operation.family == "rerank":
        body = decode(data)
        if isinstance(body, dict) and (shown := rerank.response_out(body, state.shape)) != body:
            return msgspec.json.encode(shown)
    return data


async def _own(runtime: Runtime, call: Call, provider: str, body: dict[str, Any]) -> dict[str, Any]:
    """What of an answer is the key's own; what is new of it is remembered."""
    state, operation = state_of(call)
    if state.owner is None:
        return body
    listed = body.get("data")
    if operation.method == "GET" and isinstance(listed, list) and not state.id:
        ids = [str(item.get("id")) for item in listed if isinstance(item, dict)]
        known = await runtime.kept(provider, state.owner, ids)
        kept = [item for item in listed if isinstance(item, dict) and item.get("id") in known]
        edges = {"first_id": kept[0]["id"], "last_id": kept[-1]["id"]} if kept else {}
        edges = edges or {"first_id": None, "last_id": None}
        return {**body, "data": kept, **{k: v for k, v in edges.items() if k in body}}
    names = ("id", "output_file_id", "error_file_id")
    new = [body[name] for name in names if isinstance(body.get(name), str) and body[name]]
    await runtime.keep(provider, state.owner, new)
    return body


class _Passing:
    """One answer that goes on as it comes. `run` returns when the client has its end."""

    def __init__(
        self,
        runtime: Runtime,
        call: Call,
        client: Client,
        watch: Watch,
        target: Target,
        answer: Answer,
    ) -> None:
        self.runtime, self.call, self.client, self.watch = runtime, call, client, watch
        self.target, self.answer = target, answer
        self.state, self.operation = state_of(call)
        self.events = "text/event-stream" in answer.kind
        self.words = not self.operation.raw and answer.kind.startswith("text/")
        self.decoder = Decoder(MAX_EVENT_BYTES) if self.events else None
        self.results: batches.Results | None = None
        self.size = 0

    async def run(self) -> None:
        """Relay all. Raises GatewayError only before the first byte."""
        if self.operation.family == "audio/speech":
            self.state.measured = spoken_characters(self.call)
        await to_its_end(self._relay(), self._break, self.client, self.watch)

    async def _relay(self) -> None:
        call, client, watch = self.call, self.client, self.watch
        data = await self.answer.read()
        call.end_wait()
        call.tap.started = True
        provider = self.target.model.provider
        self.results = await batches.results_of(self.runtime, call, provider)
        call.attempts[-1].first_byte_ms = call.ms()
        watch.expect((self.target.timeouts or provider.timeouts).idle_s, "idle")
        await client.head(200, self._headers())
        while data:
            self._note(data)
            watch.hold(touched=True)
            await client.write(data)
            watch.resume()
            data = await self.answer.read()
        if (read := self.results) is not None:
            await batches.settle(self.runtime, call, provider, read.batch, read.close())
        self._record()
        settle(self.runtime, call, client)
        await client.end()

    def _note(self, data: bytes) -> None:
        self.size += len(data)
        if self.words and not self.events:
            self.call.recorder.upstream(data)
        if self.results is not None:
            self.results.feed(data)
        if self.decoder is None:
            return
        try:
            frames = self.decoder.feed(data)
        except FrameTooLarge:  # it goes on all the same; only its counts are not known
            self.decoder = None
            return
        for frame in frames:
            if frame.data.find(b'"usage"') >= 0:
                found = measure.read(self.operation.family, frame.data)
                self.state.measured = found or self.state.measured

    def _record(self) -> None:
        self.call.attempts[-1].received_bytes = self.size
        if not self.words or self.events:
            told = {"content_type": self.answer.kind, "bytes": self.size}
            self.call.recorder.upstream(msgspec.json.encode(told))

    def _headers(self) -> list[Header]:
        kind = self.answer.kind or "application/octet-stream"
        if any(word in kind.lower() for word in _ACTIVE):
            kind = "application/octet-stream"
        headers = [
            (b"content-type", kind.encode("latin-1", "replace")),
            _SAFE,
            *answer_headers(self.call, self.target),
            *passed_headers_of(self.answer, self.call),
        ]
        if self.events:
            headers += [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
        return headers

    async def _break(self, error: Error) -> None:
        """An event says so; bytes just end without their end, which every client notices."""
        call = self.call
        call.error, call.outcome = error, "cut"
        self._record()
        settle(self.runtime, call, self.client)
        if self.events:
            told = call.dialect.client.render_error(error, call.id).body
            await self.client.end(b"event: error\ndata: " + msgspec.json.encode(told) + b"\n\n")
