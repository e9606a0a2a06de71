"""Traces that agents send: `POST /v1/traces/ingest` (OpenAI Agents SDK) and `/v1/traces` (OTLP).

A request is answered when its spans are in the database, so an acknowledged span is never lost;
if the database is not writable, the exporters retry after a 503. Content (inputs, outputs and
other text of users) is stored under the same policy as the bodies of requests.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.canon.errors import Error, GatewayError, invalid
from gateway.canon.json_values import to_raw
from gateway.client_spans import agents_sdk, otlp
from gateway.client_spans.span import (
    MAX_BYTES,
    ClientSpan,
    MalformedBody,
    ParsedSpans,
    SpanBatch,
    TooManyItems,
    TooManyValues,
    describe_rejections,
)
from gateway.dialects import DIALECTS
from gateway.edge import admission
from gateway.edge.endpoints import Endpoint
from gateway.providers.masks import Mask
from gateway.providers.redact import scrub
from gateway.relay.event_loop import offload
from gateway.relay.exchange.call import Client, Receive, stop_error
from gateway.relay.exchange.recorder import mask_secrets
from gateway.relay.runtime import Runtime
from gateway.routing.snapshot import ApiKey, Snapshot

# Content of one span as JSON, at most.
MAX_CONTENT_BYTES = 256 * 1024
_PROTOBUF, _JSON = "application/x-protobuf", "application/json"
# wbits of zlib.
_GZIP_BITS, _ZLIB_BITS = 31, 15
Parse = Callable[[bytes], ParsedSpans]


async def answer_traces(
    runtime: Runtime,
    endpoint: Endpoint,
    client: Client,
    scope: dict[str, Any],
    receive: Receive,
    headers: dict[str, str],
    request_id: str,
) -> None:
    """Store the traces and spans of one request, and send the response of its protocol."""
    is_otlp = endpoint.arg == otlp.SOURCE
    protobuf = is_otlp and _media_type(headers) == _PROTOBUF
    reply_headers = [(b"x-request-id", request_id.encode())]
    try:
        parsed_spans = await _store_spans(runtime, endpoint, scope, receive, headers)
    except admission.ClientGone:
        return
    except GatewayError as failure:
        rendered_error = DIALECTS["openai_chat"].client.render_error(failure.error, request_id)
        message = failure.error.message
        content = (
            otlp.render_error(rendered_error.status, message, protobuf=protobuf)
            if is_otlp
            else msgspec.json.encode(rendered_error.body)
        )
        reply_headers += [(k.encode(), v.encode()) for k, v in rendered_error.headers.items()]
        if failure.error.kind == "method_not_allowed":
            reply_headers.append((b"allow", b"POST"))
        media_type = _PROTOBUF if protobuf else _JSON
        reply_headers.append((b"content-type", media_type.encode()))
        await client.reply(rendered_error.status, reply_headers, content)
        return
    if is_otlp:
        media_type = _PROTOBUF if protobuf else _JSON
        reply_headers.append((b"content-type", media_type.encode()))
        await client.reply(200, reply_headers, otlp.render_success(parsed_spans, protobuf=protobuf))
        return
    await client.reply(204, reply_headers, b"")


async def _store_spans(
    runtime: Runtime,
    endpoint: Endpoint,
    scope: dict[str, Any],
    receive: Receive,
    headers: dict[str, str],
) -> ParsedSpans:
    """Read, parse and store one request. Raises GatewayError or ClientGone."""
    if scope["method"] != "POST":
        message = f"{scope['method']} is not allowed here; use POST"
        raise GatewayError(Error(kind="method_not_allowed", message=message))
    snapshot = runtime.snapshot
    query = scope.get("query_string", b"")
    key = admission.authenticate(runtime, snapshot, scope["headers"], query)
    with runtime.client_spans.admit(key.id if key is not None else 0):
        try:
            async with asyncio.timeout(runtime.config.body_timeout_s):
                body = await admission.read_body(receive, headers, MAX_BYTES)
        except TimeoutError:
            raise GatewayError(stop_error("body")) from None
        encoding = headers.get("content-encoding", "").strip().lower()
        parse = _select_parser(endpoint, headers)
        # A small compressed body may be a large one.
        size = MAX_BYTES if encoding else len(body)
        parsed_spans, batch = await offload.run(
            size, _build_batch, body, encoding, parse, snapshot, key, runtime.config.log_body_bytes
        )
        if batch.traces:
            await runtime.client_spans.write(batch)
    runtime.metrics.count_client_spans(
        endpoint.arg, len(parsed_spans.spans), len(parsed_spans.rejections)
    )
    if parsed_spans.rejections and endpoint.arg == agents_sdk.SOURCE:
        message = (
            f"{len(parsed_spans.rejections)} of the items were not stored, "
            f"{len(parsed_spans.spans)} spans were: {describe_rejections(parsed_spans.rejections)}"
        )
        raise invalid(message, parsed_spans.rejections[0].path)
    return parsed_spans


def _media_type(headers: dict[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _select_parser(endpoint: Endpoint, headers: dict[str, str]) -> Parse:
    """The parser of the endpoint's format. Raises GatewayError."""
    media_type = _media_type(headers)
    if endpoint.arg == agents_sdk.SOURCE:
        return lambda body: agents_sdk.parse_items(_decode_json(body))
    if media_type == _PROTOBUF:
        return lambda body: otlp.parse_spans(otlp.decode_protobuf(body))
    if media_type == _JSON:
        return lambda body: otlp.parse_spans(otlp.decode_json(_decode_json(body)))
    message = f"content-type: must be {_PROTOBUF} or {_JSON}"
    raise invalid(message, "content-type")


