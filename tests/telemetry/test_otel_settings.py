"""OpenTelemetry's environment variables are validated at the start."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from gateway.config.otel import OtelSettings, read_otel_settings

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, OtelSettings()),
        (ENDPOINT, OtelSettings(traces=True)),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "true"}, OtelSettings()),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}, OtelSettings()),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://x.example/v1/traces"},
            OtelSettings(traces=True),
        ),
        (
            {**ENDPOINT, "OTEL_METRICS_EXPORTER": "otlp", "OTEL_LOGS_EXPORTER": "otlp"},
            OtelSettings(traces=True, metrics=True, logs=True),
        ),
        (
            {
                **ENDPOINT,
                "OTEL_TRACES_SAMPLER": "traceidratio",
                "OTEL_TRACES_SAMPLER_ARG": "0.1",
                "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true",
            },
            OtelSettings(traces=True, ratio=0.1, parent_based=False, capture_content=True),
        ),
        (
            {**ENDPOINT, "OTEL_TRACES_SAMPLER": "parentbased_always_off"},
            OtelSettings(traces=True, ratio=0.0),
        ),
    ],
)
def test_otel_settings_follow_the_environment(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: OtelSettings
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert read_otel_settings() == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_SDK_DISABLED", "perhaps"),
    ],
)
def test_an_invalid_otel_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")
    monkeypatch.setenv(name, value)
    with pytest.raises(ImproperlyConfigured, match=name) as error:
        read_otel_settings()
    assert value in str(error.value)


@pytest.mark.parametrize("ratio", ["2", "-1", "x"])
def test_an_invalid_sampling_ratio_is_refused(monkeypatch: pytest.MonkeyPatch, ratio: str) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", ratio)
    with pytest.raises(ImproperlyConfigured, match="OTEL_TRACES_SAMPLER_ARG"):
        read_otel_settings()
