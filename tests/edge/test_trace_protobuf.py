"""Spans in protobuf are decoded one by one, with limits before decoding."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.client_spans.otlp import MAX_VALUES, decode_protobuf, parse_spans
from gateway.client_spans.protobuf_wire import check_values, merge_submessage, submessages
from gateway.client_spans.span import MAX_BYTES, MalformedBody, TooManyItems, TooManyValues
from tests.each import each

pytest.importorskip("opentelemetry.proto")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2


def field(number: int, data: bytes) -> bytes:
    length, encoded = len(data), bytearray()
    while length > 0x7F:
        encoded.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([number << 3 | 2, *encoded, length]) + data


def request_of(span: bytes) -> bytes:
    return field(1, field(2, field(2, span)))


COUNT = MAX_BYTES // 2 - 100
HOSTILE = {
    "empty spans": (field(1, field(2, b"\x12\x00" * COUNT)), TooManyItems),
    "empty attributes": (request_of(b"\x4a\x00" * COUNT), TooManyValues),
    "empty values": (
        request_of(field(9, field(1, b"k") + field(2, field(5, b"\x0a\x00" * COUNT)))),
        TooManyValues,
    ),
    "empty events": (request_of(field(11, b"\x1a\x00" * COUNT)), TooManyValues),
    "empty attributes of a resource": (field(1, field(1, b"\x0a\x00" * COUNT)), TooManyValues),
}
# A message of this size, whatever is in it, takes some milliseconds to decode.
MAX_UNCOUNTED = 128 * 1024


@pytest.mark.parametrize("name", HOSTILE)
def test_many_empty_messages_are_refused_before_they_are_decoded(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """One call of the package holds the GIL: for these bodies 0.2 to 0.9 seconds."""
    decoded: list[int] = []
    for module, message in ((trace_pb2, "Span"), (resource_pb2, "Resource")):
        cls = getattr(module, message)

        class Recorder:
            original = cls

            @classmethod
            def FromString(cls, data: bytes) -> Any:
                decoded.append(len(data))
                return cls.original.FromString(data)

        monkeypatch.setattr(module, message, Recorder)
    body, error = HOSTILE[name]
    assert len(body) <= MAX_BYTES
    with pytest.raises(error):
        parse_spans(decode_protobuf(body))
    assert max(decoded, default=0) <= MAX_UNCOUNTED


def test_spans_are_those_of_the_whole_message() -> None:
    request = ExportTraceServiceRequest()
    for service in ("a", "b"):
        resource = request.resource_spans.add()
        attribute = resource.resource.attributes.add(key="service.name")
        attribute.value.string_value = service
        for scope in (resource.scope_spans.add(), resource.scope_spans.add()):
            scope.scope.name = "ignored"
            span = scope.spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, name="chat")
            span.start_time_unix_nano = span.end_time_unix_nano = 1
            value = span.attributes.add(key="k").value.array_value.values.add()
            value.kvlist_value.values.add(key="inner").value.int_value = 3
            span.events.add(name="e").attributes.add(key="big").value.string_value = "x" * 300_000
    spans: list[Any] = list(decode_protobuf(request.SerializeToString()))
    assert [(span.service, span.name) for span in spans] == [
        *[("a", "chat")] * 2,
        *[("b", "chat")] * 2,
    ]
    assert {str(span.attributes) for span in spans} == {"{'k': [{'inner': 3}]}"}
    assert [len(span.events[0][1]["big"]) for span in spans] == [300_000] * 4


@each(
    "body",
    [
        b"\x0a\x05ab",  # a length beyond the end
        b"\x0b",  # a group
        b"\x09abc",  # a number that is cut
        b"\x0a" + b"\xff" * 11,  # a number without an end
        request_of(b"\x0a\x05ab"),
    ],
)
def test_invalid_protobuf_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        parse_spans(decode_protobuf(body))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_malformed(data: bytes) -> None:
    try:
        list(submessages(data, 1))
        merge_submessage(data, 2)
        check_values(data, {1: {1: {}}}, MAX_VALUES)
    except MalformedBody:
        pass


def test_messages_of_the_schema_are_counted() -> None:
    data = field(1, field(2, b"x") * 3) + field(3, b"text")
    check_values(data, {1: {2: {}}}, 4)
    with pytest.raises(TooManyValues):
        check_values(data, {1: {2: {}}}, 3)
