"""The console answers to the names of the machine it runs on, and to no others."""

from __future__ import annotations

import socket

from gateway.management.start.hosts import allowed_hosts


def test_on_loopback_only_its_names() -> None:
    assert allowed_hosts("127.0.0.1") == ["localhost", "127.0.0.1", "[::1]"]


def test_an_address_is_a_name() -> None:
    assert "192.168.1.9" in allowed_hosts("192.168.1.9")
    assert "[fd00::9]" in allowed_hosts("fd00::9")


def test_everywhere_is_this_machine_and_not_everybody() -> None:
    texts = allowed_hosts("0.0.0.0")
    assert socket.gethostname().lower() in texts
    assert "*" not in texts
    assert {"localhost", "127.0.0.1"} <= set(texts)
