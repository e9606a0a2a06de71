"""Redaction of secrets in messages, log lines and stored bodies."""

from __future__ import annotations

import time

import pytest

from gateway.providers.redact import MAX_CHARS, scrub, scrub_bytes
from gateway.relay.exchange.recorder import Recorder


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: sk-proj-abcDEF123456789. See ...",
        "Incorrect API key provided: sk-ab1*****************wxyz.",
        "invalid x-api-key: sk-ant-api03-AAAA-bbbb1234",
        "key gsk_AbC123456789 is not active",
        "AIzaSyA1234567890abcdefghijklmnopqrstu0 was rejected",
        "AKIAIOSFODNN7EXAMPLE",
        "Authorization: Bearer abcdefghijkl",
        "token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abc",
        "https://host/path?key=abcdef123&alt=sse",
        '{"api_key": "opensesame1"}',
        "hf_abcdefgh12345678",
    ],
)
def test_key_like_text_is_masked(text: str) -> None:
    output_text = scrub(text)
    assert "***" in output_text
    for word in ("123456", "wxyz", "bbbb1234", "abcdefghijkl", "opensesame1", "IOSFODNN7"):
        assert word not in output_text


@pytest.mark.parametrize(
    "text",
    [
        "The model `claude-sonnet-4-5-20250929` does not exist",
        "temperature is deprecated for this model.",
        "messages[2].content[0]: text content blocks must be non-empty",
        "Function tools with reasoning_effort are not supported for gpt-5.6-sol",
        "use the key-value store, or sk-learn-based models",
        "Rate limit reached: limit 200000, used 199999, requested 12. Try again in 1.5s.",
    ],
)
def test_ordinary_text_is_unchanged(text: str) -> None:
    assert scrub(text) == text


def test_a_configured_secret_is_masked_in_any_format() -> None:
    assert (
        scrub("your token correct-horse is wrong", ["correct-horse"]) == "your token *** is wrong"
    )


def test_a_short_secret_does_not_mask_ordinary_text() -> None:
    assert scrub("no key at all", ["key"]) == "no key at all"


def test_a_secret_at_the_truncation_point_is_removed_completely() -> None:
    secret = "correct-horse-battery-staple"
    text = scrub("x" * (MAX_CHARS - 5) + secret, [secret])
    assert "correct" not in text


def test_an_error_message_is_truncated() -> None:
    assert len(scrub("word " * MAX_CHARS)) == MAX_CHARS


@pytest.mark.parametrize(
    "repeated_text",
    ["sk-", "sk-a", "eyJ", "eyJaaaaaaaaaaa.", "bearer ", "api_key=", "sk-" + "a" * 60, "a", '"'],
)
def test_masking_takes_linear_time(repeated_text: str) -> None:
    text = repeated_text * (MAX_CHARS // len(repeated_text))
    started = time.thread_time()
    scrub(text)
    assert time.thread_time() - started < 0.5


def test_a_stored_body_loses_configured_secrets_and_nothing_else() -> None:
    body = b'{"content":"my key is sk-abc123456789 and correct-horse"}'
    data = scrub_bytes(body, [b"correct-horse"])
    assert data == b'{"content":"my key is sk-abc123456789 and *************"}'


def test_headers_that_carry_credentials_are_masked() -> None:
    headers = {"Authorization": "Bearer x", "X-Api-Key": "k", "Accept": "a"}
    recorder = Recorder()
    recorder.enabled = True
    bodies = recorder.bodies(headers, [], stream=False)
    assert bodies is not None
    assert bodies.client_headers == {"Authorization": "***", "X-Api-Key": "***", "Accept": "a"}
