"""The console accepts the host names of its machine, and no others."""

from __future__ import annotations

import socket

from gateway.management.start.hosts import allowed_hosts


def test_on_loopback_only_loopback_names_are_allowed_hosts() -> None:
    assert allowed_hosts("127.0.0.1") == ["localhost", "127.0.0.1", "[::1]"]


def test_an_ip_address_is_an_allowed_host() -> None:
    assert "192.168.1.9" in allowed_hosts("192.168.1.9")
    assert "[fd00::9]" in allowed_hosts("fd00::9")


def test_the_wildcard_address_allows_only_hosts_of_this_machine() -> None:
    texts = allowed_hosts("0.0.0.0")
    assert socket.gethostname().lower() in texts
    assert "*" not in texts
    assert {"localhost", "127.0.0.1"} <= set(texts)
