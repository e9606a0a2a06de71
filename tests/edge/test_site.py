"""Without a key, cross-site requests and unknown host names of this machine are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.canon.errors import GatewayError
from gateway.edge.admission import check_site
from gateway.relay.runtime import Config

CONFIG = Config(
    data_dir=Path(),
    pepper=b"p",
    allowed_hosts=("localhost", "127.0.0.1", "[::1]", ".lan.example"),
    trusted_origins=("https://llm.example.com", "https://*.team.example"),
)
HERE = ("host", "localhost:4000")
ANSWERED = {
    "a program": [HERE],
    "an old program": [],
    "by address": [("host", "127.0.0.1:4000")],
    "IPv6": [("host", "[::1]:4000")],
    "IPv6 without a port": [("host", "[::1]")],
    "a subdomain": [("host", "Box.LAN.example")],
    "its own page": [HERE, ("origin", "http://localhost:4000"), ("sec-fetch-site", "same-origin")],
    "another local page": [HERE, ("origin", "http://127.0.0.1:3000")],
    "a local page that browsers call another site": [
        HERE,
        ("origin", "http://127.0.0.1:3000"),
        ("sec-fetch-site", "cross-site"),
    ],
    "a trusted page": [HERE, ("origin", "https://llm.example.com")],
    "a trusted subdomain": [HERE, ("origin", "https://a.team.example")],
    "an address typed in": [HERE, ("sec-fetch-site", "none")],
}
REFUSED = {
    "a rebound name": [("host", "evil.example:4000")],
    "a name that begins alike": [("host", "localhost.evil.example")],
    "a name that ends alike": [("host", "evil-lan.example")],
    "a foreign page": [HERE, ("origin", "https://evil.example")],
    "a page that begins alike": [HERE, ("origin", "https://llm.example.com.evil.example")],
    "a sandboxed page": [HERE, ("origin", "null")],
    "no origin at all": [HERE, ("origin", "localhost")],
    "a foreign picture": [HERE, ("sec-fetch-site", "cross-site")],
}


def check(config: Config, headers: list[tuple[str, str]]) -> None:
    check_site(config, [(name.encode(), value.encode()) for name, value in headers])


@pytest.mark.parametrize("headers", ANSWERED.values(), ids=ANSWERED)
def test_allowed_hosts_and_origins_are_answered(headers: list[tuple[str, str]]) -> None:
    check(CONFIG, headers)


@pytest.mark.parametrize("headers", REFUSED.values(), ids=REFUSED)
def test_other_hosts_and_origins_are_refused(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(GatewayError) as error:
        check(CONFIG, headers)
    assert error.value.error.kind == "not_allowed"
    assert "DRAGOMAN_" in error.value.error.message
