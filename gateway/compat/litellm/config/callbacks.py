"""`callbacks`, `success_callback` and others: the replacement of each LiteLLM integration."""

from __future__ import annotations

from gateway.compat.litellm.config.reader import Node
from gateway.compat.litellm.config.report import Report

_KEYS = ("callbacks", "success_callback", "failure_callback", "service_callback")
_OTLP = "OTEL_EXPORTER_OTLP_ENDPOINT"
_EXPORT = "set DRAGOMAN_LOG_EXPORT_URL (docs/observability.md)"
_ALERTS = "create an alert channel in the console (docs/observability.md)"
_LOG = "requests are in the request log, and at GET /api/requests"
# Integration -> its replacement; an empty text needs no remark.
_REPLACEMENTS = {
    "prometheus": "",
    "prometheus_system": "",
    "otel": f"set {_OTLP} to your collector (docs/observability.md)",
    "langfuse": f"set {_OTLP} to Langfuse's OTLP endpoint (docs/observability.md)",
    "langfuse_otel": f"set {_OTLP} to Langfuse's OTLP endpoint (docs/observability.md)",
    "langsmith": f"set {_OTLP} to LangSmith's OTLP endpoint (docs/observability.md)",
    "datadog": f"set {_OTLP} to Datadog's agent, or scrape GET /metrics",
    "s3": _EXPORT,
    "gcs_bucket": _EXPORT,
    "slack": _ALERTS,
    "email": _ALERTS,
}


def report_callbacks(section: Node, report: Report) -> None:
    """Report the integrations that are not supported. Raises ConfigError."""
    for key in _KEYS:
        node = section.get(key)
        if node is None:
            continue
        for item in node.list() if isinstance(node.value, tuple) else (node,):
            report_callback(item, report)


def report_callback(item: Node, report: Report) -> None:
    """Report one integration, if it is not supported."""
    if isinstance(item.value, dict):
        report.add_skipped(item, "is not supported: only names of integrations are")
        return
    name = item.text(max_length=200)
    if "." in name:
        reason = f"`{name}` is not loaded: code is not loaded from configuration files"
        report.add_skipped(item, f"{reason}; {_LOG}")
    elif (replacement := _REPLACEMENTS.get(name.lower())) is None:
        report.add_skipped(item, f"`{name}` is not supported: {_LOG}")
    elif replacement:
        report.add(item, replacement)
