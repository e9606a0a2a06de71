"""Traces from clients: stored fields and refused input."""

from __future__ import annotations

import gzip
import json
import time
import zlib
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from gateway.canon.errors import GatewayError
from gateway.client_spans.span import MAX_BYTES, MAX_ITEMS, SpanBatch
from gateway.edge import traces
from gateway.providers.masks import compile_mask
from gateway.relay.state.client_spans import MAX_CONCURRENT, MAX_PER_KEY, ClientSpans
from tests.relay.harness import Gateway, Reply, gateway, provider, route, snapshot
from tests.relay.test_metrics import metric_value, metrics_page

INGEST, OTLP = "/v1/traces/ingest", "/v1/traces"
TRACE_ID, SPAN_ID = "ab" * 16, "cd" * 8
JSON = {"content-type": "application/json"}
PROTOBUF = {"content-type": "application/x-protobuf"}
SECRET = "sk-abcdefghijklmnopqrstuvwx"


class RecordingStore(list[SpanBatch]):
    """A store that records written batches, or raises `failure`."""

    failure: Exception | None = None

    def write(self, batch: SpanBatch) -> None:
        if self.failure is not None:
            raise self.failure
        self.append(batch)


@pytest.fixture
def span_store() -> RecordingStore:
    return RecordingStore()


@pytest.fixture
async def live(tmp_path: Path, span_store: RecordingStore) -> AsyncIterator[Gateway]:
    quiet = route("quiet", provider("a"), log_bodies=False)
    registry = snapshot(route("gw", provider("a")), quiet, masks=(compile_mask("ACME-[0-9]{4}"),))
    async with gateway(tmp_path, registry, write_spans=span_store.write) as live_gateway:
        yield live_gateway


def trace(**changes: Any) -> dict[str, Any]:
    return {"object": "trace", "id": "trace_1", "workflow_name": "W", "group_id": "g", **changes}


def span(data: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "object": "trace.span",
        "id": "span_1",
        "trace_id": "trace_1",
        "parent_id": None,
        "started_at": "2026-11-20T10:00:00.000000+00:00",
        "ended_at": "2026-11-20T10:00:01.500000+00:00",
        "span_data": data or {"type": "function", "name": "lookup", "input": "{}", "output": "1"},
        "error": None,
        **changes,
    }


def otel(**changes: Any) -> dict[str, Any]:
    now = time.time_ns()
    return {
        "traceId": TRACE_ID,
        "spanId": SPAN_ID,
        "name": "chat gw",
        "startTimeUnixNano": str(now),
        "endTimeUnixNano": str(now + 10**9),
        "attributes": [],
        **changes,
    }


def export(*spans: Any) -> dict[str, Any]:
    return {"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}


def message(reply: Reply) -> str:
    body = json.loads(reply.body)
    return str(body["error"]["message"] if "error" in body else body["message"])


async def test_items_of_the_agents_sdk_are_stored(
    live: Gateway, span_store: RecordingStore
) -> None:
    reply = await live.post(INGEST, {"data": [trace(), span()]})
    assert (reply.status, reply.body) == (204, b"")
    (batch,) = span_store
    assert (batch.key_id, batch.key_prefix) == (1, "sk-dgm-te")
    (stores_content,) = batch.traces
    assert (stores_content.trace_id, stores_content.name, stores_content.session) == (
        "trace_1",
        "W",
        "g",
    )
    (stored_span,) = batch.spans
    assert (stored_span.kind, stored_span.name, stored_span.error) == ("tool", "lookup", "")
    assert stored_span.ended_at is not None
    assert stored_span.ended_at - stored_span.started_at == pytest.approx(1.5)
    assert json.loads(batch.packed[0]) == {"input": "{}", "output": "1"}


async def test_malformed_items_are_reported_and_valid_ones_stored(
    live: Gateway, span_store: RecordingStore
) -> None:
    items = [
        span(),
        span(id="x" * 65),
        span(trace_id=""),
        {"object": "run", "id": "r"},
        7,
        span(started_at="soon"),
        span(span_data="?"),
        span(span_data={"name": "no type"}),
        trace(id="a b"),
    ]
    reply = await live.post(INGEST, {"data": items})
    assert reply.status == 400
    paths = ("[1].id", "[2].trace_id", "[3].object", "[4]", "[5].started_at", "[6].span_data")
    for path in (*paths, "[7].span_data.type", "[8].id"):
        assert f"data{path}:" in message(reply)
    assert "8 of the items were not stored, 1 spans were" in message(reply)
    assert [stored_span.span_id for stored_span in span_store[0].spans] == ["span_1"]


async def test_an_unknown_kind_of_span_is_custom(live: Gateway, span_store: RecordingStore) -> None:
    data = {"type": "novelty", "secret_text": "of a user"}
    assert (await live.post(INGEST, {"data": [span(data)]})).status == 204
    (stored_span,) = span_store[0].spans
    assert (stored_span.kind, stored_span.name, stored_span.attributes) == (
        "custom",
        "novelty",
        {"type": "novelty"},
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b"{", "not valid JSON", id="cut"),
        pytest.param(b"[]", "data: must be a list", id="a list"),
        pytest.param(b'{"data": {}}', "data: must be a list", id="an object"),
        pytest.param(b"[" * 100_000, "not valid JSON", id="deep"),
    ],
)
async def test_a_traces_body_of_another_format_is_refused(
    live: Gateway, span_store: RecordingStore, body: bytes, reason: str
) -> None:
    reply = await live.post(INGEST, body)
    assert reply.status == 400
    assert reason in message(reply)
    assert not span_store


