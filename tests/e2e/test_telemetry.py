"""`up` with OpenTelemetry, an access log, JSON log lines and alerts."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from tests.e2e.test_up import running_up
from tests.fakes.otlp import Collector, attributes
from tests.waits import wait_until

pytestmark = pytest.mark.e2e


def test_traces_metrics_logs_and_access_log_are_written(tmp_path: Path) -> None:
    with Collector() as collector:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_METRICS_EXPORTER": "otlp",
            "OTEL_LOGS_EXPORTER": "otlp",
            "OTEL_SERVICE_NAME": "llm-gateway",
            "DRAGOMAN_ACCESS_LOG": "true",
            "DRAGOMAN_LOG_FORMAT": "json",
        }
        with running_up(tmp_path / "data", **variables) as gateway:
            assert gateway.chat(gateway.key).status_code == 200
            assert gateway.chat("wrong").status_code == 401
            assert gateway.end() == 0
            output = gateway.output
        assert collector.refusals == []
    spans = {span.name: span for span in collector.spans}
    assert len(collector.spans) == 3  # two requests, one attempt
    demo = next(span for name, span in spans.items() if name.startswith("chat "))
    assert attributes(demo)["gen_ai.usage.output_tokens"] > 0
    assert {resource["service.name"] for resource in collector.resources} == {"llm-gateway"}
    measured = {metric.name for metric in collector.metrics}
    assert {"gen_ai.client.token.usage", "gen_ai.client.operation.duration"} <= measured
    assert any(record.body.string_value == "request" for record in collector.logs)
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    requests = [line for line in lines if line["logger"] == "gateway.access"]
    assert [line["status"] for line in requests] == [200, 401]
    assert requests[0]["model"] == "demo"
    assert requests[0]["output_tokens"] > 0
    assert len(requests[0]["trace_id"]) == 32
    assert "Hello" not in json.dumps(requests)


def test_an_expiring_key_raises_an_alert(tmp_path: Path) -> None:
    """A running gateway shows the alert on its page without a channel."""
    with running_up(tmp_path / "data", DRAGOMAN_ALERT_INTERVAL="1") as gateway:
        admin = (tmp_path / "data" / "admin_key").read_text()
        headers = {"authorization": f"Bearer {admin}"}
        soon = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        response = httpx.post(
            f"{gateway.base}/api/keys", json={"name": "ci", "expires_at": soon}, headers=headers
        )
        assert response.status_code == 201
        database = sqlite3.connect(tmp_path / "data" / "dragoman.sqlite3")

        def subjects() -> list[str]:
            return [row[0] for row in database.execute("SELECT subject FROM gateway_alert")]

        wait_until(lambda: len(subjects()) == 1)
        assert subjects()[0].startswith("ci (")
        database.close()
        assert gateway.end() == 0