def _decode_json(body: bytes) -> Any:
    try:
        return offload.decode(body, max_items=offload.MAX_VALUES)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise invalid(f"the body is not valid JSON: {error}") from None


def _build_batch(
    body: bytes,
    encoding: str,
    parse: Parse,
    snapshot: Snapshot,
    key: ApiKey | None,
    log_body_bytes: int,
) -> tuple[ParsedSpans, SpanBatch]:
    """Parse a body, and mask what is stored of it. Raises GatewayError; may run in a thread."""
    try:
        parsed_spans = parse(_decompress(body, encoding))
    except (TooManyItems, TooManyValues) as error:
        raise GatewayError(Error(kind="too_large", message=str(error))) from None
    except (MalformedBody, otlp.MissingPackage) as error:
        raise invalid(str(error)) from None
    limit = min(log_body_bytes, MAX_CONTENT_BYTES)
    packed_contents: list[bytes | None] = []
    for span in parsed_spans.spans:
        content, span.content = span.content, {}
        if not content:
            packed_contents.append(None)
        elif should_store_content(snapshot, key, span):
            packed_contents.append(pack_content(content, snapshot.masks, limit))
        else:
            packed_contents.append(b"")
        _mask_span(span, snapshot.masks)
    for trace in parsed_spans.traces.values():
        trace.name = _mask_text(trace.name, snapshot.masks)
    return parsed_spans, SpanBatch(
        traces=list(parsed_spans.traces.values()),
        spans=parsed_spans.spans,
        packed=packed_contents,
        key_id=key.id if key is not None else 0,
        key_prefix=key.prefix if key is not None else "",
    )


def _decompress(body: bytes, encoding: str) -> bytes:
    """The body without its content encoding, at most MAX_BYTES. Raises GatewayError."""
    if encoding in {"", "identity"}:
        return body
    if encoding not in {"gzip", "deflate"}:
        message = "content-encoding: must be gzip, deflate or absent"
        raise invalid(message, "content-encoding")
    inflater = zlib.decompressobj(_GZIP_BITS if encoding == "gzip" else _ZLIB_BITS)
    try:
        content = inflater.decompress(body, MAX_BYTES + 1)
    except zlib.error as error:
        raise invalid(f"the body is not valid {encoding}: {error}", "content-encoding") from None
    if len(content) > MAX_BYTES:
        message = f"the request body is larger than {MAX_BYTES} bytes after decompression"
        raise GatewayError(Error(kind="too_large", message=message))
    if not inflater.eof:
        raise invalid(f"the body is not valid {encoding}: it is incomplete", "content-encoding")
    return content


def should_store_content(snapshot: Snapshot, key: ApiKey | None, span: ClientSpan) -> bool:
    """Whether content of a span is stored: as the bodies of a request with its key and model."""
    route = snapshot.route(span.model) if span.model else None
    switches = (
        key.log_bodies if key is not None else None,
        route.log_bodies if route is not None else None,
    )
    return False not in switches and (True in switches or snapshot.log_bodies)


def pack_content(content: dict[str, Any], masks: tuple[Mask, ...], limit: int) -> bytes:
    """Content as masked JSON of about `limit` bytes; `truncated` names what was cut."""
    fields: dict[str, msgspec.Raw] = {}
    budget = limit
    for name, value in content.items():
        encoded_value = _mask_json(value, masks)
        if len(encoded_value) <= budget:
            fields[name] = msgspec.Raw(encoded_value)
            budget -= len(encoded_value)
            continue
        truncated_value = encoded_value[:budget].decode("utf-8", "replace")
        fields[name] = to_raw(truncated_value)
        fields["truncated"] = to_raw(name)
        break
    return msgspec.json.encode(fields)


def _mask_span(span: ClientSpan, masks: tuple[Mask, ...]) -> None:
    span.name = _mask_text(span.name, masks)
    span.error = scrub(_mask_text(span.error, masks))
    span.attributes = {
        _mask_text(name, masks): msgspec.json.decode(_mask_json(value, masks))
        for name, value in span.attributes.items()
    }


def _mask_json(value: Any, masks: tuple[Mask, ...]) -> bytes:
    """The value as JSON with masks applied; as JSON of its text if they broke its syntax."""
    encoded_value = msgspec.json.encode(value)
    masked_value = mask_secrets(encoded_value, masks)
    if masked_value != encoded_value:
        try:
            msgspec.json.decode(masked_value)
        except msgspec.MsgspecError:  # a number or `true`, replaced by asterisks
            return msgspec.json.encode(masked_value.decode("utf-8", "replace"))
    return masked_value


def _mask_text(text: str, masks: tuple[Mask, ...]) -> str:
    return mask_secrets(text.encode("utf-8", "replace"), masks).decode("utf-8", "replace")
