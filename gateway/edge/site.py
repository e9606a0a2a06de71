"""Keeps other sites' pages out where no key is asked for.

A browser sends a page's request from wherever the page is; without a key the gateway would
answer, and pay for, a stranger's page. And a stranger's host name may point here (DNS
rebinding), which makes the page one of the same origin: the `Host` header tells.
"""

from __future__ import annotations

import fnmatch

from gateway.canon.errors import Error, GatewayError
from gateway.relay.runtime import Config

_FOREIGN_HOST = (
    "without a key this gateway is not called by the name `{name}`: add it to "
    "DRAGOMAN_ALLOWED_HOSTS, or use a gateway key"
)
_FOREIGN_PAGE = (
    "without a key, pages of other sites are not answered: add the origin to "
    "DRAGOMAN_TRUSTED_ORIGINS, or use a gateway key"
)


def check_site(config: Config, headers: list[tuple[bytes, bytes]]) -> None:
    """Raise GatewayError (403) for a foreign `Host`, `Origin` or `Sec-Fetch-Site`.

    Programs send no origin, and are let in.
    """
    host = origin = site = ""
    for name, value in headers:
        if name == b"host":
            host = value.decode("latin-1")
        elif name == b"origin":
            origin = value.decode("latin-1")
        elif name == b"sec-fetch-site":
            site = value.decode("latin-1")
    if host and not _is_allowed(host, config.allowed_hosts):
        raise _site_refusal(_FOREIGN_HOST.format(name=host[:200]))
    if origin:
        if not _is_trusted(origin, config):
            raise _site_refusal(_FOREIGN_PAGE)
    elif site == "cross-site":
        raise _site_refusal(_FOREIGN_PAGE)


def _is_trusted(origin: str, config: Config) -> bool:
    if any(fnmatch.fnmatchcase(origin, pattern) for pattern in config.trusted_origins):
        return True
    scheme, separator, host = origin.partition("://")
    return (
        bool(separator) and scheme in {"http", "https"} and _is_allowed(host, config.allowed_hosts)
    )


def _is_allowed(host: str, patterns: tuple[str, ...]) -> bool:
    """As Django's ALLOWED_HOSTS means it: a name, `.name` for its subdomains too, or `*`."""
    name = host.lower()
    if not name.endswith("]"):
        before, colon, port = name.rpartition(":")
        if colon and port.isdecimal():
            name = before
    name = name.removesuffix(".")
    for pattern in patterns:
        if pattern == "*" or name == pattern.lower():
            return True
        if pattern.startswith(".") and (name.endswith(pattern.lower()) or name == pattern[1:]):
            return True
    return False


def _site_refusal(message: str) -> GatewayError:
    return GatewayError(Error(kind="not_allowed", message=message))
