"""OpenTelemetry's metrics for generative AI, from log records.

https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opentelemetry.sdk.metrics import MeterProvider

from gateway.relay.exchange.log_record import LogRecord
from gateway.relay.journal.metrics import RegistryNames
from gateway.routing.snapshot import Snapshot
from gateway.telemetry.exporter import QueuedRecord
from gateway.telemetry.labels import ProviderLabel, operation_name, provider_labels

# The conventions' own boundaries.
_TOKENS = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216]
_OPERATION_S = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56]
_OPERATION_S += [5.12, 10.24, 20.48, 40.96, 81.92]
_FIRST_CHUNK_S = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25]
_FIRST_CHUNK_S += [0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0]


class MetricConsumer:
    """Counts records; the meter provider exports the counts at intervals.

    Requests without a call of a provider (rejected ones, cache hits) are not counted. Models are
    labeled by the names of the registry, as in the Prometheus metrics: a client that invents
    names would otherwise use up the SDK's limit of label combinations.
    """

    all_records = True
    bodies = False

    def __init__(self, meters: MeterProvider, version: str) -> None:
        self._meters = meters
        self._labels: Mapping[str, ProviderLabel] = {}
        self._snapshot: Snapshot | None = None
        self._names = RegistryNames(None)
        meter = meters.get_meter("dragoman", version)
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "GenAI operation duration.",
            explicit_bucket_boundaries_advisory=_OPERATION_S,
        )
        self._first_chunk = meter.create_histogram(
            "gen_ai.client.operation.time_to_first_chunk",
            "s",
            "Time to the first chunk of the response.",
            explicit_bucket_boundaries_advisory=_FIRST_CHUNK_S,
        )

    def use_snapshot(self, snapshot: Snapshot) -> None:
        """Set the providers and models by which values are labeled."""
        self._labels, self._snapshot = provider_labels(snapshot), snapshot

    def consume(self, batch: Sequence[QueuedRecord]) -> None:
        """Count one batch."""
        snapshot = self._snapshot
        if self._names.snapshot is not snapshot:
            self._names = RegistryNames(snapshot)  # slow for large registries: not in the loop
        for item in batch:
            if any(attempt.skipped is None for attempt in item.record.attempts):
                self._count_record(item.record)

    def close(self) -> None:
        """Export the last values."""
        self._meters.shutdown()

    def _count_record(self, record: LogRecord) -> None:
        provider, model = self._names.target(record.provider, record.model)
        label = self._labels.get(record.provider) or ProviderLabel(provider)
        attributes: dict[str, str | int] = {
            "gen_ai.operation.name": operation_name(record, record.upstream_dialect),
            "gen_ai.provider.name": label.name,
            "gen_ai.request.model": model,
            "server.address": label.address,
            "server.port": label.port,
        }
        error_attributes = {"error.type": record.error_kind} if record.error_kind else {}
        self._duration.record(record.duration_ms / 1000, {**attributes, **error_attributes})
        if record.stream and record.first_token_ms is not None:
            self._first_chunk.record(record.first_token_ms / 1000, attributes)
        if record.prompt_tokens is not None:
            prompt = {**attributes, "gen_ai.token.type": "input"}
            self._tokens.record(record.prompt_tokens, prompt)
        if record.output_tokens is not None:
            output = {**attributes, "gen_ai.token.type": "output"}
            self._tokens.record(record.output_tokens, output)
