"""How long a client must wait before a retry: all known headers and fields -> whole seconds."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

# No legitimate duration, number or date is longer; anything longer is ignored.
MAX_CHARS = 64
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")
_SECONDS_BY_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_MAX_WAIT_S = 7 * 86400
# Remaining requests or tokens of an OpenAI rate limit window, and when it resets. OpenRouter has
# them without a suffix.
_REMAINING_PREFIX, _RESET_PREFIX = "x-ratelimit-remaining", "x-ratelimit-reset"
# A larger number in a reset is a Unix time, in seconds or in milliseconds.
_MIN_TIME_S, _MIN_TIME_MS = 1e9, 1e12


def should_retry(headers: Mapping[str, str]) -> bool | None:
    """The value of `x-should-retry`; None if absent."""
    return {"true": True, "false": False}.get(headers.get("x-should-retry", "").lower())


def retry_after(headers: Mapping[str, str], payload: Any) -> int | None:
    """Whole seconds to wait, rounded up; None if not reported.

    In this order: `retry-after-ms`, `retry-after` (seconds, a duration such as `7s`, or a date,
    measured from the response's own `date`), a used-up `x-ratelimit-*` or `anthropic-ratelimit-*`
    window (a window that reports only its reset counts as used up), Google's RetryInfo.
    """
    millis = _parse_number(headers.get("retry-after-ms"))
    seconds = millis / 1000 if millis is not None else None
    if seconds is None and (header := headers.get("retry-after")) is not None:
        seconds = parse_duration(header)
        if seconds is None:
            seconds = _seconds_between(header, headers.get("date"))
    if seconds is None:
        seconds = _window_wait(headers)
    if seconds is None:
        seconds = _retry_info(payload)
    return None if seconds is None else min(_MAX_WAIT_S, max(0, math.ceil(seconds)))


def _parse_number(text: str | None) -> float | None:
    if text is None or len(text) > MAX_CHARS:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _seconds_between(later: str, earlier: str | None) -> float | None:
    end, start = _parse_date(later), _parse_date(earlier)
    return (end - start).total_seconds() if end is not None and start is not None else None


def _parse_date(text: str | None) -> datetime | None:
    if text is None or len(text) > MAX_CHARS:
        return None
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    # A date without a time zone cannot be compared with one that has it.
    return date if date.tzinfo is not None else None


def _window_wait(headers: Mapping[str, str]) -> float | None:
    """The longest wait among the windows that are used up."""
    waits = [
        wait
        for name, remaining in headers.items()
        if remaining.strip() == "0" and (wait := _wait_until_reset(headers, name)) is not None
    ]
    waits += [
        wait
        for name, reset in headers.items()
        if name.startswith(_RESET_PREFIX)
        and name.replace(_RESET_PREFIX, _REMAINING_PREFIX) not in headers
        and (wait := _parse_reset(reset, headers)) is not None
    ]
    return max(waits, default=None)


def _wait_until_reset(headers: Mapping[str, str], remaining_header: str) -> float | None:
    """The wait for a window, by the name of its `remaining` header."""
    if remaining_header.startswith(_REMAINING_PREFIX):
        reset_header = remaining_header.replace(_REMAINING_PREFIX, _RESET_PREFIX)
        return _parse_reset(headers.get(reset_header), headers)
    if not remaining_header.startswith("anthropic-ratelimit-") or not remaining_header.endswith(
        "-remaining"
    ):
        return None
    now = _parse_date(headers.get("date"))
    try:
        reset = datetime.fromisoformat(
            headers.get(remaining_header.removesuffix("remaining") + "reset", "")
        )
    except ValueError:
        return None
    return None if now is None or reset.tzinfo is None else (reset - now).total_seconds()


def _parse_reset(text: str | None, headers: Mapping[str, str]) -> float | None:
    """The seconds until a reset, which is a duration or a Unix time."""
    value = parse_duration(text)
    if value is None or value < _MIN_TIME_S:
        return value
    now = _parse_date(headers.get("date"))
    time_s = value / 1000 if value >= _MIN_TIME_MS else value
    return None if now is None else time_s - now.timestamp()


def parse_duration(text: Any) -> float | None:
    """The seconds in `1s`, `6m0s`, `120ms` or a bare number."""
    if not isinstance(text, str) or not 0 < len(text) <= MAX_CHARS:
        return None
    number = _parse_number(text)
    if number is not None:
        return number
    text = text.strip()
    if _DURATION.sub("", text):
        return None
    return sum(float(amount) * _SECONDS_BY_UNIT[unit] for amount, unit in _DURATION.findall(text))


def _retry_info(payload: Any) -> float | None:
    if isinstance(payload, list) and payload:
        payload = payload[0]
    error = payload.get("error") if isinstance(payload, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    for detail in details if isinstance(details, list) else []:
        if isinstance(detail, dict) and "retryDelay" in detail:
            return parse_duration(detail["retryDelay"])
    return None
