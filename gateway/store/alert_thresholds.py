"""The thresholds of alerts, one setting with a value for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class AlertThresholds(msgspec.Struct, frozen=True, kw_only=True):
    """When the conditions of alerts hold.

    Attributes:
        budget_percent: the share of a budget that raises an alert before it is used up.
        error_rate_percent: the share of a provider's requests that fail,
        error_rate_minutes: in a window of this length,
        error_rate_min_requests: with at least this many requests.
        cooldown_s: how long a target is in cooldown.
        waiting_rows: rows of the request log that wait for the database.
        journal_percent: the share of the journal, in memory or on disk, that is in use.
        key_expiry_days: the remaining time of an API key.
        certificate_expiry_days: the remaining time of a certificate.
        log_export_minutes: how long exports of the request log have failed.
    """

    budget_percent: int = 80
    error_rate_percent: int = 25
    error_rate_minutes: int = 5
    error_rate_min_requests: int = 20
    cooldown_s: int = 60
    waiting_rows: int = 5_000
    journal_percent: int = 80
    key_expiry_days: int = 7
    certificate_expiry_days: int = 14
    log_export_minutes: int = 15


# The smallest and the largest value of each.
RANGES: dict[str, tuple[int, int]] = {
    "budget_percent": (1, 100),
    "error_rate_percent": (1, 100),
    "error_rate_minutes": (1, 1440),
    "error_rate_min_requests": (1, 1_000_000),
    "cooldown_s": (0, 86_400),
    "waiting_rows": (1, 10_000_000),
    "journal_percent": (1, 100),
    "key_expiry_days": (1, 365),
    "certificate_expiry_days": (1, 365),
    "log_export_minutes": (1, 10_080),
}


def validate_thresholds(value: Any) -> dict[str, int]:
    """The thresholds that differ from their defaults. Raises ValueError naming the field."""
    if not isinstance(value, Mapping):
        raise ValueError(f"must be an object of {', '.join(RANGES)}")
    defaults = AlertThresholds()
    changed_thresholds: dict[str, int] = {}
    for name, number in value.items():
        if name not in RANGES:
            names = ", ".join(RANGES)
            raise ValueError(f"there is no `{str(name)[:80]}`; the names are {names}")
        low, high = RANGES[name]
        if number is None:
            continue
        if isinstance(number, bool) or not isinstance(number, int) or not low <= number <= high:
            raise ValueError(f"{name} must be a whole number from {low} to {high}")
        if number != getattr(defaults, name):
            changed_thresholds[name] = number
    return changed_thresholds
