"""A whole response to the client: passed through or translated, and its headers.

Until the first byte nothing has been sent to the client, so a failure raises and another target
may be tried. The log record is settled before the last bytes leave: a response that a client
has in full is in the journal.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.canon.adaptation import adaptation_rows
from gateway.canon.alternatives import AlternativeEvents
from gateway.canon.errors import GatewayError, bad_upstream
from gateway.canon.events import BlockStart, End, Event, Failed
from gateway.canon.fold import fold_events, unfold_response
from gateway.canon.json_values import decode_or_none
from gateway.canon.response import Response, unknown_finish
from gateway.dialects.base import ResponseContext, StreamParser
from gateway.dialects.shared.failed_streams import malformed_output_error
from gateway.framing.eventstream import CorruptMessage
from gateway.framing.formats import STREAM_FORMATS, FrameDecoder
from gateway.framing.headers import JSON_HEADER, Header
from gateway.framing.sse import Frame, FrameTooLarge
from gateway.providers.redact import scrub
from gateway.relay.event_loop import offload
from gateway.relay.exchange.call import Call, Client
from gateway.relay.exchange.request_features import estimate_tokens
from gateway.relay.exchange.usage_estimate import usage_of
from gateway.relay.run.guarded_stream import StreamGuard
from gateway.relay.run.guardrails import guard_response
from gateway.relay.run.settle import settle
from gateway.relay.translate.prepare import PreparedRequest
from gateway.relay.upstream.client import MAX_REPLY_BYTES, UpstreamResponse
from gateway.routing.snapshot import Target

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

# Limits of a stream, of which parsers, renderers and stores keep a part. Its events repeat fields
# and so take more bytes than a whole response. Withheld are the frames that yielded no event:
# what they contain waits for the end of another block, or of the stream.
MAX_STREAM_BYTES = 8 * MAX_REPLY_BYTES
MAX_WITHHELD_BYTES = MAX_REPLY_BYTES
MAX_BLOCKS = 20_000
# Maximum length of a target in headers: model names may come from the client.
MAX_TARGET_CHARS = 256
MAX_HEADER_CHARS = 256
_STREAM_CONTENT_TYPES: dict[str, Header] = {
    **{
        name: (b"content-type", stream_format.content_type)
        for name, stream_format in STREAM_FORMATS.items()
    },
    "array": (b"content-type", b"application/json; charset=utf-8"),
}
_STREAM_HEADERS: list[Header] = [
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
_JSON_HEADERS: list[Header] = [JSON_HEADER]
# Upstream headers that are passed to clients of the same dialect. Never set-cookie.
_LIMITS = ("x-ratelimit-", "anthropic-ratelimit-")
_INFORMATIVE_HEADERS = ("openai-processing-ms", "openai-version")
_PASSED_HEADERS = (*_LIMITS, *_INFORMATIVE_HEADERS)
# Numbers, durations and timestamps; in any other value, the upstream may repeat its credential.
_NUMERIC_VALUE = re.compile(r"[0-9][0-9.:,;=hmswTZ+ -]*")


async def reply(
    runtime: Runtime,
    call: Call,
    client: Client,
    target: Target,
    prepared_request: PreparedRequest,
    upstream_response: UpstreamResponse,
    *,
    is_stream: bool,
) -> None:
    """Send a successful response. Raises GatewayError only before the first byte.

    `is_stream`: whether the upstream sends a stream, although the client requested none.
    """
    exchange = call.exchange
    if not is_stream and "html" in upstream_response.content_type:
        text = await upstream_response.read_all()
        call.recorder.record_upstream(text)
        media_type = upstream_response.content_type.partition(";")[0]
        raise bad_upstream(f"the upstream answered with {media_type}, not JSON")
    passed_headers = passed_headers_of(runtime, upstream_response, call, prepared_request)
    if is_stream:
        response = fold_events(
            [
                event
                async for events in read_events(call, target, prepared_request, upstream_response)
                for event in events
            ]
        )
        call.end_upstream_wait()
        await _send_response(runtime, call, client, response, target, headers=passed_headers)
        return
    data = await upstream_response.read_all()
    call.end_upstream_wait()
    call.recorder.record_upstream(data)
    size = len(data)
    if size < (offload.SCANNED_BYTES if call.attempt.passthrough else offload.LARGE_BYTES):
        response = _parse_response(call, target, prepared_request, data)
    else:
        response = await offload.run(size, _parse_response, call, target, prepared_request, data)
    if exchange.stream:
        await _send_unfolded(runtime, call, client, response, target, passed_headers, size)
        return
    passed_body = data if call.attempt.passthrough else None
    if passed_body is not None and runtime.model_echo and response.model != exchange.model:
        passed_body = replace_model(passed_body, response.model, exchange.model)
    await _send_response(runtime, call, client, response, target, passed_body, passed_headers, size)


async def send_collected(
    runtime: Runtime,
    call: Call,
    client: Client,
    target: Target,
    batches: AsyncIterator[list[Event] | AlternativeEvents],
) -> None:
    """Send a response that several upstream calls make, whole. Raises GatewayError.

    No choice may be interleaved: the alternatives are in the last event.
    """
    events = [event async for batch in batches if isinstance(batch, list) for event in batch]
    call.end_upstream_wait()
    call.attempts[-1].first_byte_ms = call.exchange.elapsed_ms()
    await _send_response(runtime, call, client, fold_events(events), target)


def response_context(call: Call) -> ResponseContext:
    """The context of this call for the client's renderer."""
    exchange = call.exchange
    route = exchange.route
    reasoning_display: str = exchange.dialect.default_reasoning_display
    include_usage = False
    echo: dict[str, Any] = {}
    prompt_tokens: int | None = None
    reasoning_field: str = route.reasoning_field if route else "reasoning_content"
    if exchange.framing == "api_v1" and reasoning_field == "reasoning_content":
        reasoning_field = "both"  # OpenRouter's name is `reasoning`
    elif exchange.framing == "thinking_chunks" and reasoning_field == "reasoning_content":
        reasoning_field = "thinking"
    if not call.attempt.passthrough:
        request = exchange.request
        echo = exchange.dialect.read_echo(exchange.body) | exchange.echoed_fields
        include_usage = bool(request.include_usage)
        if request.reasoning is not None and request.reasoning.visible is not None:
            reasoning_display = request.reasoning.visible
        if exchange.stream and exchange.dialect.reports_early_usage:
            prompt_tokens = estimate_tokens(exchange)
    return ResponseContext(
        id=exchange.response_id or exchange.id.removeprefix("req_"),
        created=int(exchange.started_at),
        model=exchange.model,
        include_usage=include_usage,
        reasoning_display=reasoning_display,  # type: ignore[arg-type]
        reasoning_field=reasoning_field,  # type: ignore[arg-type]
        framing=exchange.framing,
        endpoint=exchange.endpoint,
        echoed_fields=echo,
        prompt_tokens_estimate=prompt_tokens,
        elapsed_ms=lambda: int(exchange.elapsed_ms()),
    )