@pytest.mark.parametrize("path", [INGEST, OTLP])
async def test_a_wrong_key_is_refused(live: Gateway, span_store: RecordingStore, path: str) -> None:
    reply = await live.post(path, {"data": [span()]}, key="sk-dgm-wrong", headers=JSON)
    assert reply.status == 401
    assert "not valid" in message(reply)
    assert not span_store


async def test_only_post_is_allowed_for_traces(live: Gateway) -> None:
    reply = await live.post(OTLP, b"", method="GET")
    assert reply.status == 405


@pytest.mark.parametrize("path", [INGEST, OTLP])
async def test_the_body_size_is_bounded_before_and_after_decompression(
    live: Gateway, span_store: RecordingStore, path: str
) -> None:
    large = b" " * (10 * 1024 * 1024)
    plain = await live.post(path, large, headers=JSON)
    bomb = await live.post(
        path, gzip.compress(b" " * (MAX_BYTES * 3)), headers={**JSON, "content-encoding": "gzip"}
    )
    assert (plain.status, bomb.status) == (413, 413)
    assert "after decompression" in message(bomb)
    assert not span_store


@pytest.mark.parametrize(
    ("encoding", "body", "reason"),
    [
        pytest.param("gzip", b"no gzip", "not valid gzip", id="other bytes"),
        pytest.param("gzip", gzip.compress(b"{}" * 999)[:-9], "incomplete", id="cut"),
        pytest.param("deflate", b"\x00", "not valid deflate", id="deflate"),
        pytest.param("br", b"x", "gzip, deflate or absent", id="brotli"),
    ],
)
async def test_a_broken_encoding_is_named(
    live: Gateway, encoding: str, body: bytes, reason: str
) -> None:
    reply = await live.post(OTLP, body, headers={**JSON, "content-encoding": encoding})
    assert reply.status == 400
    assert reason in message(reply)


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress], ids=["gzip", "deflate"])
async def test_compressed_bodies_are_stored(
    live: Gateway, span_store: RecordingStore, compress: Any
) -> None:
    encoding = "gzip" if compress is gzip.compress else "deflate"
    body = compress(json.dumps(export(otel())).encode())
    reply = await live.post(OTLP, body, headers={**JSON, "content-encoding": encoding})
    assert (reply.status, json.loads(reply.body)) == (200, {})
    assert len(span_store[0].spans) == 1


async def test_too_many_spans_in_one_request_are_refused(
    live: Gateway, span_store: RecordingStore
) -> None:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for number in range(100_000):
        scope.spans.add(span_id=number.to_bytes(8, "big"))
    started = time.monotonic()
    reply = await live.post(OTLP, request.SerializeToString(), headers=PROTOBUF)
    assert reply.status == 413
    assert b"smaller batch size" in reply.body
    items = await live.post(INGEST, {"data": [7] * (MAX_ITEMS + 1)})
    assert items.status == 413
    assert time.monotonic() - started < 20
    assert not span_store


async def test_spans_of_otlp_follow_the_conventions(
    live: Gateway, span_store: RecordingStore
) -> None:
    attributes = [
        {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
        {"key": "gen_ai.request.model", "value": {"stringValue": "gw"}},
        {"key": "gen_ai.response.id", "value": {"stringValue": "chatcmpl-1"}},
        {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "12"}},
        {"key": "gen_ai.usage.output_tokens", "value": {"intValue": 3}},
        {"key": "gen_ai.conversation.id", "value": {"stringValue": "talk"}},
        {"key": "gen_ai.input.messages", "value": {"stringValue": "Hello"}},
    ]
    status = {"code": 2, "message": "timed out"}
    reply = await live.post(OTLP, export(otel(attributes=attributes, status=status)), headers=JSON)
    assert reply.status == 200
    (stored_span,) = span_store[0].spans
    assert (stored_span.kind, stored_span.model, stored_span.response_id) == (
        "generation",
        "gw",
        "chatcmpl-1",
    )
    assert (stored_span.input_tokens, stored_span.output_tokens, stored_span.error) == (
        12,
        3,
        "timed out",
    )
    assert span_store[0].traces[0].session == "talk"
    assert "gen_ai.input.messages" not in stored_span.attributes
    assert json.loads(span_store[0].packed[0]) == {"gen_ai.input.messages": "Hello"}


