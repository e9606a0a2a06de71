"""Default of `ALLOWED_HOSTS`, if it is not configured."""

from __future__ import annotations

import contextlib
import socket

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_EVERYWHERE = {"0.0.0.0", "::", ""}  # noqa: S104 - compared, not bound


def allowed_hosts(host: str) -> list[str]:
    """Return `ALLOWED_HOSTS` for a server that listens on `host`.

    Any other name is rejected, as protection against DNS rebinding: a foreign name that points
    here could use a signed-in browser.
    """
    if host in _EVERYWHERE:
        return list(dict.fromkeys([*LOOPBACK, *_machine_names(), *_machine_addresses()]))
    return list(dict.fromkeys([*LOOPBACK, _url_host(host)]))


def _machine_names() -> list[str]:
    name = socket.gethostname().lower()
    return [name, f"{name}.local"] if name and "." not in name else [name] if name else []


def _machine_addresses() -> list[str]:
    addresses: list[str] = []
    with contextlib.suppress(OSError):
        infos = socket.getaddrinfo(socket.gethostname(), None)
        addresses += [_url_host(str(info[4][0]).partition("%")[0]) for info in infos]
    # The address of outgoing connections; connecting a datagram socket sends nothing.
    for family, remote_address in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((remote_address, 9))
            addresses.append(_url_host(str(probe.getsockname()[0]).partition("%")[0]))
    return addresses


def _url_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
