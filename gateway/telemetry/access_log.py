"""The access log: one line for each model request, without its content."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from gateway.relay.exchange.log_record import LogRecord
from gateway.routing.snapshot import Snapshot
from gateway.telemetry.exporter import QueuedRecord

log = logging.getLogger("gateway.access")


class AccessLogConsumer:
    """Writes each record to the logger `gateway.access`."""

    all_records = True
    bodies = False

    def use_snapshot(self, snapshot: Snapshot) -> None:
        """Nothing here depends on the registry."""

    def consume(self, batch: Sequence[QueuedRecord]) -> None:
        """Write one line per record."""
        for item in batch:
            log.info("request", extra=_record_fields(item.record))

    def close(self) -> None:
        """The logger is closed by the process."""


def _record_fields(record: LogRecord) -> dict[str, str | int | float | bool]:
    fields: dict[str, str | int | float | bool | None] = {
        "started_at": datetime.fromtimestamp(record.started_at, UTC).isoformat("T", "milliseconds"),
        "request_id": record.id,
        "client_request_id": record.client_request_id,
        "trace_id": record.trace_id,
        "endpoint": record.endpoint,
        "status": record.status,
        "outcome": record.outcome,
        "error_kind": record.error_kind,
        "duration_ms": record.duration_ms,
        "first_token_ms": record.first_token_ms,
        "key": record.key_prefix,
        "client_ip": record.client_ip,
        "model": record.requested_model,
        "route": record.route,
        "provider": record.provider,
        "upstream_model": record.model,
        "stream": record.stream,
        "attempts": sum(attempt.skipped is None for attempt in record.attempts),
        "input_tokens": record.input_tokens,
        "output_tokens": record.output_tokens,
        "cost_usd": None if record.cost_usd is None else float(record.cost_usd),
        "cache": record.cache,
    }
    return {name: value for name, value in fields.items() if value is not None and value != ""}
