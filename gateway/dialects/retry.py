"""When a client may come back: the many ways to say it -> whole seconds."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST_S = 7 * 86400
# What is left of one of OpenAI's windows, and when it opens again.
_LEFT, _RESET = "x-ratelimit-remaining-", "x-ratelimit-reset-"


def should_retry(headers: Mapping[str, str]) -> bool | None:
    """What `x-should-retry` says."""
    return {"true": True, "false": False}.get(headers.get("x-should-retry", "").lower())


def retry_after(headers: Mapping[str, str], payload: Any) -> int | None:
    """Whole seconds to wait, rounded up; None where nobody said so.

    In this order: `retry-after-ms`, `retry-after` (seconds, or a date, measured from
    the answer's own `date`), a used-up `x-ratelimit-*` or `anthropic-ratelimit-*`
    window (one that tells only its reset counts as used up), Google's RetryInfo.
    """
    millis = _number(headers.get("retry-after-ms"))
    seconds = millis / 1000 if millis is not None else None
    if seconds is None and (told := headers.get("retry-after")) is not None:
        seconds = _number(told)
        if seconds is None:
            seconds = _until(told, headers.get("date"))
    if seconds is None:
        seconds = _window(headers)
    if seconds is None:
        seconds = _retry_info(payload)
    return None if seconds is None else min(_LONGEST_S, max(0, math.ceil(seconds)))


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return value if value is not None and math.isfinite(value) else None


def _until(text: str, now: str | None) -> float | None:
    then, base = _date(text), _date(now)
    return (then - base).total_seconds() if then is not None and base is not None else None


def _date(text: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(text) if text is not None else None
    except ValueError:
        return None
    # A date without a zone can not be measured against one that has one.
    return date if date is not None and date.tzinfo is not None else None


def _window(headers: Mapping[str, str]) -> float | None:
    """The longest wait among the windows that are used up."""
    waits = [
        wait
        for name, left in headers.items()
        if left.strip() == "0" and (wait := _until_reset(headers, name)) is not None
    ]
    waits += [
        wait
        for name, reset in headers.items()
        if name.startswith(_RESET)
        and name.replace(_RESET, _LEFT) not in headers
        and (wait := duration(reset)) is not None
    ]
    return max(waits, default=None)


def _until_reset(headers: Mapping[str, str], name: str) -> float | None:
    """The wait for a window, given the header that says what is left of it."""
    if name.startswith(_LEFT):
        return duration(headers.get(name.replace(_LEFT, _RESET)))
    if not name.startswith("anthropic-ratelimit-") or not name.endswith("-remaining"):
        return None
    now = _date(headers.get("date"))
    try:
        then = datetime.fromisoformat(headers.get(name.removesuffix("remaining") + "reset", ""))
    except ValueError:
        return None
    return None if now is None or then.tzinfo is None else (then - now).total_seconds()


def duration(text: Any) -> float | None:
    """The seconds in `1s`, `6m0s`, `120ms` or a bare number."""
    if not isinstance(text, str) or not text:
        return None
    number = _number(text)
    if number is not None:
        return number
    if _DURATION.sub("", text.strip()):
        return None
    return sum(float(amount) * _SECONDS[unit] for amount, unit in _DURATION.findall(text))


def _retry_info(payload: Any) -> float | None:
    if isinstance(payload, list) and payload:
        payload = payload[0]
    error = payload.get("error") if isinstance(payload, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    for detail in details if isinstance(details, list) else []:
        if isinstance(detail, dict) and "retryDelay" in detail:
            return duration(detail["retryDelay"])
    return None
