"""Rules for the master key: how strong it must be on which address."""

from __future__ import annotations

import ipaddress

import msgspec

MIN_CHARS = 16
_WEAK_KEY_WARNING = "warning: the master key is easy to guess; it is accepted on loopback only"
_OPEN_WARNING = "warning: on this loopback address any client key is accepted"
_WEAK = (
    "the master key has fewer than {least} characters, and --host {host} can be reached from "
    "other machines: set a longer master_key (or DRAGOMAN_MASTER_KEY), for example the output "
    "of `openssl rand -hex 24`, or use --host 127.0.0.1"
)
_OPEN_TO_ALL = (
    "DRAGOMAN_OPEN accepts any client key, and --host {host} can be reached from other "
    "machines: unset DRAGOMAN_OPEN, or use --host 127.0.0.1"
)


class MasterKeyDecision(msgspec.Struct, frozen=True, kw_only=True):
    """The consequences of a master key and a host; `refusal` aborts the start."""

    open: bool = False
    warnings: tuple[str, ...] = ()
    refusal: str = ""


def is_loopback(host: str) -> bool:
    """Whether the host is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_master_key(
    key: str, host: str, *, has_config: bool, open_requested: bool
) -> MasterKeyDecision:
    """Decide whether the gateway may start, with which warnings, and whether any token is valid.

    `has_config` is whether a configuration file was passed: only then does a missing
    master key mean that none is wanted. `open_requested` is DRAGOMAN_OPEN.
    """
    weak = 0 < len(key) < MIN_CHARS
    if not is_loopback(host):
        if weak:
            return MasterKeyDecision(refusal=_WEAK.format(least=MIN_CHARS, host=host))
        if open_requested:
            return MasterKeyDecision(refusal=_OPEN_TO_ALL.format(host=host))
        return MasterKeyDecision()
    is_open = open_requested or (has_config and not key)
    warnings = [_WEAK_KEY_WARNING] if weak else []
    if is_open:
        reason = "DRAGOMAN_OPEN is set" if open_requested else "no master_key is configured"
        warnings.append(f"{_OPEN_WARNING}: {reason}")
    return MasterKeyDecision(open=is_open, warnings=tuple(warnings))
