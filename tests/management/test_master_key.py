"""Which master keys are accepted at a start."""

from __future__ import annotations

import pytest

from gateway.management.start.master_key import choose, is_loopback

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
    choice = choose("sk-1234", "127.0.0.1", has_config=True, wants_open=False)
    assert not choice.refusal
    assert not choice.open
    assert "easy to guess" in choice.warnings[0]


def test_a_weak_key_is_refused_on_public_addresses_with_advice() -> None:
    choice = choose("sk-1234", "0.0.0.0", has_config=True, wants_open=False)
    assert "--host 0.0.0.0" in choice.refusal
    assert "set a longer master_key" in choice.refusal
    assert "--host 127.0.0.1" in choice.refusal
    assert "sk-1234" not in choice.refusal


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_strong_key_is_fine_anywhere(host: str) -> None:
    choice = choose(STRONG, host, has_config=True, wants_open=False)
    assert (choice.refusal, choice.open, choice.warnings) == ("", False, ())


def test_a_file_without_a_master_key_opens_loopback_with_a_warning() -> None:
    choice = choose("", "127.0.0.1", has_config=True, wants_open=False)
    assert choice.open
    assert "any client key is accepted: no master_key" in choice.warnings[0]


def test_a_file_without_a_master_key_requires_keys_on_public_addresses() -> None:
    choice = choose("", "0.0.0.0", has_config=True, wants_open=False)
    assert (choice.refusal, choice.open, choice.warnings) == ("", False, ())


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_without_a_file_keys_are_required(host: str) -> None:
    choice = choose("", host, has_config=False, wants_open=False)
    assert (choice.refusal, choice.open, choice.warnings) == ("", False, ())


def test_open_mode_is_allowed_on_loopback_with_a_warning() -> None:
    choice = choose(STRONG, "127.0.0.1", has_config=False, wants_open=True)
    assert choice.open
    assert "DRAGOMAN_OPEN" in choice.warnings[0]


def test_open_mode_is_refused_on_public_addresses() -> None:
    choice = choose(STRONG, "0.0.0.0", has_config=False, wants_open=True)
    assert "unset DRAGOMAN_OPEN" in choice.refusal
