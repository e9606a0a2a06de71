"""OpenTelemetry's standard environment variables, checked at the start.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
The exporters read endpoints, headers, certificates and timeouts themselves.
"""

from __future__ import annotations

from typing import NamedTuple

from django.core.exceptions import ImproperlyConfigured

from gateway.config import environment as env

_PROTOCOL = "http/protobuf"
_SAMPLERS = ("always_on", "always_off", "traceidratio")


class OtelSettings(NamedTuple):
    """Signals to export over OTLP, and how.

    Attributes:
        ratio: share of traces that are exported, 0 to 1.
        parent_based: whether the decision in a client's `traceparent` has precedence.
        capture_content: whether spans contain prompts and responses.
    """

    traces: bool = False
    metrics: bool = False
    logs: bool = False
    ratio: float = 1.0
    parent_based: bool = True
    capture_content: bool = False

    @property
    def enabled(self) -> bool:
        """Whether anything is exported."""
        return self.traces or self.metrics or self.logs


def read_otel_settings() -> OtelSettings:
    """Read the variables. Raises ImproperlyConfigured.

    Traces are exported as soon as an endpoint is set. Metrics and logs have to be requested
    (`OTEL_METRICS_EXPORTER=otlp`): many backends for traces accept nothing else.
    """
    if env.boolean("OTEL_SDK_DISABLED", default=False):
        return OtelSettings()
    endpoint = env.text("OTEL_EXPORTER_OTLP_ENDPOINT")
    traces_endpoint = env.text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    default = "otlp" if endpoint or traces_endpoint else "none"
    otel_settings = OtelSettings(
        traces=_exports_otlp("OTEL_TRACES_EXPORTER", default),
        metrics=_exports_otlp("OTEL_METRICS_EXPORTER", "none"),
        logs=_exports_otlp("OTEL_LOGS_EXPORTER", "none"),
    )
    if not otel_settings.enabled:
        return otel_settings
    env.require_extra("OTEL_EXPORTER_OTLP_ENDPOINT", "opentelemetry.exporter.otlp", "otel")
    protocol = env.text("OTEL_EXPORTER_OTLP_PROTOCOL", _PROTOCOL)
    if protocol != _PROTOCOL:
        raise ImproperlyConfigured(
            f"OTEL_EXPORTER_OTLP_PROTOCOL: {protocol!r} is not supported; use {_PROTOCOL} "
            "(port 4318 of a collector)"
        )
    for name in ("", "_TRACES", "_METRICS", "_LOGS"):
        url = env.text(f"OTEL_EXPORTER_OTLP{name}_ENDPOINT")
        if url and not url.startswith(("http://", "https://")):
            raise ImproperlyConfigured(
                f"OTEL_EXPORTER_OTLP{name}_ENDPOINT must be a URL that begins with http:// or "
                f"https://, not {url!r}"
            )
    ratio, parent_based = _sampling_settings()
    return otel_settings._replace(
        ratio=ratio,
        parent_based=parent_based,
        capture_content=env.boolean(
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", default=False
        ),
    )


def _exports_otlp(name: str, default: str) -> bool:
    value = env.text(name).strip() or default
    if value not in {"otlp", "none"}:
        raise ImproperlyConfigured(f"{name} must be otlp or none, not {value!r}")
    return value == "otlp"


def _sampling_settings() -> tuple[float, bool]:
    name = env.text("OTEL_TRACES_SAMPLER", "parentbased_always_on").strip()
    base = name.removeprefix("parentbased_")
    if base not in _SAMPLERS:
        sampler_names = ", ".join(
            [*_SAMPLERS, *(f"parentbased_{sampler}" for sampler in _SAMPLERS)]
        )
        raise ImproperlyConfigured(
            f"OTEL_TRACES_SAMPLER must be one of {sampler_names}, not {name!r}"
        )
    ratio = {"always_on": 1.0, "always_off": 0.0}.get(base)
    if ratio is None:
        ratio = env.number("OTEL_TRACES_SAMPLER_ARG", 1.0)
        if ratio > 1:
            raise ImproperlyConfigured("OTEL_TRACES_SAMPLER_ARG must be between 0 and 1")
    return ratio, base != name
