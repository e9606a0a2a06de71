"""The master key's rules: what is good enough for whom."""

from __future__ import annotations

import ipaddress

import msgspec

MIN_CHARS = 16
_OPEN = (
    "warning: no master_key is configured; on this loopback address any client token is accepted"
)


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from a master key and a host: `refusal` ends the start."""

    open: bool = False
    warnings: tuple[str, ...] = ()
    refusal: str = ""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def choose(key: str, host: str, *, has_config: bool) -> Choice:
    """Whether the gateway may start so, with what warnings, and if any token will do.

    `has_config` is whether a configuration file was given: only there does a missing
    master key mean that the operator wants none.
    """
    local = is_loopback(host)
    if key and len(key) < MIN_CHARS:
        if not local:
            return Choice(
                refusal=f"the master key has under {MIN_CHARS} characters and --host {host} can be "
                "reached from other machines: set a longer master_key (or DRAGOMAN_MASTER_KEY), "
                "or use --host 127.0.0.1"
            )
        return Choice(
            warnings=("warning: the master key can be guessed; it is accepted on loopback only",)
        )
    if not key and has_config and local:
        return Choice(
            open=True,
            warnings=(_OPEN,),
        )
    return Choice()
