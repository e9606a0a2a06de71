"""Which master keys are accepted at a start."""

from __future__ import annotations

import pytest

from gateway.management.start.master_key import check_master_key, is_loopback

STRONG = "sk-" + "x" * 30


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.9.1"])
def test_loopback_addresses_are_private(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.4", "", "localhost.example.com", "localhos"]
)
def test_other_addresses_are_public(host: str) -> None:
    assert not is_loopback(host)


def test_a_weak_key_is_fine_on_loopback_with_a_warning() -> None:
    decision = check_master_key("sk-1234", "127.0.0.1", has_config=True, open_requested=False)
    assert not decision.refusal
    assert not decision.open
    assert "easy to guess" in decision.warnings[0]


def test_a_weak_key_is_refused_on_public_addresses_with_advice() -> None:
    decision = check_master_key("sk-1234", "0.0.0.0", has_config=True, open_requested=False)
    assert "--host 0.0.0.0" in decision.refusal
    assert "set a longer master_key" in decision.refusal
    assert "--host 127.0.0.1" in decision.refusal
    assert "sk-1234" not in decision.refusal


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_strong_key_is_fine_anywhere(host: str) -> None:
    decision = check_master_key(STRONG, host, has_config=True, open_requested=False)
    assert (decision.refusal, decision.open, decision.warnings) == ("", False, ())


def test_a_file_without_a_master_key_opens_loopback_with_a_warning() -> None:
    decision = check_master_key("", "127.0.0.1", has_config=True, open_requested=False)
    assert decision.open
    assert "any client key is accepted: no master_key" in decision.warnings[0]


def test_a_file_without_a_master_key_requires_keys_on_public_addresses() -> None:
    decision = check_master_key("", "0.0.0.0", has_config=True, open_requested=False)
    assert (decision.refusal, decision.open, decision.warnings) == ("", False, ())


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_without_a_file_keys_are_required(host: str) -> None:
    decision = check_master_key("", host, has_config=False, open_requested=False)
    assert (decision.refusal, decision.open, decision.warnings) == ("", False, ())


def test_open_mode_is_allowed_on_loopback_with_a_warning() -> None:
    decision = check_master_key(STRONG, "127.0.0.1", has_config=False, open_requested=True)
    assert decision.open
    assert "DRAGOMAN_OPEN" in decision.warnings[0]


def test_open_mode_is_refused_on_public_addresses() -> None:
    decision = check_master_key(STRONG, "0.0.0.0", has_config=False, open_requested=True)
    assert "unset DRAGOMAN_OPEN" in decision.refusal
