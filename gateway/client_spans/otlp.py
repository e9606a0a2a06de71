"""OTLP/HTTP requests and responses for traces, in JSON and in protobuf.

https://opentelemetry.io/docs/specs/otlp/#otlphttp. Protobuf messages are decoded by the
package `opentelemetry-proto` of the extra `otel`; responses are small enough to be encoded here.
"""

from __future__ import annotations

import math
import sys
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.client_spans.conventions import OtelSpan, client_span
from gateway.client_spans.protobuf_wire import (
    Schema,
    check_values,
    merge_submessage,
    submessages,
)
from gateway.client_spans.span import (
    MAX_ITEMS,
    InvalidItem,
    MalformedBody,
    ParsedSpans,
    Rejection,
    TooManyItems,
    TooManyValues,
    describe_rejections,
)

SOURCE = "otlp"
# Nested values of an attribute: deeper ones are left out.
MAX_DEPTH = 8
# Attributes and their values in one protobuf request: more than 8 MB of usual ones.
MAX_VALUES = 250_000
_MAX_DOUBLE = sys.float_info.max
# Codes of google.rpc.Status by HTTP status.
_STATUS_CODES = {400: 3, 401: 16, 403: 7, 413: 3, 415: 3, 429: 8, 501: 12, 503: 14}


