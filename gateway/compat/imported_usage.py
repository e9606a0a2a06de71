"""Usage at another gateway, in the hourly roll-ups, so that budgets continue.

The `provider` of such a row begins with the name of that gateway and a slash, as no provider here
does: a repeated import finds and corrects its own rows and no others.
"""

from __future__ import annotations

from typing import Any

from gateway.compat.import_report import ImportReport
from gateway.models import UsageHour
from gateway.usage_querysets import IMPORTED

Name = tuple[Any, ...]
_BATCH = 1000


def mark_of(gateway: str) -> str:
    """The beginning of `provider` for usage at this gateway."""
    return f"{gateway}{IMPORTED}"


def write_usage(sums: dict[Name, list[int]], mark: str, report: ImportReport) -> None:
    """Write sums by `UsageHour.KEYS`, in the order of its SUMS; unchanged rows are not written."""
    stored = {
        tuple(row[: len(UsageHour.KEYS)]): list(row[len(UsageHour.KEYS) :])
        for row in UsageHour.objects.filter(provider__startswith=mark).values_list(
            *UsageHour.KEYS, *UsageHour.SUMS
        )
    }
    new = [name for name in sums if name not in stored]
    changed = [name for name in sums if name in stored and stored[name] != sums[name]]
    UsageHour.objects.bulk_create(
        [
            UsageHour(
                **dict(zip(UsageHour.KEYS, name, strict=True)),
                **dict(zip(UsageHour.SUMS, sums[name], strict=True)),
            )
            for name in [*new, *changed]
        ],
        batch_size=_BATCH,
        update_conflicts=True,
        unique_fields=list(UsageHour.KEYS),
        update_fields=list(UsageHour.SUMS),
    )
    report.count("days of usage", "added", len(new))
    report.count("days of usage", "existing", len(sums) - len(new))
    if changed:
        report.note("", f"{len(changed)} days of usage were brought up to date")