def decode(data: bytes) -> Any:
    """The JSON of an upstream's response. Raises GatewayError if it is invalid."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise bad_upstream("the upstream's response is not valid JSON") from None


def _parse_response(
    call: Call, target: Target, prepared_request: PreparedRequest, data: bytes
) -> Response:
    exchange = call.exchange
    if (
        call.attempt.passthrough
        and not exchange.stream
        and exchange.on_attempt is None
        and not call.attempt.stores_reasoning
    ):
        peeked_usage = exchange.dialect.peek_usage(data)
        if peeked_usage is not None:
            return peeked_usage
    response = prepared_request.dialect.provider.parse_response(
        decode(data), target.model.traits, prepared_request.rendered_request
    )
    if response.finish.reason == "malformed" and not call.attempt.passthrough:
        raise GatewayError(malformed_output_error(response.finish))
    return response


def refuse_endless_stream(stream_bytes: int, withheld_bytes: int, block_count: int) -> None:
    """Raises GatewayError if a stream exceeds a limit: MAX_STREAM_BYTES and those below it."""
    if (
        stream_bytes > MAX_STREAM_BYTES
        or withheld_bytes > MAX_WITHHELD_BYTES
        or block_count > MAX_BLOCKS
    ):
        raise bad_upstream("the upstream's response is too large")


async def read_events(
    call: Call,
    target: Target,
    prepared_request: PreparedRequest,
    upstream_response: UpstreamResponse,
) -> AsyncIterator[list[Event]]:
    """Yield the events of a stream up to its end; the upstream may leave the connection open.

    Raises GatewayError if it breaks off before it is complete.
    """
    dialect = prepared_request.dialect
    decoder = STREAM_FORMATS[dialect.framing].new_decoder()
    parser = dialect.provider.stream_parser(target.model.traits, prepared_request.rendered_request)
    failure: GatewayError | None = None
    stream_bytes = withheld_bytes = block_count = 0
    while True:
        try:
            data = await upstream_response.read()
        except GatewayError as error:
            data, failure = b"", error
        if not data:
            break
        call.recorder.record_upstream(data)
        stream_bytes += len(data)
        events: list[Event] = []
        for frame in decode_frames(decoder, data):
            if frame_events := parser.feed(frame):
                events += frame_events
            else:
                withheld_bytes += len(frame.data)
        block_count += sum(type(event) is BlockStart for event in events)
        refuse_endless_stream(stream_bytes, withheld_bytes, block_count)
        if events:
            yield events
            if isinstance(events[-1], End | Failed):
                return
    final_events = close_stream(final_frames(decoder), parser)
    # A stream that breaks off after its finish reason is complete.
    if failure is not None and not (final_events and isinstance(final_events[-1], End)):
        raise failure
    yield final_events


async def _send_response(
    runtime: Runtime,
    call: Call,
    client: Client,
    response: Response,
    target: Target,
    passed_body: bytes | None = None,
    headers: list[Header] | None = None,
    size: int = 0,
) -> None:
    call.attempt.tap.note_response(response)
    if call.attempt.stores_reasoning:
        runtime.reasoning.store_reasoning(call, response.parts)
    rendered = passed_body
    if passed_body is None:
        size = max(size, call.exchange.offload_size)
        passed_body = (
            _render_response(call, response)
            if size < offload.LARGE_BYTES
            else await offload.run(size, _render_response, call, response)
        )
    if call.guard is not None and call.guard.after:
        passed_body = await guard_response(runtime, call, passed_body)
    if passed_body is not rendered:
        call.attempt.passthrough = call.recorder.passthrough = False
        call.recorder.record_client(passed_body)
    call.attempt.final_bytes = passed_body
    if call.attempt.stores_reasoning:
        await runtime.reasoning.wait_stored()
    client.status = 200
    client.headers = [*_JSON_HEADERS, *response_headers(call, target.model.label), *(headers or [])]
    settle(runtime, call, client)
    await client.reply(200, client.headers, passed_body)


async def _send_unfolded(
    runtime: Runtime,
    call: Call,
    client: Client,
    response: Response,
    target: Target,
    headers: list[Header],
    size: int,
) -> None:
    """Send a complete response as a stream, for a client that requested one."""
    context = await offload.run(call.exchange.offload_size, _unfolded_context, call)
    renderer = call.exchange.dialect.client.stream_renderer(context)
    call.attempt.tap.note_response(response)
    if not call.attempt.tap.has_all_counts:
        response = msgspec.structs.replace(response, usage=usage_of(call)[0])
    events = unfold_response(response)
    if call.guard is not None and call.guard.after:
        events = await StreamGuard(runtime, call).feed(events)
    body = await offload.run(size, lambda: b"".join(map(renderer.feed, events)))
    if call.attempt.stores_reasoning:
        runtime.reasoning.store_reasoning(call, response.parts)
    call.recorder.record_client(body)
    call.attempt.final_bytes = body
    report = [*renderer.report, *unknown_finish(response.finish)]
    call.attempt.adaptations += adaptation_rows(report)
    if call.attempt.stores_reasoning:
        await runtime.reasoning.wait_stored()
    client.status = 200
    client.headers = [*stream_headers(call), *response_headers(call, target.model.label), *headers]
    settle(runtime, call, client)
    await client.head(200, client.headers)
    await client.end(body)


def _unfolded_context(call: Call) -> ResponseContext:
    """The context for a response that is rendered although its request was passed through."""
    passed_context = response_context(call)
    call.attempt.passthrough = call.recorder.passthrough = False
    try:
        return response_context(call)
    except GatewayError:
        return passed_context  # only the provider could parse the request


def _render_response(call: Call, response: Response) -> bytes:
    context = response_context(call)
    if not call.attempt.tap.has_all_counts:
        response = msgspec.structs.replace(response, usage=usage_of(call)[0])
    body, report = call.exchange.dialect.client.render_response(response, context)
    if response.finish.unknown:
        report += unknown_finish(response.finish)
    if report:
        call.attempt.adaptations += adaptation_rows(report)
    return msgspec.json.encode(body)


def decode_frames(decoder: FrameDecoder, data: bytes) -> list[Frame]:
    """The frames that `data` completes. Raises GatewayError for a corrupt stream."""
    try:
        return decoder.feed(data)
    except CorruptMessage as error:
        raise bad_upstream(f"the upstream's stream is corrupt: {error}") from None
    except FrameTooLarge:
        raise bad_upstream("the upstream sent an event that is too large") from None


def final_frames(decoder: FrameDecoder) -> list[Frame]:
    """The frame that the end of the bytes completes, unless its JSON is cut off.

    Some providers end without a blank line after the last event.
    """
    return [
        frame
        for frame in decoder.close()
        if frame.data.startswith(b"[DONE]")
        or not frame.data.startswith((b"{", b"["))
        or decode_or_none(frame.data) is not None
    ]


def close_stream(last_frames: list[Frame], parser: StreamParser) -> list[Event]:
    """The final events of a stream whose bytes have ended: the last is End, or Failed."""
    return [event for frame in last_frames for event in parser.feed(frame)] + parser.close()


def stream_headers(call: Call) -> list[Header]:
    """The headers of a stream in the client's framing."""
    return [_STREAM_CONTENT_TYPES[call.exchange.framing], *_STREAM_HEADERS]


