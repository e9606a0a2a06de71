"""Starts the export of log records in a serving process, as the settings say.

The OpenTelemetry libraries are an extra and slow to import: they are imported on use.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from gateway.config.otel import OtelSettings
from gateway.telemetry.access_log import AccessLogConsumer
from gateway.telemetry.exporter import Consumer, RecordExporter, Sampler

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

log = logging.getLogger(__name__)

# The libraries log each failed export; one line in this many seconds is enough.
REPEAT_S = 60.0


def start_telemetry(otel: OtelSettings, version: str, *, access_log: bool) -> RecordExporter | None:
    """Start the configured exports; None if there are none."""
    consumers: list[Consumer] = [AccessLogConsumer()] if access_log else []
    if otel.enabled:
        _limit_library_messages()
        consumers += _otlp_consumers(otel, version)
    if not consumers:
        return None
    sampler = Sampler(otel.ratio, parent_based=otel.parent_based, enabled=otel.traces)
    return RecordExporter(consumers, sampler)


def _otlp_consumers(otel: OtelSettings, version: str) -> list[Consumer]:
    resource = _otel_resource(version)
    consumers: list[Consumer] = []
    if otel.traces:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        from gateway.telemetry.spans import SpanConsumer

        spans = SpanConsumer(
            OTLPSpanExporter(), resource, version, capture_content=otel.capture_content
        )
        consumers.append(spans)
    if otel.metrics:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

        from gateway.telemetry.gen_ai_metrics import MetricConsumer

        reader = PeriodicExportingMetricReader(OTLPMetricExporter())
        meters = MeterProvider([reader], resource, shutdown_on_exit=False)
        consumers.append(MetricConsumer(meters, version))
    if otel.logs:
        _export_application_log(resource)
    return consumers


def _otel_resource(version: str) -> Resource:
    """`OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`; the service's name is `dragoman`."""
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource

    default_resource = Resource({"service.name": "dragoman", "service.version": version})
    return Resource.create().merge(default_resource).merge(OTELResourceDetector().detect())


def _export_application_log(resource: Resource) -> None:
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.instrumentation.logging.handler import LoggingHandler
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    provider = LoggerProvider(resource)
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    logging.getLogger().addHandler(LoggingHandler(logger_provider=provider))


class _LibraryMessages(logging.Handler):
    """Repeats a library's message at most once in REPEAT_S, in the gateway's own log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._next = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Log the message unless one was logged a short time ago."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + REPEAT_S
            log.warning("OpenTelemetry: %s", record.getMessage())


def _limit_library_messages() -> None:
    library = logging.getLogger("opentelemetry")
    library.propagate = False
    library.handlers = [_LibraryMessages()]
