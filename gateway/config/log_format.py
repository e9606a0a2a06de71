"""Formats of log lines: `message key=value ...`, or one JSON object."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime

_STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
MAX_VALUE_CHARS = 300
# JSON allows them in texts, but some programs break lines at them, or show a line in another order.
_UNPRINTABLE = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


class KeyValueFormatter(logging.Formatter):
    """Appends the fields of a record's `extra` to its message."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line without a traceback."""
        line = super().formatMessage(record)
        pairs = [
            f"{name}={_format_value(value)}"
            for name, value in vars(record).items()
            if _is_extra_field(name, value)
        ]
        return " ".join([line, *pairs])


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON, with the fields of its `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a traceback is in `exception`."""
        logged_at = datetime.fromtimestamp(record.created, UTC)
        line = {
            "time": logged_at.isoformat("T", "milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name, value in vars(record).items() if _is_extra_field(name, value)},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        text = json.dumps(line, ensure_ascii=False, default=str)
        return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def without_traceback(record: logging.LogRecord) -> bool:
    """A filter for records that anyone can cause: their message says enough."""
    record.exc_info = None
    return True


def _is_extra_field(name: str, value: object) -> bool:
    return name not in _STANDARD_FIELDS and isinstance(value, str | int | float | bool)


def _format_value(value: object) -> str:
    """Format a value as one word or in quotes, without line breaks."""
    text = str(value)[:MAX_VALUE_CHARS]
    unquoted = text.isprintable() and not any(character in text for character in " =\"'")
    return text if unquoted and text else repr(text)
