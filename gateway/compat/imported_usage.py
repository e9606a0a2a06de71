"""Adds the usage at another gateway to the hourly and daily roll-ups, so that budgets continue.

The `provider` of such a row begins with the name of that gateway and a slash, which no provider
name here contains: a repeated import updates the rows of the earlier one and no others.
"""

from __future__ import annotations

from operator import sub
from typing import Any

from django.db import connection, transaction

from gateway.compat.import_report import ImportReport
from gateway.models import UsageHour
from gateway.store import usage
from gateway.usage_querysets import IMPORTED_PREFIX

Name = tuple[Any, ...]
_ZERO_SUMS = [0] * len(UsageHour.SUMS)


def imported_provider_prefix(gateway: str) -> str:
    """The prefix of `provider` in rows with usage imported from this gateway."""
    return f"{gateway}{IMPORTED_PREFIX}"


def write_usage(sums: dict[Name, list[int]], key_prefix: str, report: ImportReport) -> None:
    """Write sums by `UsageHour.KEYS`, in the order of its SUMS; unchanged rows are not written."""
    with transaction.atomic(), connection.cursor() as cursor:
        # Two imports at the same time would both add what is missing.
        usage.lock_tables(cursor)
        rows = UsageHour.objects.filter(provider__startswith=key_prefix)
        stored_usage = {
            row[: len(UsageHour.KEYS)]: row[len(UsageHour.KEYS) :]
            for row in rows.values_list(*UsageHour.KEYS, *UsageHour.SUMS)
        }
        differences = {
            name: list(map(sub, counts, stored_usage.get(name, _ZERO_SUMS)))
            for name, counts in sums.items()
        }
        usage.add(
            cursor,
            {name: by for name, by in differences.items() if name not in stored_usage or any(by)},
        )
    changed_count = sum(any(differences[name]) for name in sums.keys() & stored_usage.keys())
    report.count("days of usage", "added", len(sums.keys() - stored_usage.keys()))
    report.count("days of usage", "existing", len(sums.keys() & stored_usage.keys()))
    if changed_count:
        report.add_remark("", f"{changed_count} days of usage were brought up to date")
