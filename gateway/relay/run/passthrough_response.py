"""Relays the response of a passthrough call to the client.

JSON is read completely, as it contains usage and ids; anything else, and every stream, is
relayed as it arrives. Files and images are logged only by their size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.canon.errors import Error
from gateway.dialects import rerank
from gateway.framing.headers import JSON_HEADER, Header
from gateway.framing.sse import Decoder, FrameTooLarge
from gateway.relay.exchange.call import Call, Client, Deadlines
from gateway.relay.exchange.passthrough import describe_file, parse_passthrough_usage
from gateway.relay.passthrough import batches
from gateway.relay.passthrough.batch_guardrails import record_guardrails
from gateway.relay.passthrough.request import speech_characters, state_of, to_gateway_ids
from gateway.relay.run.batch_result_guard import BatchResultGuard
from gateway.relay.run.guardrails import guard_response, guard_text
from gateway.relay.run.reply import decode, passed_headers_of, response_headers
from gateway.relay.run.settle import settle
from gateway.relay.run.stream import relay_to_end
from gateway.relay.upstream.client import MAX_REPLY_BYTES, UpstreamResponse
from gateway.routing.snapshot import Target

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

# Ten images of the largest size in base64.
MAX_IMAGES_BYTES = 256 * 1024 * 1024
# One event may contain a whole image.
MAX_EVENT_BYTES = 64 * 1024 * 1024
# Content types that a browser would execute if it opened the URL.
_ACTIVE_CONTENT_TYPES = ("html", "xml", "svg", "javascript", "ecmascript")
# Content types of transcripts.
_TEXT_TYPES = ("text/plain", "text/vtt", "text/srt", "application/x-subrip")
_NOSNIFF: Header = (b"x-content-type-options", b"nosniff")


async def reply(
    runtime: Runtime,
    call: Call,
    client: Client,
    deadlines: Deadlines,
    target: Target,
    upstream_response: UpstreamResponse,
) -> None:
    """Relay a response. Raises GatewayError only before the first byte."""
    _, operation = state_of(call.exchange)
    kind = upstream_response.content_type.partition(";")[0].strip().lower()
    if not operation.binary_response and (kind == "application/json" or kind.endswith("+json")):
        await _reply_complete(runtime, call, client, target, upstream_response)
        return
    if _is_guarded(call) and kind in {"text/event-stream", *_TEXT_TYPES}:
        await _reply_checked(runtime, call, client, target, upstream_response)
        return
    await _PassthroughStream(runtime, call, client, deadlines, target, upstream_response).run()


def _is_guarded(call: Call) -> bool:
    """Whether guardrails check the response; lists of files and batches have no texts."""
    guarded = call.guard is not None and bool(call.guard.after)
    return guarded and not state_of(call.exchange)[1].has_resource_ids


async def _reply_checked(
    runtime: Runtime,
    call: Call,
    client: Client,
    target: Target,
    upstream_response: UpstreamResponse,
) -> None:
    """Send a text, or the events of a stream, once it is complete and checked.

    The deltas of a text are left out of a stream: its last event has the whole text.
    """
    state, operation = state_of(call.exchange)
    data = await upstream_response.read_all(MAX_REPLY_BYTES)
    call.end_upstream_wait()
    provider = target.model.provider
    data = runtime.provider_secrets.redactor(call.exchange.snapshot, provider).redact(data)
    call.attempt.tap.started = True
    call.recorder.record_upstream(data)
    call.attempt.passthrough = call.recorder.passthrough = False
    out = b""
    if "text/event-stream" in upstream_response.content_type:
        decoder = Decoder(MAX_EVENT_BYTES)
        for frame in (*decoder.feed(data), *decoder.close()):
            usage = parse_passthrough_usage(operation.family, frame.data)
            state.usage = usage or state.usage
            if not _is_delta(frame.data):
                is_object = frame.data.startswith(b"{")
                checked_data = (
                    await guard_response(runtime, call, frame.data) if is_object else frame.data
                )
                event = b"event: %s\n" % frame.event.encode() if frame.event else b""
                out += event + b"data: " + checked_data + b"\n\n"
    else:
        out = await guard_text(runtime, call, data)
    call.recorder.record_client(out)
    call.attempts[-1].received_bytes = len(data)
    client.status = 200
    client.headers = [
        (b"content-type", upstream_response.content_type.encode("latin-1", "replace")),
        _NOSNIFF,
        *response_headers(call, target.model.label),
        *passed_headers_of(runtime, upstream_response, call),
    ]
    settle(runtime, call, client)
    await client.reply(200, client.headers, out)


def _is_delta(data: bytes) -> bool:
    event = decode(data) if data.startswith(b"{") else None
    return isinstance(event, dict) and str(event.get("type", "")).endswith(".delta")


async def _reply_complete(
    runtime: Runtime,
    call: Call,
    client: Client,
    target: Target,
    upstream_response: UpstreamResponse,
) -> None:
    state, operation = state_of(call.exchange)
    is_image = operation.family.startswith("images/")
    data = await upstream_response.read_all(MAX_IMAGES_BYTES if is_image else MAX_REPLY_BYTES)
    call.end_upstream_wait()
    state.usage = parse_passthrough_usage(operation.family, data)
    call.attempt.tap.started = True
    logged_body = (
        msgspec.json.encode(describe_file(upstream_response.content_type, data))
        if is_image
        else data
    )
    call.recorder.record_upstream(logged_body)
    checked_data = data
    if _is_guarded(call):
        checked_data = await guard_response(runtime, call, data)
    out = await _rewrite_ids(runtime, call, target, checked_data)
    if out is not data:
        call.attempt.passthrough = call.recorder.passthrough = False
        call.recorder.record_client(logged_body if is_image else out)
    elif not call.recorder.passthrough:
        call.recorder.record_client(logged_body)
    call.attempts[-1].received_bytes = len(data)
    client.status = 200
    client.headers = [
        JSON_HEADER,
        *response_headers(call, target.model.label),
        *passed_headers_of(runtime, upstream_response, call),
    ]
    settle(runtime, call, client)
    await client.reply(200, client.headers, out)


async def _rewrite_ids(runtime: Runtime, call: Call, target: Target, data: bytes) -> bytes:
    """The response for this client; the same bytes if nothing changes."""
    state, operation = state_of(call.exchange)
    if operation.has_resource_ids:
        body = decode(data)
        provider = target.model.provider.name
        if isinstance(body, dict):
            await record_guardrails(runtime, call, provider, body)
            body = await _filter_owned(runtime, call, provider, body)
        await batches.record_batches(runtime, call, target.model.provider, body)
        return msgspec.json.encode(to_gateway_ids(runtime, call.exchange, provider, body))
    if operation.family == "rerank":
        body = decode(data)
        if (
            isinstance(body, dict)
            and (rewritten := rerank.render_response(body, state.rerank_format)) != body
        ):
            return msgspec.json.encode(rewritten)
    return data


async def _filter_owned(
    runtime: Runtime, call: Call, provider: str, body: dict[str, Any]
) -> dict[str, Any]:
    """The response with only the key's own items; records the ids of new resources."""
    state, operation = state_of(call.exchange)
    if state.owner_key_id is None:
        return body
    listed_items = body.get("data")
    if operation.method == "GET" and isinstance(listed_items, list) and not state.resource_id:
        ids = [str(item.get("id")) for item in listed_items if isinstance(item, dict)]
        owned_ids = await runtime.resource_owners.find_owned(provider, state.owner_key_id, ids)
        owned_items = [
            item for item in listed_items if isinstance(item, dict) and item.get("id") in owned_ids
        ]
        page_ids = (
            {"first_id": owned_items[0]["id"], "last_id": owned_items[-1]["id"]}
            if owned_items
            else {}
        )
        page_ids = page_ids or {"first_id": None, "last_id": None}
        return {**body, "data": owned_items, **{k: v for k, v in page_ids.items() if k in body}}
    names = ("id", "output_file_id", "error_file_id")
    new = [body[name] for name in names if isinstance(body.get(name), str) and body[name]]
    await runtime.resource_owners.record(provider, state.owner_key_id, new)
    if state.has_checked_requests and isinstance(body.get("id"), str):
        await runtime.resource_owners.record_batch_input(provider, state.owner_key_id, body["id"])
    return body


