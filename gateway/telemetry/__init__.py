"""Export of log records: OpenTelemetry traces and metrics, access log."""
