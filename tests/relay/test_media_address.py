"""Public addresses and URLs that may be fetched: https on the public internet only."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.relay.upstream.media_fetch import (
    MediaFetchError,
    is_public,
    parse_media_url,
    without_query,
)
from tests.each import each

PUBLIC = (
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "168.63.129.17",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2001:4860:4860::8888",
    "2a00:1450:4001:830::200e",
)
PRIVATE = {
    "this network": ("0.0.0.0", "0.1.2.3", "0.255.255.255"),
    "private use": ("10.0.0.0", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    "carriers": ("100.64.0.1", "100.100.100.200", "100.127.255.255"),
    "loopback": ("127.0.0.1", "127.1.2.3", "127.255.255.255"),
    "metadata": ("169.254.169.254", "169.254.170.2", "168.63.129.16", "192.0.0.192"),
    "link-local": ("169.254.0.0", "169.254.255.255"),
    "assigned": ("192.0.0.1", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.19.255.255"),
    "documentation": ("198.51.100.1", "203.0.113.255"),
    "multicast": ("224.0.0.1", "239.255.255.255"),
    "reserved": ("240.0.0.1", "255.255.255.254", "255.255.255.255"),
    "unspecified and loopback": ("::", "::1"),
    "mapped": ("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:8.8.8.8", "::ffff:a9fe:a9fe"),
    "compatible": ("::127.0.0.1", "::8.8.8.8"),
    "translated": ("64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::a00:1"),
    "local": ("fc00::1", "fd00:ec2::254", "fdff::1", "fec0::1"),
    "link-local, version 6": ("fe80::1", "fe80::1%eth0", "febf::1"),
    "multicast, version 6": ("ff02::1", "ff0e::1"),
    "tunnels": ("2002:7f00:1::", "2002:808:808::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2"),
    "other": ("100::1", "2001:db8::1", "2001:2::1", "2001:10::1", "3fff::1", "5f00::1", "4000::1"),
    "scoped": ("2606:4700:4700::1111%eth0",),
    "no address": ("", "localhost", "127.1", "0x7f000001", "2130706433", "010.0.0.1", "1.1.1.1/32"),
}


@each("address", PUBLIC)
def test_a_public_address_is_allowed(address: str) -> None:
    assert is_public(address)


@each("address", [a for value in PRIVATE.values() for a in value])
def test_non_public_addresses_are_refused(address: str) -> None:
    assert not is_public(address)


@given(st.ip_addresses())
def test_private_addresses_are_never_public(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """Python's own table is older than ours in some ranges, but never broader."""
    if address.is_private or address.is_multicast or address.is_reserved or address.is_loopback:
        assert not is_public(str(address))


@given(st.ip_addresses(v=4))
def test_a_private_ipv4_address_is_refused_in_ipv6_notation(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    for prefix, shift in (("::ffff:0:0", 0), ("::", 0), ("64:ff9b::", 0), ("2002::", 80)):
        dressed = ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | number << shift)
        assert not is_public(str(dressed))


@each(
    ("url", "reason"),
    [
        ("http://a.example/x.png", "must begin with https://"),
        ("ftp://a.example/x.png", "must begin with https://"),
        ("file:///etc/passwd", "must begin with https://"),
        ("gopher://a.example", "must begin with https://"),
        ("data:,x", "must begin with https://"),
        ("//a.example/x", "must begin with https://"),
        ("", "must begin with https://"),
        ("https:///x", "has no host"),
        ("https://user:secret@a.example/x", "user name or password"),
        ("https://user@a.example/x", "user name or password"),
        ("https://a.example:8443/x", "a port other than 443"),
        ("https://a.example:80/x", "a port other than 443"),
        ("https://a.example:99999/x", "a port other than 443"),
        ("https://a.example/\r\nhost: b", "cannot be parsed"),
        ("https://[::1/x", "cannot be parsed"),
        ("https://a.example/" + "x" * 9000, "longer than"),
    ],
)
def test_a_disallowed_url_is_refused_with_the_reason(url: str, reason: str) -> None:
    with pytest.raises(MediaFetchError, match=reason) as error:
        parse_media_url(url)
    assert "secret" not in str(error.value)


@each("url", ["https://a.example/x", "https://a.example:443/x", "HTTPS://A.b/"])
def test_an_https_url_is_allowed(url: str) -> None:
    assert parse_media_url(url).scheme == "https"


def test_a_reported_url_has_no_query_or_fragment() -> None:
    assert without_query("https://a.example/x.png?sig=secret#part") == "https://a.example/x.png"