class _PassthroughStream:
    """Relays one response as it arrives. `run` returns when the client has its end."""

    def __init__(
        self,
        runtime: Runtime,
        call: Call,
        client: Client,
        deadlines: Deadlines,
        target: Target,
        upstream_response: UpstreamResponse,
    ) -> None:
        self.runtime, self.call, self.client, self.deadlines = runtime, call, client, deadlines
        self.target, self.upstream_response = target, upstream_response
        self.state, self.operation = state_of(call.exchange)
        self.is_event_stream = "text/event-stream" in upstream_response.content_type
        self.is_text = (
            not self.operation.binary_response
            and upstream_response.content_type.startswith("text/")
        )
        self.decoder = Decoder(MAX_EVENT_BYTES) if self.is_event_stream else None
        self.results: batches.BatchResultReader | None = None
        provider = target.model.provider
        text = self.is_event_stream or self.is_text
        self.redactor = (
            runtime.provider_secrets.redactor(call.exchange.snapshot, provider) if text else None
        )
        self.tail = b""
        self.size = 0
        guarded = call.guard is not None and bool(call.guard.after)
        self.guard = (
            BatchResultGuard(runtime, call)
            if guarded and self.operation.binary_response and self.operation.has_resource_ids
            else None
        )

    async def run(self) -> None:
        """Relay the response. Raises GatewayError only before the first byte."""
        if self.operation.family == "audio/speech":
            self.state.usage = speech_characters(self.call.exchange)
        await relay_to_end(self._relay(), self._fail, self.client, self.deadlines)

    async def _relay(self) -> None:
        call, client, deadlines = self.call, self.client, self.deadlines
        data = await self.upstream_response.read()
        call.end_upstream_wait()
        call.attempt.tap.started = True
        provider = self.target.model.provider
        self.results = await batches.result_reader(self.runtime, call, provider)
        call.attempts[-1].first_byte_ms = call.exchange.elapsed_ms()
        deadlines.set_timeout((self.target.timeouts or provider.timeouts).idle_s, "idle")
        await client.head(200, self._response_headers())
        while data:
            self._observe(data)
            deadlines.pause(reset=True)
            out = self._redact_credential(data)
            if self.guard is not None:
                out = await self.guard.feed(out)
            if out:
                await client.write(out)
            deadlines.resume()
            data = await self.upstream_response.read()
        if (result_reader := self.results) is not None:
            await batches.settle_batch(
                self.runtime, call, provider, result_reader.batch, result_reader.close()
            )
        if self.guard is not None:
            self.tail = await self.guard.close()
        self._record_summary()
        settle(self.runtime, call, client)
        await client.end(self.tail)

    def _redact_credential(self, data: bytes) -> bytes:
        """Text without the provider's credential; a possible prefix of one is buffered."""
        if self.redactor is None:
            return data
        data = self.redactor.redact(self.tail + data)
        cut = len(data) - self.redactor.partial_match_length(data)
        self.tail = data[cut:]
        return data[:cut]

    def _observe(self, data: bytes) -> None:
        self.size += len(data)
        if self.is_text and not self.is_event_stream:
            self.call.recorder.record_upstream(data)
        if self.results is not None:
            self.results.feed(data)
        if self.decoder is None:
            return
        try:
            frames = self.decoder.feed(data)
        except FrameTooLarge:  # the stream continues, without its usage
            self.decoder = None
            return
        for frame in frames:
            if frame.data.find(b'"usage"') >= 0:
                usage = parse_passthrough_usage(self.operation.family, frame.data)
                self.state.usage = usage or self.state.usage

    def _record_summary(self) -> None:
        self.call.attempts[-1].received_bytes = self.size
        if not self.is_text or self.is_event_stream:
            summary = {"content_type": self.upstream_response.content_type, "bytes": self.size}
            self.call.recorder.record_upstream(msgspec.json.encode(summary))

    def _response_headers(self) -> list[Header]:
        content_type = self.upstream_response.content_type or "application/octet-stream"
        if any(active_type in content_type.lower() for active_type in _ACTIVE_CONTENT_TYPES):
            content_type = "application/octet-stream"
        headers = [
            (b"content-type", content_type.encode("latin-1", "replace")),
            _NOSNIFF,
            *response_headers(self.call, self.target.model.label),
            *passed_headers_of(self.runtime, self.upstream_response, self.call),
        ]
        if self.is_event_stream:
            headers += [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
        return headers

    async def _fail(self, error: Error) -> None:
        """Send an error event; a response of bytes ends without its end, which clients detect."""
        call = self.call
        call.error, call.outcome = error, "cut"
        self._record_summary()
        settle(self.runtime, call, self.client)
        if self.is_event_stream:
            error_body = call.exchange.dialect.client.render_error(
                error, call.exchange.echoed_id
            ).body
            await self.client.end(
                b"event: error\ndata: " + msgspec.json.encode(error_body) + b"\n\n"
            )
