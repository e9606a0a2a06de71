"""The banner that the gateway prints at its start."""

from __future__ import annotations

import pytest

from gateway.management.start.banner import address, banner, curl
from gateway.management.start.bootstrap import StartResult

BASE = "http://localhost:4000"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://localhost:4000"),
        ("0.0.0.0", "http://localhost:4000"),
        ("::1", "http://localhost:4000"),
        ("192.168.1.4", "http://192.168.1.4:4000"),
        ("fd00::4", "http://[fd00::4]:4000"),
        ("gateway.example", "http://gateway.example:4000"),
    ],
)
def test_the_printed_url_is_reachable_on_this_host(host: str, url: str) -> None:
    assert address(host, 4000) == url


def test_a_first_start_shows_key_and_setup_once() -> None:
    started = StartResult(first_key="sk-dgm-1", setup_token="tok", admin_key_file="var/admin_key")
    text = banner(started, BASE, notes=[], open_mode=False)
    assert f"{BASE}/v1  (OpenAI SDKs)" in text
    assert f"{BASE}/?setup=tok" in text
    assert "Gateway key    sk-dgm-1  (shown only once)" in text
    assert "Admin key      in var/admin_key" in text
    assert "Bearer sk-dgm-1" in text


def test_a_later_start_shows_neither_key_nor_setup_url() -> None:
    text = banner(StartResult(), BASE, notes=[], open_mode=False)
    assert "Gateway key" not in text
    assert "setup" not in text
    assert "Bearer $DRAGOMAN_API_KEY" in text


def test_the_report_is_printed_first() -> None:
    lines = banner(StartResult(), BASE, notes=["c.yaml:1: x"], open_mode=False).splitlines()
    assert lines[:3] == ["c.yaml:1: x", "", "Dragoman is running."]


def test_providers_of_the_environment_are_named() -> None:
    text = banner(
        StartResult(environment_providers=("openai (OPENAI_API_KEY)",)),
        BASE,
        notes=[],
        open_mode=False,
    )
    assert "openai (OPENAI_API_KEY)" in text


def test_without_required_keys_the_sample_command_has_no_key() -> None:
    assert "Bearer anything" in curl(StartResult(), BASE, open_mode=True)
    assert "not required" in banner(StartResult(), BASE, notes=[], open_mode=True)
