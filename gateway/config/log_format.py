"""Log lines with their data: `message key=value ...`."""

from __future__ import annotations

import logging

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
MAX_VALUE_CHARS = 300


class KeyValueFormatter(logging.Formatter):
    """Adds what a record carries in `extra` to the end of its message."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line without a traceback."""
        line = super().formatMessage(record)
        pairs = [
            f"{name}={_value(value)}" for name, value in vars(record).items() if _shown(name, value)
        ]
        return " ".join([line, *pairs])


def _shown(name: str, value: object) -> bool:
    return name not in _STANDARD and isinstance(value, str | int | float | bool)


def _value(value: object) -> str:
    """A value in one word or in quotes; never a line break."""
    text = str(value)[:MAX_VALUE_CHARS]
    plain = text.isprintable() and not any(mark in text for mark in " =\"'")
    return text if plain and text else repr(text)
