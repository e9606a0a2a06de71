"""A 429 is a rate limit, unless the provider's error code says that credit is exhausted."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.dialects import CLIENT_DIALECTS, DIALECTS

OPENAI = {"error": {"message": "Rate limit reached", "type": "requests", "code": None}}
ANTHROPIC = {"type": "error", "error": {"type": "rate_limit_error", "message": "Rate limited"}}
GOOGLE = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Slow down"}}
PER_MINUTE = "You are using a Trial key, limited to 40 calls / minute; upgrade: /billing"
BODIES: tuple[Any, ...] = (
    OPENAI,
    ANTHROPIC,
    GOOGLE,
    {"message": "Too many tokens, please wait before trying again."},
    {"message": "Too many tokens per day, please wait before trying again."},
    {"message": PER_MINUTE},
    {"error": "too many requests"},
    "",
    None,
)
HEADERS: tuple[dict[str, str], ...] = (
    {},
    {"retry-after": "7"},
    {"x-should-retry": "true"},
    {"anthropic-ratelimit-requests-remaining": "0"},
    {"x-ratelimit-remaining-tokens": "0"},
)


def test_a_429_without_a_code_of_spent_credit_is_a_rate_limit() -> None:
    misread = [
        (name, headers, body)
        for name, dialect in DIALECTS.items()
        for headers in HEADERS
        for body in BODIES
        if dialect.provider.parse_error(429, headers, msgspec.json.encode(body)).kind
        != "rate_limit"
    ]
    assert misread == []


def test_every_client_reads_a_rate_limit_as_429() -> None:
    error = DIALECTS["anthropic_messages"].provider.parse_error(
        429, {}, msgspec.json.encode(ANTHROPIC)
    )
    errors_by_name = {
        name: dialect.client.render_error(error, "req_1")
        for name, dialect in CLIENT_DIALECTS.items()
    }
    assert {name: reply.status for name, reply in errors_by_name.items()} == dict.fromkeys(
        errors_by_name, 429
    )
    assert errors_by_name["anthropic_messages"].body["error"]["type"] == "rate_limit_error"


DAILY = {"@type": "QuotaFailure", "violations": [{"quotaId": "RequestsPerDayPerProject"}]}


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        ("openai_chat", {"error": {"message": "m", "code": "insufficient_quota"}}),
        ("openai_responses", {"error": {"message": "m", "type": "insufficient_quota"}}),
        ("anthropic_messages", {"type": "error", "error": {"type": "billing_error"}}),
        ("gemini", {"error": {"code": 429, "message": "m", "details": [DAILY]}}),
        ("cohere", {"message": "You are limited to 1000 API calls / month"}),
    ],
)
def test_a_spent_credit_error_is_a_quota_error(dialect: str, body: Any) -> None:
    error = DIALECTS[dialect].provider.parse_error(429, {}, msgspec.json.encode(body))
    assert error.kind == "quota"
