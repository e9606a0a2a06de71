"""Log records as OpenTelemetry spans: one for the request, one for each attempt.

Attributes follow the semantic conventions for generative AI
(https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/); the gateway's own begin
with `dragoman.`. Token counts are only on the span of the attempt that responded, so that a
backend that adds them up counts each request once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from gateway.relay.exchange.log_record import Attempt, LogRecord
from gateway.relay.exchange.trace import new_span_id
from gateway.routing.snapshot import Snapshot
from gateway.telemetry.content import content_attributes
from gateway.telemetry.exporter import QueuedRecord
from gateway.telemetry.labels import ProviderLabel, operation_name, provider_labels

_SAMPLED_FLAGS = TraceFlags(TraceFlags.SAMPLED)


class SpanConsumer:
    """Exports the sampled records as spans, over OTLP/HTTP.

    `capture_content` adds prompts and responses; it needs request logging with bodies.
    """

    all_records = False

    def __init__(
        self, exporter: OTLPSpanExporter, resource: Resource, version: str, *, capture_content: bool
    ) -> None:
        self.bodies = capture_content
        self._exporter = exporter
        self._resource = resource
        self._scope = InstrumentationScope("dragoman", version)
        self._labels: Mapping[str, ProviderLabel] = {}

    def use_snapshot(self, snapshot: Snapshot) -> None:
        """Set the providers by which spans are labeled."""
        self._labels = provider_labels(snapshot)

    def consume(self, batch: Sequence[QueuedRecord]) -> None:
        """Export one batch. Retries for a limited time; a failure is logged by the library."""
        spans = [span for item in batch for span in self._spans_of_record(item.record)]
        self._exporter.export(spans)

    def close(self) -> None:
        """Close the connection."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _spans_of_record(self, record: LogRecord) -> list[ReadableSpan]:
        start_ns = int(record.started_at * 1e9)
        context = _span_context(record.trace_id, record.span_id)
        parent = None
        if record.parent_span_id:
            parent = _span_context(record.trace_id, record.parent_span_id, remote=True)
        events = [
            Event("target skipped", {"dragoman.target": a.target, "reason": a.skipped}, start_ns)
            for a in record.attempts
            if a.skipped is not None
        ]
        request_span = ReadableSpan(
            name=f"POST {record.endpoint}" if record.endpoint.startswith("/") else record.endpoint,
            context=context,
            parent=parent,
            resource=self._resource,
            attributes=_request_attributes(record),
            events=events,
            kind=SpanKind.SERVER,
            status=_span_status(record.error if record.outcome != "ok" else None),
            start_time=start_ns,
            end_time=start_ns + int(record.duration_ms * 1e6),
            instrumentation_scope=self._scope,
        )
        return [request_span, *self._attempt_spans(record, context, start_ns)]

    def _attempt_spans(
        self, record: LogRecord, parent: SpanContext, start_ns: int
    ) -> list[ReadableSpan]:
        called_attempts = [attempt for attempt in record.attempts if attempt.skipped is None]
        spans = []
        for attempt in called_attempts:
            ended_ms = record.duration_ms if attempt.ended_ms is None else attempt.ended_ms
            attributes = self._attempt_attributes(record, attempt)
            if attempt is called_attempts[-1]:
                attributes |= _response_attributes(record)
                if self.bodies:
                    attributes |= content_attributes(record)
            spans.append(
                ReadableSpan(
                    name=f"{attributes['gen_ai.operation.name']} {attempt.model}",
                    context=_span_context(record.trace_id, attempt.span_id or new_span_id()),
                    parent=parent,
                    resource=self._resource,
                    attributes=attributes,
                    kind=SpanKind.CLIENT,
                    status=_span_status(attempt.error or attempt.error_kind),
                    start_time=start_ns + int(attempt.started_ms * 1e6),
                    end_time=start_ns + int(ended_ms * 1e6),
                    instrumentation_scope=self._scope,
                )
            )
        return spans

    def _attempt_attributes(self, record: LogRecord, attempt: Attempt) -> dict[str, Any]:
        label = self._labels.get(attempt.provider) or ProviderLabel(attempt.provider)
        return _without_empty(
            {
                "gen_ai.operation.name": operation_name(record, attempt.dialect),
                "gen_ai.provider.name": label.name,
                "gen_ai.request.model": attempt.model,
                "gen_ai.request.stream": record.stream,
                "gen_ai.conversation.id": record.session,
                "server.address": label.address,
                "server.port": label.port,
                "http.response.status_code": attempt.status,
                "error.type": attempt.error_kind,
                "dragoman.provider": attempt.provider,
                "dragoman.target": attempt.target,
                "dragoman.dialect": attempt.dialect,
            }
        )


def _request_attributes(record: LogRecord) -> dict[str, Any]:
    return _without_empty(
        {
            "http.route": record.endpoint if record.endpoint.startswith("/") else "",
            "http.response.status_code": record.status,
            "client.address": record.client_ip,
            "user_agent.original": record.user_agent,
            "error.type": record.error_kind,
            "dragoman.request.id": record.id,
            "dragoman.client_request.id": record.client_request_id,
            "dragoman.requested_model": record.requested_model,
            "dragoman.route": record.route,
            "dragoman.key": record.key_prefix,
            "dragoman.client_dialect": record.client_dialect,
            "dragoman.passthrough": record.passthrough,
            "dragoman.outcome": record.outcome,
            "dragoman.session": record.session,
            "user.id": record.end_user,
            "dragoman.cache": record.cache,
            "dragoman.adaptations": len(record.adaptations),
            "dragoman.overhead_ms": record.overhead_ms,
            "dragoman.cost_usd": None if record.cost_usd is None else float(record.cost_usd),
            "dragoman.tags": tuple(record.tags),
        }
    )


def _response_attributes(record: LogRecord) -> dict[str, Any]:
    return _without_empty(
        {
            "gen_ai.response.id": record.upstream_id,
            "gen_ai.response.finish_reasons": (record.finish,) if record.finish else None,
            "gen_ai.response.time_to_first_chunk": None
            if record.first_token_ms is None
            else record.first_token_ms / 1000,
            "gen_ai.usage.input_tokens": record.prompt_tokens,
            "gen_ai.usage.output_tokens": record.output_tokens,
            "gen_ai.usage.reasoning.output_tokens": record.reasoning_tokens,
            "gen_ai.usage.cache_read.input_tokens": record.cache_read_tokens,
            "gen_ai.usage.cache_creation.input_tokens": record.cache_write_tokens,
        }
    )


def _without_empty(attributes: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in attributes.items()
        if value is not None and value != "" and value != ()
    }


def _span_context(trace_id: str, span_id: str, *, remote: bool = False) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), remote, _SAMPLED_FLAGS)


def _span_status(error: str | None) -> Status:
    return Status(StatusCode.ERROR, error) if error else Status(StatusCode.UNSET)