async def test_numbers_beyond_64_bits_in_attributes_are_no_error(
    live: Gateway, span_store: RecordingStore
) -> None:
    attributes = [
        {"key": "big.double", "value": {"doubleValue": 10**400}},
        {"key": "big.int", "value": {"intValue": 10**400}},
        {"key": "gen_ai.request.top_k", "value": {"intValue": 10**400}},
    ]
    reply = await live.post(OTLP, export(otel(attributes=attributes)), headers=JSON)
    assert (reply.status, reply.body) == (200, b"{}")
    assert json.loads(span_store[0].packed[0] or b"")["big.double"] is None


@pytest.mark.parametrize("encoding", ["json", "protobuf"])
async def test_ids_of_wrong_length_are_a_partial_success(
    live: Gateway, span_store: RecordingStore, encoding: str
) -> None:
    problems = [otel(traceId="ab"), otel(spanId="00" * 8), otel(parentSpanId="xyz"), otel()]
    if encoding == "json":
        reply = await live.post(OTLP, export(*problems), headers=JSON)
        partial = json.loads(reply.body)["partialSuccess"]
        count, text = int(partial["rejectedSpans"]), partial["errorMessage"]
        assert count == 3
        assert "spans[2].parentSpanId: must be 8 bytes" in text
    else:
        request = ExportTraceServiceRequest()
        scope = request.resource_spans.add().scope_spans.add()
        now = time.time_ns()
        scope.spans.add(trace_id=b"short", span_id=b"12345678", start_time_unix_nano=now)
        scope.spans.add(trace_id=b"x" * 16, span_id=b"12345678", start_time_unix_nano=now)
        reply = await live.post(OTLP, request.SerializeToString(), headers=PROTOBUF)
        response = ExportTraceServiceResponse.FromString(reply.body)
        assert response.partial_success.rejected_spans == 1
        text = response.partial_success.error_message
    assert reply.status == 200
    assert "spans[0].traceId: must be 16 bytes" in text
    assert len(span_store[0].spans) == 1


@pytest.mark.parametrize("location", ["span", "resource", "array"])
async def test_protobuf_of_many_empty_attributes_is_refused(
    live: Gateway, span_store: RecordingStore, location: str
) -> None:
    """An empty attribute takes two bytes: compressed, a few kB are millions of them."""
    empty = b"\x4a\x00" * 300_000  # of a span; in other messages the field has another number
    if location == "span":
        body = _field(1, _field(2, _field(2, empty)))
    elif location == "resource":
        body = _field(1, _field(1, b"\x0a\x00" * 300_000) + _field(2, _field(2, b"")))
    else:
        array = _field(5, b"\x0a\x00" * 300_000)
        body = _field(1, _field(2, _field(2, _field(9, _field(2, array)))))
    headers = {**PROTOBUF, "content-encoding": "gzip"}
    reply = await live.post(OTLP, gzip.compress(body), headers=headers)
    assert reply.status == 413
    assert b"too many attributes" in reply.body
    assert not span_store


def _field(number: int, data: bytes) -> bytes:
    """Return a length-delimited field of protobuf."""
    size, length = len(data), bytearray()
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([number << 3 | 2, *length, size]) + data


async def test_invalid_protobuf_is_refused(live: Gateway) -> None:
    reply = await live.post(OTLP, b"\xff\xff\xff", headers=PROTOBUF)
    assert reply.status == 400
    assert b"not an ExportTraceServiceRequest" in reply.body


async def test_another_content_type_is_refused(live: Gateway) -> None:
    reply = await live.post(OTLP, b"x", headers={"content-type": "text/plain"})
    assert reply.status == 400
    assert "application/x-protobuf or application/json" in message(reply)