class MissingPackage(Exception):
    """Protobuf cannot be decoded: the extra `otel` is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "protobuf needs a package that is not installed: pip install 'dragoman[otel]'; or set "
            "the exporter to JSON (OTEL_EXPORTER_OTLP_PROTOCOL=http/json)"
        )


def parse_spans(items: Iterator[OtelSpan | Rejection]) -> ParsedSpans:
    """The spans of a request; invalid ones are rejections. Raises TooManyItems."""
    parsed_spans = ParsedSpans()
    for index, item in enumerate(items):
        if index == MAX_ITEMS:
            raise TooManyItems
        if isinstance(item, Rejection):
            parsed_spans.rejections.append(item)
            continue
        try:
            span = client_span(item)
        except InvalidItem as error:
            path = f"spans[{index}].{error.path}"
            parsed_spans.rejections.append(Rejection(path, f"{error} (`{item.name[:60]}`)"))
            continue
        trace = parsed_spans.trace(span.trace_id, SOURCE)
        trace.session = trace.session or span.session
        if not span.parent_id:
            trace.name = span.name
        parsed_spans.spans.append(span)
    return parsed_spans


# --- JSON -------------------------------------------------------------------------------


def decode_json(body: Any) -> Iterator[OtelSpan | Rejection]:
    """The spans of an ExportTraceServiceRequest in JSON. Raises MalformedBody."""
    if not isinstance(body, dict) or not isinstance(body.get("resourceSpans", []), list):
        raise MalformedBody("resourceSpans: must be a list")
    index = 0
    for resource_spans in body.get("resourceSpans", []):
        for service, spans in _json_groups(resource_spans):
            for span in spans:
                yield _json_span(span, service, index)
                index += 1


def _json_groups(resource_spans: Any) -> Iterator[tuple[str, list[Any]]]:
    if not isinstance(resource_spans, dict):
        raise MalformedBody("resourceSpans: must be a list of objects")
    resource = resource_spans.get("resource")
    attributes = _json_attributes(
        resource.get("attributes") if isinstance(resource, dict) else None
    )
    service = attributes.get("service.name")
    scopes = resource_spans.get("scopeSpans", [])
    if not isinstance(scopes, list):
        raise MalformedBody("resourceSpans.scopeSpans: must be a list")
    for scope in scopes:
        spans = scope.get("spans", []) if isinstance(scope, dict) else None
        if not isinstance(spans, list):
            raise MalformedBody("resourceSpans.scopeSpans.spans: must be a list")
        yield (service if isinstance(service, str) else ""), spans


def _json_span(span: Any, service: str, index: int) -> OtelSpan | Rejection:
    if not isinstance(span, dict):
        return Rejection(f"spans[{index}]", "must be an object")
    status = span.get("status")
    status = status if isinstance(status, dict) else {}
    events = span.get("events")
    return OtelSpan(
        trace_id=_text_or_empty(span.get("traceId")).lower(),
        span_id=_text_or_empty(span.get("spanId")).lower(),
        parent_id=_text_or_empty(span.get("parentSpanId")).lower(),
        name=_text_or_empty(span.get("name")),
        started_ns=_parse_integer(span.get("startTimeUnixNano")),
        ended_ns=_parse_integer(span.get("endTimeUnixNano")),
        status=status["code"] if isinstance(status.get("code"), int | str) else 0,
        status_message=_text_or_empty(status.get("message")),
        attributes=_json_attributes(span.get("attributes")),
        events=[
            (_text_or_empty(event.get("name")), _json_attributes(event.get("attributes")))
            for event in (events if isinstance(events, list) else [])
            if isinstance(event, dict)
        ],
        service=service,
    )


def _json_attributes(items: Any) -> dict[str, Any]:
    if not isinstance(items, list):
        return {}
    return {
        item["key"]: _json_value(item.get("value"), 0)
        for item in items
        if isinstance(item, dict) and isinstance(item.get("key"), str)
    }


def _json_value(value: Any, depth: int) -> Any:
    """The value of an AnyValue, whose one field names its type."""
    if not isinstance(value, dict) or depth == MAX_DEPTH:
        return None
    for name, nested_value in value.items():
        match name:
            case "stringValue" | "bytesValue":
                return nested_value if isinstance(nested_value, str) else None
            case "boolValue":
                return nested_value if isinstance(nested_value, bool) else None
            case "intValue":
                return _parse_integer(nested_value)
            case "doubleValue":
                is_number = isinstance(nested_value, int | float)
                return nested_value if is_number and abs(nested_value) <= _MAX_DOUBLE else None
            case "arrayValue" | "kvlistValue":
                values = nested_value.get("values") if isinstance(nested_value, dict) else None
                items = values if isinstance(values, list) else []
                if name == "arrayValue":
                    return [_json_value(item, depth + 1) for item in items]
                return {
                    _text_or_empty(item.get("key")): _json_value(item.get("value"), depth + 1)
                    for item in items
                    if isinstance(item, dict)
                }
            case _:
                continue
    return None


def _text_or_empty(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _parse_integer(value: Any) -> int:
    """A 64-bit integer, which JSON has as a string; -1 if it is not one."""
    if isinstance(value, bool):
        return -1
    if isinstance(value, int):
        return value
    if value is None:
        return 0
    is_number = isinstance(value, str) and len(value) < 21 and value.removeprefix("-").isdecimal()
    return int(value) if is_number else -1


# --- protobuf ---------------------------------------------------------------------------


# Messages inside a span or a resource, by field number (opentelemetry/proto/*/v1/*.proto).
_ANY_VALUE: dict[int, Schema] = {}
_KEY_VALUE: Schema = {2: _ANY_VALUE}
_ANY_VALUE |= {5: {1: _ANY_VALUE}, 6: {1: _KEY_VALUE}}
_RESOURCE: Schema = {1: _KEY_VALUE}
_SPAN: Schema = {9: _KEY_VALUE, 11: {3: _KEY_VALUE}, 13: {4: _KEY_VALUE}, 15: {}}
_RESOURCE_SPANS, _SCOPE_SPANS, _SPANS = 1, 2, 2
# The messages in a smaller span or resource are not counted before it is decoded.
_COUNTED_BYTES = 128 * 1024


def decode_protobuf(body: bytes) -> Iterator[OtelSpan | Rejection]:
    """The spans of an ExportTraceServiceRequest in protobuf, decoded one at a time.

    Raises:
        MissingPackage: the extra `otel` is not installed.
        MalformedBody: it is not that message.
        TooManyValues: a span contains more than MAX_VALUES messages.
    """
    try:
        from google.protobuf.message import DecodeError
        from opentelemetry.proto.resource.v1.resource_pb2 import Resource
        from opentelemetry.proto.trace.v1.trace_pb2 import Span
    except ImportError:
        raise MissingPackage from None
    values = _ProtobufValues()
    try:
        for resource_spans in submessages(body, _RESOURCE_SPANS):
            resource = _decode_spans(Resource, merge_submessage(resource_spans, 1), _RESOURCE)
            service = values.attributes(resource.attributes).get("service.name")
            for scope_spans in submessages(resource_spans, _SCOPE_SPANS):
                for span in submessages(scope_spans, _SPANS):
                    yield _protobuf_span(_decode_spans(Span, span, _SPAN), service, values)
    except DecodeError:
        raise MalformedBody("the body is not an ExportTraceServiceRequest in protobuf") from None


def _decode_spans(message: Any, data: bytes, schema: Schema) -> Any:
    if len(data) > _COUNTED_BYTES:
        check_values(data, schema, MAX_VALUES)
    return message.FromString(data)


def _protobuf_span(span: Any, service: Any, values: _ProtobufValues) -> OtelSpan:
    return OtelSpan(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        name=span.name,
        started_ns=span.start_time_unix_nano,
        ended_ns=span.end_time_unix_nano,
        status=span.status.code,
        status_message=span.status.message,
        attributes=values.attributes(span.attributes),
        events=[(e.name, values.attributes(e.attributes)) for e in span.events],
        service=service if isinstance(service, str) else "",
    )


class _ProtobufValues:
    """Converts the attributes of one request, at most MAX_VALUES: an empty one takes two bytes.

    Raises TooManyValues.
    """

    def __init__(self) -> None:
        self._value_count = 0

    def attributes(self, items: Any) -> dict[str, Any]:
        """Attributes by name."""
        self._add_to_count(len(items))
        return {item.key: self._decode_value(item.value, 0) for item in items}

    def _decode_value(self, value: Any, depth: int) -> Any:
        name = value.WhichOneof("value")
        if name is None or depth == MAX_DEPTH:
            return None
        inner = getattr(value, name)
        match name:
            case "array_value":
                self._add_to_count(len(inner.values))
                return [self._decode_value(item, depth + 1) for item in inner.values]
            case "kvlist_value":
                self._add_to_count(len(inner.values))
                return {
                    item.key: self._decode_value(item.value, depth + 1) for item in inner.values
                }
            case "bytes_value":
                return b64encode(inner).decode()
            case "double_value" if not math.isfinite(inner):
                return None
        return inner

    def _add_to_count(self, count: int) -> None:
        self._value_count += count
        if self._value_count > MAX_VALUES:
            raise TooManyValues


# --- responses --------------------------------------------------------------------------


def render_success(parsed_spans: ParsedSpans, *, protobuf: bool) -> bytes:
    """An ExportTraceServiceResponse; with `partial_success` if spans were refused."""
    count, message = len(parsed_spans.rejections), describe_rejections(parsed_spans.rejections)
    if protobuf:
        if not count:
            return b""
        return _encode_field(
            1, b"\x08" + _encode_varint(count) + _encode_field(2, message.encode())
        )
    if not count:
        return b"{}"
    partial = {"rejectedSpans": str(count), "errorMessage": message}
    return msgspec.json.encode({"partialSuccess": partial})


def render_error(status: int, message: str, *, protobuf: bool) -> bytes:
    """A google.rpc.Status."""
    code = _STATUS_CODES.get(status, 2)
    if protobuf:
        return b"\x08" + _encode_varint(code) + _encode_field(2, message.encode())
    return msgspec.json.encode({"code": code, "message": message})


def _encode_field(number: int, data: bytes) -> bytes:
    """A length-delimited field."""
    return bytes([number << 3 | 2]) + _encode_varint(len(data)) + data


def _encode_varint(value: int) -> bytes:
    result = bytearray()
    while value > 0x7F:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*result, value])
