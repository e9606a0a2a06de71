"""Formats of amounts, differences, times and prices on all pages."""

from __future__ import annotations

from decimal import Decimal

import pytest

from console.pages.requests.labels import attempt_bars
from console.pages.routes.metrics import target_status
from console.templatetags.registry import rate
from console.templatetags.ui import more_usd, request_cost, seconds, token_pair, usd
from gateway.models import RequestLog
from gateway.routing.circuit_breaker import CircuitState


@pytest.mark.parametrize(
    ("amount", "text"),
    [("1234.5", "$1,234.50"), ("-10.1", "-$10.10"), ("-0.07", "-$0.070"), ("0", "$0")],
)
def test_the_sign_precedes_the_dollar(amount: str, text: str) -> None:
    assert usd(Decimal(amount)) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [(Decimal("0.38"), "+$0.38"), (Decimal("-0.38"), "-$0.38"), (Decimal(0), "$0")],
)
def test_a_cost_difference_has_its_sign(amount: Decimal, text: str) -> None:
    assert more_usd(amount) == text
    assert more_usd(None) == usd(None)


@pytest.mark.parametrize(
    ("value", "text"), [(None, "—"), (0.5, "0.50 s"), (42, "42.0 s"), (420, "7\xa0minutes")]
)
def test_a_long_time_is_shown_in_its_largest_unit(value: float | None, text: str) -> None:
    assert seconds(value) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cache_read", "Cached input"),
        ("reasoning", "Reasoning output"),
        ("input, prompts above 200000", "Input, prompts above 200000"),
        ("strange", "strange"),
    ],
)
def test_a_price_has_the_same_name_as_on_the_model_page(name: str, text: str) -> None:
    assert rate(name) == text


def test_unknown_tokens_are_one_dash() -> None:
    assert token_pair(None, None) == "—"
    assert token_pair(18_449, None) == "18.4k → —"
    assert token_pair(12, 52) == "12 → 52"


def test_a_count_of_one_is_singular() -> None:
    status = target_status({"a/m": CircuitState(consecutive_failures=1)}, "a/m", None)
    assert status.text == "1 failure"
    attempt = {"calls": [{"searches": [{"query": "q", "results": 1}]}, {"ended_ms": 1000}]}
    row = RequestLog(duration_ms=2000, attempts=[attempt])
    assert "1 result" in "".join(attempt_bars(row)[0]["calls"])
    assert "1 results" not in "".join(attempt_bars(row)[0]["calls"])


def test_the_time_of_an_attempt_has_the_unit_of_all_times() -> None:
    failed = {"error_kind": "rate_limit", "status": 429, "started_ms": 0, "ended_ms": 0.42}
    row = RequestLog(duration_ms=2000, attempts=[failed])
    assert attempt_bars(row)[0]["text"] == "429 rate limit, 0.4 ms"


def test_a_failed_request_without_a_computed_cost_has_none() -> None:
    row = RequestLog(provider="a", outcome="error", cost_usd=None)
    assert request_cost(row) == "—"
    assert request_cost(RequestLog(provider="a", outcome="ok", cost_usd=None)) == "unknown"
    assert request_cost(RequestLog(provider="a", outcome="error", cost_usd=Decimal(2))) == "$2.00"