def id_headers(call: Call) -> list[Header]:
    """The ids of a request: the client's own is echoed, next to the one in the log."""
    exchange = call.exchange
    echoed_id = exchange.echoed_id.encode()
    headers = [(b"x-request-id", echoed_id), (b"request-id", echoed_id)]
    if exchange.client_request_id:
        headers.append((b"x-dragoman-request-id", exchange.id.encode()))
    return headers


def response_headers(call: Call, label: str) -> list[Header]:
    """The gateway's own headers: ids, the target that responded, and adaptations."""
    headers = [*id_headers(call), _target_header(label), *call.limit_headers]
    if call.cache_lookup is not None:
        headers += call.cache_lookup.headers()
    if len(call.attempts) > 1:
        tried = sum(1 for attempt in call.attempts if attempt.skipped is None)
        if tried > 1:
            headers.append((b"x-dragoman-attempts", b"%d" % tried))
    for action in ("dropped", "approximated") if call.attempt.adaptations else ():
        fields = [row["field"] for row in call.attempt.adaptations if row["action"] == action]
        if fields:
            unique = ", ".join(dict.fromkeys(fields))
            headers.append((b"x-dragoman-" + action.encode(), _encode_header_value(unique)[:2048]))
    return headers


@lru_cache(maxsize=1024)
def _target_header(label: str) -> Header:
    return b"x-dragoman-target", _encode_header_value(label[:MAX_TARGET_CHARS])


