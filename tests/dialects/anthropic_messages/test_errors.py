"""Provider errors are parsed, and rendered for clients in Anthropic's format."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.canon.errors import KINDS, Error
from gateway.dialects import DIALECTS
from gateway.dialects.anthropic_messages import DIALECT


def parse_error_response(status: int, body: Any, **headers: str) -> Error:
    """Return the parsed error of an upstream; `_` in a header name stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return DIALECT.provider.parse_error(status, named, content)


LIMIT_REACHED = (
    "You have reached your specified API usage limits. You will regain access on 2026-12-01."
)


def refusal(kind: str, message: str = "m") -> dict[str, Any]:
    """Return an error body in Anthropic's format."""
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "r"}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, refusal("invalid_request_error"), "invalid_request"),
        (400, refusal("invalid_request_error", "prompt is too long: 9 > 8"), "context_length"),
        (
            400,
            refusal(
                "invalid_request_error", "input length and `max_tokens` exceed context limit: 9"
            ),
            "context_length",
        ),
        (
            400,
            refusal("invalid_request_error", "Output blocked by content filtering policy"),
            "content_policy",
        ),
        (
            400,
            refusal("invalid_request_error", "`temperature` is deprecated for this model."),
            "unsupported_param",
        ),
        (401, refusal("authentication_error"), "upstream_auth"),
        (402, refusal("billing_error"), "quota"),
        (403, refusal("permission_error"), "upstream_auth"),
        (404, refusal("not_found_error"), "not_found"),
        (409, refusal("conflict_error"), "upstream_error"),
        (413, refusal("request_too_large"), "too_large"),
        (422, {"detail": [{"msg": "bad"}]}, "invalid_request"),
        (400, refusal("invalid_request_error", LIMIT_REACHED), "quota"),
        (429, refusal("rate_limit_error"), "rate_limit"),
        (429, refusal("billing_error"), "quota"),
        (429, {"error": "slow down"}, "rate_limit"),
        (500, refusal("api_error"), "upstream_error"),
        (503, {"message": "busy"}, "overloaded"),
        (504, refusal("timeout_error"), "timeout"),
        (529, refusal("overloaded_error"), "overloaded"),
        (200, refusal("overloaded_error"), "overloaded"),
        (302, b"", "upstream_error"),
        (418, b"teapot", "invalid_request"),
        (502, b"<html>bad gateway</html>", "upstream_error"),
    ],
    ids=str,
)
def test_an_error_response_is_classified(status: int, body: Any, kind: str):
    error = parse_error_response(status, body)
    assert error.kind == kind
    assert error.message


def test_the_details_of_an_error_reach_clients_of_the_same_dialect():
    """The SDKs branch on `details.error_code` (`anthropic.APIStatusError.error_code`)."""
    details = {"error_code": "image_dimensions_too_large", "max_side_length_pixels": 8000}
    body = refusal("invalid_request_error")
    body["error"]["details"] = details
    error = parse_error_response(400, body)
    assert (error.kind, error.code) == ("invalid_request", "image_dimensions_too_large")
    assert DIALECT.client.render_error(error, "r").body["error"]["details"] == details
    assert (
        "details"
        not in DIALECT.client.render_error(parse_error_response(400, {}), "r").body["error"]
    )
    for name in ("openai_chat", "openai_responses", "gemini", "ollama"):
        error_body = DIALECTS[name].client.render_error(error, "r").body
        assert "max_side_length_pixels" not in json.dumps(error_body)


CAP = "You have reached your API usage limits: you will regain access on 2026-12-01."
MONTHLY = "This request would exceed your account's monthly spend limit. Please try again later."
ACCOUNT = "This request would exceed your account's rate limit. Please try again later."
FROM_ANTHROPIC = {"request_id": "req_1"}


@pytest.mark.parametrize(
    ("message", "headers", "kind"),
    [
        (CAP, FROM_ANTHROPIC, "quota"),
        (CAP, FROM_ANTHROPIC | {"retry_after": "3"}, "rate_limit"),
        (CAP, FROM_ANTHROPIC | {"x_should_retry": "true"}, "rate_limit"),
        (ACCOUNT, FROM_ANTHROPIC, "rate_limit"),
        ("Rate limited", FROM_ANTHROPIC, "rate_limit"),
        (MONTHLY, FROM_ANTHROPIC | {"retry_after": "300"}, "quota"),
        ("busy", {}, "rate_limit"),
    ],
    ids=[
        *("spend-cap", "retry-after", "should-retry", "account", "throttled"),
        *("monthly", "compatible-server"),
    ],
)
def test_anthropics_429_without_a_time_to_retry_is_a_spend_cap(
    message: str, headers: dict[str, str], kind: str
):
    """Other servers of this API send no retry-after for a rate limit either.

    https://github.com/anthropics/claude-code/issues/71670 has rate limits without a time,
    https://github.com/NousResearch/hermes-agent/pull/91106 a spend limit with one.
    """
    error = parse_error_response(429, refusal("rate_limit_error", message), **headers)
    assert error.kind == kind


