"""Retry delays in every format that providers use."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gateway.dialects.shared.retry_after import parse_duration, retry_after, should_retry

DATE = "Sat, 21 Nov 2026 10:00:00 GMT"
LATER = "Sat, 21 Nov 2026 10:00:30 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "1.2"}, 2),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "7s"}, 7),
        ({"retry-after": "1m30s"}, 90),
        ({"retry-after": "-5"}, 0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e99"}, 7 * 86400),
        ({"retry-after": "soon"}, None),
        ({"retry-after": LATER, "date": DATE}, 30),
        ({"retry-after": DATE, "date": LATER}, 0),
        ({"retry-after": LATER}, None),
        ({"retry-after": "Sat, 21 Nov 2026 10:00:30", "date": DATE}, None),
        ({"retry-after-ms": "1500"}, 2),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 2),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360),
        ({"x-ratelimit-remaining-requests": "5", "x-ratelimit-reset-requests": "6m0s"}, None),
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "120ms",
            },
            1,
        ),
        # Unix times, in seconds and in milliseconds, of 42 s after DATE.
        ({"x-ratelimit-reset-requests": "1795255242", "date": DATE}, 42),
        ({"x-ratelimit-reset-requests": "1795255242"}, None),
        (
            {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1795255242000", "date": DATE},
            42,
        ),
        ({"x-ratelimit-remaining": "1", "x-ratelimit-reset": "1795255242000", "date": DATE}, None),
        ({}, None),
    ],
    ids=str,
)
def test_retry_after_is_computed_from_headers(headers: dict[str, str], seconds: int | None):
    assert retry_after(headers, None) == seconds


def test_googles_retry_info_is_found():
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "17s"}
    payload: Any = {"error": {"details": [{"@type": "other"}, info]}}
    assert retry_after({}, payload) == 17
    assert retry_after({}, [payload]) == 17


@pytest.mark.parametrize("payload", [None, 5, {"error": "x"}, {"error": {"details": 5}}], ids=str)
def test_other_payloads_have_no_retry_after(payload: Any):
    assert retry_after({}, payload) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1.0), ("6m0s", 360.0), ("120ms", 0.12), ("2m59.5s", 179.5), ("3", 3.0), ("1h", 3600.0)],
)
def test_a_duration_is_read(text: str, seconds: float):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "soon", "1s!", None, 5], ids=str)
def test_an_invalid_duration_is_none(text: Any):
    assert parse_duration(text) is None


@pytest.mark.parametrize(
    ("value", "expected"), [("true", True), ("FALSE", False), ("maybe", None), ("", None)]
)
def test_the_retry_header_is_read(value: str, expected: bool | None):
    assert should_retry({"x-should-retry": value}) is expected


HOSTILE = ("9" * 20_000, "1" * 20_000 + "s", "1s" * 10_000, "1." * 10_000, "9" * 400 + "d")


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:6])
def test_a_very_long_duration_is_rejected_quickly(text: str) -> None:
    start = time.thread_time()
    for header in ("retry-after", "retry-after-ms", "x-ratelimit-reset-requests"):
        assert retry_after({header: text}, None) is None
    payload = {"error": {"details": [{"retryDelay": text * 50}]}}
    assert retry_after({}, payload) is None
    assert time.thread_time() - start < 0.05
