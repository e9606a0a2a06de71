"""Connection settings of a provider: proxy, trusted authorities, client certificate."""

from __future__ import annotations

import importlib.util
import ipaddress
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

import msgspec

from gateway.providers.profile import Secret
from gateway.providers.redact import MASK

# As a provider's proxy: connect directly, whatever the environment says.
DIRECT = "direct"
# Scheme of a proxy -> its default port. With `socks5`, too, the proxy resolves the host's name.
PROXY_SCHEMES = {"http": 3128, "https": 3129, "socks5": 1080, "socks5h": 1080}


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """The connection settings of a provider. Empty values are those of the process.

    Attributes:
        proxy: the proxy's URL, which may contain a password, or DIRECT.
        ca_certificates: PEM text of the authorities that are trusted instead of the usual ones.
        client_certificate: PEM text of the certificate (and its chain) shown to the provider.
        client_key: PEM text of its private key.
        ssl_verify: whether the provider's certificate is checked.
    """

    proxy: Secret = Secret("")
    ca_certificates: str = ""
    client_certificate: str = ""
    client_key: Secret = Secret("")
    ssl_verify: bool = True


class Proxy(NamedTuple):
    """A proxy server; `scheme` is a key of PROXY_SCHEMES."""

    scheme: str
    host: str
    port: int
    username: str
    password: Secret


def parse_proxy(url: str) -> Proxy:
    """The proxy of a URL such as `http://user:password@proxy.example.com:3128`.

    Raises:
        ValueError: it is not the URL of a proxy; the message does not quote it.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("the proxy is not a URL such as http://proxy.example.com:3128") from None
    if parts.scheme not in PROXY_SCHEMES or not parts.hostname:
        schemes = ", ".join(f"{scheme}://" for scheme in PROXY_SCHEMES)
        raise ValueError(f"the proxy must be a host after one of {schemes}")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError("the proxy's URL must end after the port")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("the proxy's URL has characters that no URL may have; encode them as %XX")
    if parts.scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        message = "a SOCKS proxy needs a package that is not installed: "
        raise ValueError(f"{message}pip install 'dragoman[socks]'")
    username, password = unquote(parts.username or ""), unquote(parts.password or "")
    if parts.scheme.startswith("socks") and max(len(username), len(password)) > 255:
        raise ValueError("a SOCKS proxy's user and password have at most 255 characters")
    return Proxy(
        parts.scheme,
        parts.hostname,
        PROXY_SCHEMES[parts.scheme] if port is None else port,
        username,
        Secret(password),
    )


def mask_proxy(url: str) -> str:
    """A proxy's URL with its password masked, to be displayed."""
    userinfo, at_sign, address = url.rpartition("@")
    user, colon, password = userinfo.rpartition("://")[2].partition(":")
    if not at_sign or not colon or not password:
        return url
    return f"{url.partition('://')[0]}://{user}:{MASK}@{address}"


def unmask_proxy(entered_proxy: str, stored_proxy: str) -> str:
    """The entered URL, or the stored one if the entered URL is its masked form."""
    return (
        stored_proxy
        if stored_proxy and entered_proxy == mask_proxy(stored_proxy)
        else entered_proxy
    )


def proxy_secrets(url: str) -> tuple[str, ...]:
    """The password in a proxy's URL, in its forms."""
    try:
        password = parse_proxy(url).password.reveal()
    except ValueError:
        return ()
    return tuple({password, quote(password, safe="")} - {""})


class EnvironmentProxies(NamedTuple):
    """Proxies of the environment, by scheme of the upstream, and hosts that need none.

    Attributes:
        by_scheme: `http` and `https` -> the proxy's URL.
        no_proxy: the items of NO_PROXY, lower-case.
    """

    by_scheme: dict[str, str]
    no_proxy: tuple[str, ...]

    def select(self, scheme: str, host: str, port: int) -> str:
        """The URL of the proxy for an upstream; empty for a direct connection.

        A loopback host is always connected to directly: for a proxy it is another machine.
        """
        url = self.by_scheme.get(scheme, "")
        if not url or is_loopback(host):
            return ""
        host = host.lower().strip("[]").rstrip(".")
        return "" if any(_matches_no_proxy(item, host, port) for item in self.no_proxy) else url


_VARIABLES = {
    "http": ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"),
    "https": ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
}


def environment_proxies(environment: Mapping[str, str]) -> EnvironmentProxies:
    """The proxies in an environment; lower-case variables take precedence, as in curl.

    Raises:
        ValueError: a variable has no usable URL; the message names the variable.
    """
    by_scheme = {}
    for scheme, names in _VARIABLES.items():
        name = next((name for name in names if environment.get(name, "").strip()), None)
        if name is None:
            continue
        url = environment[name].strip()
        url = url if "://" in url else f"http://{url}"  # as in curl
        try:
            parse_proxy(url)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        by_scheme[scheme] = url
    no_proxy = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    items = no_proxy.replace(",", " ").lower().split()
    return EnvironmentProxies(by_scheme, tuple(items))


def _matches_no_proxy(item: str, host: str, port: int) -> bool:
    """Whether an item of NO_PROXY matches a host: `*`, a domain with its subdomains, an address,
    a network such as `10.0.0.0/8`; each may end with a port.
    """
    if item == "*":
        return True
    if "/" in item:
        try:
            return ipaddress.ip_address(host) in ipaddress.ip_network(item, strict=False)
        except ValueError:
            return False
    name, colon, item_port = item.rpartition(":")
    if colon and item_port.isdigit() and (":" not in name or name.endswith("]")):
        if int(item_port) != port:
            return False
        item = name
    domain = item.removeprefix("*").strip("[]").strip(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