async def test_without_the_extra_protobuf_names_the_command(
    live: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.proto.trace.v1.trace_pb2", None)
    reply = await live.post(OTLP, b"", headers=PROTOBUF)
    assert reply.status == 400
    assert b"pip install 'dragoman[otel]'" in reply.body
    assert (await live.post(OTLP, export(otel()), headers=JSON)).status == 200


async def test_an_unavailable_database_is_a_retryable_error(
    live: Gateway, span_store: RecordingStore
) -> None:
    span_store.failure = OSError("disk full at /secret/path")
    reply = await live.post(INGEST, {"data": [span()]})
    assert reply.status == 503
    assert reply.headers["retry-after"] == "5"
    assert "secret" not in message(reply)
    span_store.failure = None
    assert (await live.post(INGEST, {"data": [span()]})).status == 204


async def test_requests_beyond_the_limit_wait_at_the_client(live: Gateway) -> None:
    live.runtime.client_spans.requests = MAX_CONCURRENT
    reply = await live.post(INGEST, {"data": [span()]})
    assert reply.status == 429
    assert reply.headers["retry-after"] == "1"


async def test_slow_requests_of_one_key_leave_capacity_for_other_keys() -> None:
    client_spans = ClientSpans(None)
    with ExitStack() as requests:
        for _ in range(MAX_PER_KEY):
            requests.enter_context(client_spans.admit(1))
        with pytest.raises(GatewayError, match="too many concurrent requests"):
            requests.enter_context(client_spans.admit(1))
        requests.enter_context(client_spans.admit(2))
    with client_spans.admit(1):
        assert client_spans.requests == 1


async def test_secrets_are_masked_everywhere(live: Gateway, span_store: RecordingStore) -> None:
    data = {"type": "function", "name": f"call {SECRET}", "input": {"a": SECRET, "b": "ACME-1234"}}
    error = {"message": f"denied for {SECRET}", "data": {"key": SECRET}}
    await live.post(INGEST, {"data": [trace(workflow_name=SECRET), span(data, error=error)]})
    written = msgspec.json.encode(span_store[0])
    assert SECRET not in written.decode()
    assert b"ACME-1234" not in span_store[0].packed[0]
    assert json.loads(span_store[0].packed[0] or b"")["input"]["b"].startswith("****")


async def test_masked_numbers_remain_valid_json(live: Gateway, span_store: RecordingStore) -> None:
    masks = (compile_mask("[0-9]{13,16}"), compile_mask("tru[e]"))
    live.runtime.snapshot = msgspec.structs.replace(live.runtime.snapshot, masks=masks)
    data = {"type": "function", "tools": [4111111111111111], "card": 4111111111111111, "ok": True}
    reply = await live.post(INGEST, {"data": [span({**data, "usage": {"ok": True}})]})
    assert reply.status == 204
    content = json.loads(span_store[0].packed[0] or b"")
    assert "4111111111111111" not in json.dumps(content)
    assert content["ok"] == "****"
    attributes = span_store[0].spans[0].attributes
    assert attributes["tools"] == [1111111111111111]
    assert attributes["usage"] == '{"ok":****}'


@pytest.mark.parametrize(
    ("is_visible", "model", "stores_content"),
    [
        pytest.param(None, "gw", True, id="setting on"),
        pytest.param(False, "gw", False, id="key off"),
        pytest.param(None, "quiet", False, id="route off"),
        pytest.param(True, "quiet", False, id="route off, key on"),
    ],
)
async def test_content_follows_the_policy_of_bodies(
    live: Gateway,
    span_store: RecordingStore,
    is_visible: bool | None,
    model: str,
    stores_content: bool,
) -> None:
    registry = live.runtime.snapshot
    (key,) = registry.keys.values()
    changed = msgspec.structs.replace(key, log_bodies=is_visible)
    live.runtime.snapshot = msgspec.structs.replace(registry, keys={key.digest: changed})
    data = {"type": "generation", "model": model, "input": [{"content": "private"}]}
    await live.post(INGEST, {"data": [span(data)]})
    assert bool(span_store[0].packed[0]) is stores_content
    assert b"private" not in msgspec.json.encode(span_store[0].spans[0].attributes)


async def test_long_content_is_truncated_and_marked(
    live: Gateway, span_store: RecordingStore
) -> None:
    data = {"type": "function", "name": "f", "input": "a", "output": "x" * 600_000}
    await live.post(INGEST, {"data": [span(data)]})
    content = json.loads(span_store[0].packed[0])
    assert (content["input"], content["truncated"]) == ("a", "output")
    assert len(span_store[0].packed[0]) < traces.MAX_CONTENT_BYTES + 1000


async def test_spans_are_counted_by_format_and_result(live: Gateway) -> None:
    await live.post(INGEST, {"data": [trace(), span(), span(id="b", started_at=None)]})
    await live.post(OTLP, export(otel(), otel(spanId="x")), headers=JSON)
    text = await metrics_page(live)
    for source in ("agents_sdk", "otlp"):
        for result in ("accepted", "rejected"):
            assert (
                metric_value(text, "dragoman_client_spans_total", format=source, result=result) == 1
            )
