"""Where media may be fetched from: public addresses, over https, at its own port.

A client of the gateway chooses the URL, so it must lead nowhere that the client could not
reach itself: not to this machine, not to the network it stands in, not to the metadata
service of a cloud. The address is judged, not the name: any name may point anywhere.
"""

from __future__ import annotations

import ipaddress

import httpx

PORT = 443
MAX_URL_CHARS = 8192

# What is not the public internet, though it may be routed; with the registries' name for it
# (iana.org/assignments/iana-ipv4-special-registry and its IPv6 twin).
_PRIVATE_4 = tuple(
    ipaddress.IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private use
        "100.64.0.0/10",  # shared by carriers (CGNAT); Alibaba's metadata service
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's platform service, inside its networks only
        "169.254.0.0/16",  # link-local; most clouds' metadata services
        "172.16.0.0/12",  # private use
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata service
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # automatic multicast tunnelling
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private use
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
# Of IPv6 only this is public at all: the rest is unspecified, loopback, IPv4 in disguise
# (mapped, translated by NAT64), local, link-local (Amazon's fd00:ec2::254 too) or multicast.
_PUBLIC_6 = ipaddress.IPv6Network("2000::/3")
_PRIVATE_6 = tuple(
    ipaddress.IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarking
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address of anybody's choice
        "2620:4f:8000::/48",  # AS112
        "3ffe::/16",  # the old test network
        "3fff::/20",  # documentation
    )
)


def is_public(address: str) -> bool:
    """Whether an IP address, as a resolver writes it, is one of the public internet."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return not any(ip in block for block in _PRIVATE_4)
    if ip.scope_id is not None or ip not in _PUBLIC_6:
        return False
    return not any(ip in block for block in _PRIVATE_6)


class NotFetched(Exception):
    """Media that is not fetched; the words are for the client and name no address."""


def parse_media_url(url: str) -> httpx.URL:
    """The URL, if it may be asked for at all. Raises Unfetched saying what is wrong with it."""
    if len(url) > MAX_URL_CHARS:
        raise NotFetched(f"its URL is longer than {MAX_URL_CHARS} characters")
    try:
        parsed_url = httpx.URL(url)
        host, port = parsed_url.raw_host, parsed_url.port
    except (httpx.InvalidURL, ValueError, UnicodeError):
        raise NotFetched("its URL cannot be parsed") from None
    if parsed_url.scheme != "https":
        raise NotFetched("its URL must begin with https://")
    if not host:
        raise NotFetched("its URL names no host")
    if parsed_url.userinfo:
        raise NotFetched("its URL must not hold a user name or password")
    if port not in (None, PORT):
        raise NotFetched(f"its URL must not name another port than {PORT}")
    return parsed_url


def without_query(url: str) -> str:
    """The URL for a report: its query may be a signature that opens the file."""
    return url.partition("#")[0].partition("?")[0][:200]