def _encode_header_value(text: str) -> bytes:
    """A header value: printable ASCII only, so that nothing can end the header early."""
    if text.isascii() and text.isprintable():
        return text.encode("ascii")
    return "".join(c if " " <= c <= "~" else "?" for c in text).encode("ascii")


def passed_headers_of(
    runtime: Runtime,
    upstream_response: UpstreamResponse,
    call: Call,
    prepared_request: PreparedRequest | None = None,
) -> list[Header]:
    """The upstream headers to pass to the client, without credentials of providers.

    There are none unless both use the same dialect.

    An upstream's rate limits are left out if the gateway reports limits of its own.
    `prepared_request` is the request that was sent; None if its dialect is the client's.
    """
    dialect = call.exchange.dialect if prepared_request is None else prepared_request.dialect
    if dialect.name != call.exchange.dialect.name:
        return []
    prefixes = _INFORMATIVE_HEADERS if call.limit_headers else _PASSED_HEADERS
    snapshot = call.exchange.snapshot
    return [
        (
            name.encode("latin-1"),
            _encode_header_value(
                value
                if _NUMERIC_VALUE.fullmatch(value)
                else scrub(value, runtime.provider_secrets.forms(snapshot))
            ),
        )
        for name, value in upstream_response.headers.items()
        if name.startswith(prefixes) and len(name) + len(value) <= MAX_HEADER_CHARS
    ]


# --- the model's name in responses that pass through --------------------------------------
# It is replaced by the name that the client requested, in the upstream's own bytes; nothing is
# decoded if the name occurs once. Translated responses are rendered with that name.

_FIELDS = ("model", "modelVersion")
# Spellings of the field: most encoders write no space, Python's default writes one.
_FIELD_PREFIXES = tuple(f'"{name}":{space}'.encode() for name in _FIELDS for space in ("", " "))


def replace_model(data: bytes, upstream_model: str, requested_model: str) -> bytes:
    """A complete response with `requested_model` instead of the upstream's model."""
    field, replacement = model_field_replacement(data, upstream_model, requested_model)
    if not field:
        return data
    before, _, after = data.partition(field)
    if after.find(field) < 0:
        return before + replacement + after
    # Tool arguments may contain the same text.
    fields = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    fields |= {
        name: msgspec.Raw(msgspec.json.encode(requested_model))
        for name in _FIELDS
        if name in fields
    }
    return msgspec.json.encode(fields)


def model_field_replacement(
    data: bytes, upstream_model: str, requested_model: str
) -> tuple[bytes, bytes]:
    """The field as the upstream encoded it, and the same with the requested model.

    Empty if the upstream uses another spelling.
    """
    if upstream_model:
        encoded_model = msgspec.json.encode(upstream_model)
        for prefix in _FIELD_PREFIXES:
            if data.find(prefix + encoded_model) >= 0:
                return prefix + encoded_model, prefix + msgspec.json.encode(requested_model)
    return b"", b""
