"""A strict OTLP/HTTP collector, which accepts only what a real one accepts."""

from __future__ import annotations

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_MESSAGES = {
    "/v1/traces": ExportTraceServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
    "/v1/logs": ExportLogsServiceRequest,
}


class Collector:
    """A collector that records exports. `refusals` are the reasons of its 400 responses."""

    def __init__(self, *, headers: dict[str, str] | None = None) -> None:
        self.required_headers = headers or {}
        self.spans: list[Any] = []
        self.metrics: list[Any] = []
        self.logs: list[Any] = []
        self.resources: list[dict[str, Any]] = []
        self.refusals: list[str] = []
        self.payload = b""
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                reason = collector._receive(self.path, self.headers, body)
                if reason:
                    collector.refusals.append(reason)
                self.send_response(400 if reason else 200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _receive(self, path: str, headers: Any, body: bytes) -> str:
        message_type = _MESSAGES.get(path)
        if message_type is None:
            return f"no such path: {path}"
        if headers["content-type"] != "application/x-protobuf":
            return f"content-type {headers['content-type']}"
        for name, value in self.required_headers.items():
            if headers[name] != value:
                return f"header {name}"
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        message = message_type.FromString(body)
        self.payload += body
        if path == "/v1/traces":
            return self._receive_spans(message)
        groups = message.resource_metrics if path == "/v1/metrics" else message.resource_logs
        for group in groups:
            self.resources.append(attributes(group.resource))
            for scope in group.scope_metrics if path == "/v1/metrics" else group.scope_logs:
                if path == "/v1/metrics":
                    self.metrics += scope.metrics
                else:
                    self.logs += scope.log_records
        return ""

    def _receive_spans(self, message: Any) -> str:
        for group in message.resource_spans:
            self.resources.append(attributes(group.resource))
            if not attributes(group.resource).get("service.name"):
                return "service.name is missing"
            for scope in group.scope_spans:
                for span in scope.spans:
                    if len(span.trace_id) != 16 or len(span.span_id) != 8:
                        return "the length of an id"
                    if not any(span.trace_id) or not any(span.span_id):
                        return "an id of zeros"
                    if not span.name or span.end_time_unix_nano < span.start_time_unix_nano:
                        return "a span without a name or duration"
                    self.spans.append(span)
        return ""


def attributes(holder: Any) -> dict[str, Any]:
    """Return the attributes of a span, a resource or a data point as Python values."""
    return {pair.key: _value(pair.value) for pair in holder.attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None
