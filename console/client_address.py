"""The address of a client, for rate limits of public pages."""

from __future__ import annotations

import ipaddress

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str:
    """The client's address; for IPv6 its /64 network, which belongs to one customer."""
    remote_addr = request.META.get("REMOTE_ADDR") or ""
    try:
        address = ipaddress.ip_address(remote_addr)
    except ValueError:
        return remote_addr
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def is_shared_address(address: str) -> bool:
    """Whether many clients may share it: a local proxy that is not configured as trusted."""
    return not settings.TRUSTED_PROXIES and address.startswith(("127.", "::/64"))