@pytest.mark.parametrize(
    ("status", "error_type", "error_code", "kind"),
    [
        (400, "invalid_request_error", "enforced_spend_limit_reached", "quota"),
        (403, "permission_error", "contract_spend_limit_reached", "quota"),
        (429, "rate_limit_error", "ramp_limit_exceeded", "rate_limit"),
        (403, "permission_error", "organization_on_hold", "upstream_auth"),
    ],
)
def test_a_spend_limit_is_recognized_by_its_code(
    status: int, error_type: str, error_code: str, kind: str
):
    body = refusal(error_type)
    body["error"]["details"] = {"error_code": error_code}
    assert parse_error_response(status, body).kind == kind


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, 7),
        ({"retry_after": "0.2"}, 1),
        ({"retry_after_ms": "1500"}, 2),
        (
            {
                "retry_after": "Sat, 21 Nov 2026 08:00:30 GMT",
                "date": "Sat, 21 Nov 2026 08:00:00 GMT",
            },
            30,
        ),
        (
            {
                "anthropic_ratelimit_tokens_remaining": "0",
                "anthropic_ratelimit_tokens_reset": "2026-11-21T08:00:12Z",
                "anthropic_ratelimit_requests_remaining": "9",
                "anthropic_ratelimit_requests_reset": "2026-11-21T09:00:00Z",
                "date": "Sat, 21 Nov 2026 08:00:00 GMT",
            },
            12,
        ),
        (
            {
                "anthropic_ratelimit_tokens_remaining": "0",
                "anthropic_ratelimit_tokens_reset": "soon",
                "date": "Sat, 21 Nov 2026 08:00:00 GMT",
            },
            None,
        ),
        ({"x_ratelimit_remaining_tokens": "0", "x_ratelimit_reset_tokens": "6m0s"}, 360),
        ({"retry_after": "soon"}, None),
        ({}, None),
    ],
    ids=str,
)
def test_retry_after_is_parsed(headers: dict[str, str], seconds: int | None):
    assert (
        parse_error_response(529, refusal("overloaded_error"), **headers).retry_after_s == seconds
    )


def test_an_upstream_errors_message_id_and_retry_advice_are_parsed():
    error = parse_error_response(
        529, refusal("overloaded_error", "Overloaded"), request_id="req_1", x_should_retry="false"
    )
    assert error == Error(
        kind="overloaded",
        message="Overloaded",
        code="overloaded_error",
        status=529,
        should_retry=False,
        upstream_id="req_1",
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "a"}}, "a"),
        ({"message": "b"}, "b"),
        ({"detail": [{"msg": "c"}]}, "c"),
        ({"detail": "d"}, "d"),
        ({"error": "e"}, "e"),
        (b"plain words", "plain words"),
        (b"", "the upstream responded 500 without an error message"),
        (b"<html>", "the upstream responded 500 with an HTML page instead of an API response"),
    ],
    ids=str,
)
def test_the_message_is_parsed_from_any_shape(body: Any, message: str):
    assert parse_error_response(500, body).message == message


def test_a_long_error_message_is_truncated():
    assert len(parse_error_response(500, {"message": "x" * 9999}).message) == 2000


@pytest.mark.parametrize(
    ("kind", "status", "expected"),
    [
        ("invalid_request", 400, "invalid_request_error"),
        ("unsupported_param", 400, "invalid_request_error"),
        ("context_length", 400, "invalid_request_error"),
        ("content_policy", 400, "invalid_request_error"),
        ("too_large", 413, "request_too_large"),
        ("gateway_auth", 401, "authentication_error"),
        ("upstream_auth", 500, "api_error"),
        ("not_found", 404, "not_found_error"),
        ("not_allowed", 403, "permission_error"),
        ("rate_limit", 429, "rate_limit_error"),
        ("quota", 402, "billing_error"),
        ("overloaded", 529, "overloaded_error"),
        ("timeout", 504, "timeout_error"),
        ("upstream_error", 500, "api_error"),
        ("malformed_output", 500, "api_error"),
    ],
)
def test_an_error_is_rendered_with_anthropics_type_and_status(
    kind: str, status: int, expected: str
):
    reply = DIALECT.client.render_error(Error(kind=kind, message="m"), "req_dgm")
    assert reply.status == status
    assert reply.body["type"] == "error"
    assert reply.body["error"]["type"] == expected
    assert reply.body["request_id"] == reply.headers["request-id"] == "req_dgm"


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_error_kind_is_rendered_with_an_error_status(kind: str):
    assert DIALECT.client.render_error(Error(kind=kind, message="m"), "r").status >= 400


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Input is too long.", "prompt is too long: Input is too long."),
        ("prompt is too long: 9 tokens", "prompt is too long: 9 tokens"),
    ],
)
def test_a_context_length_error_has_the_text_claude_code_matches(message: str, expected: str):
    error = Error(kind="context_length", message=message)
    assert DIALECT.client.render_error(error, "r").body["error"]["message"] == expected


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (Error(kind="rate_limit", message="m", retry_after_s=7), {"retry-after": "7"}),
        (Error(kind="quota", message="m"), {"x-should-retry": "false"}),
        (Error(kind="overloaded", message="m", should_retry=False), {"x-should-retry": "false"}),
        (Error(kind="invalid_request", message="m"), {}),
    ],
    ids=["time", "quota", "advice", "none"],
)
def test_retry_headers_are_passed_on(error: Error, headers: dict[str, str]):
    reply = DIALECT.client.render_error(error, "r")
    assert reply.headers == {"request-id": "r", **headers}


@pytest.mark.parametrize(
    "kind",
    ["context_length", "too_large", "not_found", "rate_limit", "overloaded", "timeout", "quota"],
)
def test_an_error_kind_survives_render_and_parse(kind: str):
    reply = DIALECT.client.render_error(Error(kind=kind, message="m", retry_after_s=3), "r")
    round_trip = DIALECT.provider.parse_error(
        reply.status, reply.headers, json.dumps(reply.body).encode()
    )
    assert (round_trip.kind, round_trip.retry_after_s) == (kind, 3)
