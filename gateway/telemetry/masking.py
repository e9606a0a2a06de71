"""A filter that keeps keys out of log lines of requests."""

from __future__ import annotations

import logging

from gateway.providers.redact import scrub


class MaskingFilter(logging.Filter):
    """Masks key-like secrets in the arguments of messages, such as paths of requests."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True, after masking the arguments."""
        if isinstance(record.args, tuple):
            record.args = tuple(scrub(arg) if isinstance(arg, str) else arg for arg in record.args)
        return True
