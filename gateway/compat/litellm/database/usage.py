"""Spend by day, key and model, added to the hourly roll-ups so that budgets continue.

A day's usage is stored in its first hour (UTC). The `provider` of these rows begins with
`litellm/`, as no provider name here does, so that a repeated import updates only these rows.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal

from django.utils import timezone

from gateway import store
from gateway.compat.import_report import ImportReport
from gateway.compat.imported_usage import Name, imported_provider_prefix, write_usage
from gateway.compat.litellm.database.amounts import window_of
from gateway.compat.litellm.database.keys import PREFIX, public_prefix
from gateway.compat.litellm.database.source import Row, Tables
from gateway.compat.litellm.database.teams import Teams
from gateway.models import ApiKey
from gateway.routing.limits import UNITS, window_start

LITELLM_PROVIDER_PREFIX = imported_provider_prefix("litellm")
_MAX_UNITS = 2**62
# Differences below this come from rounding.
_LEAST_USD = Decimal("0.0001")


def import_usage(tables: Tables, keys: dict[str, ApiKey], report: ImportReport) -> None:
    """Write the usage of each day; an unchanged row is not written."""
    sums: dict[Name, list[int]] = {}
    for row in tables.usage:
        name = _usage_name(row, keys)
        if name is None:
            report.count("days of usage", "skipped")
            continue
        _add_counts(sums, name, _usage_counts(row))
    for name, units in _remaining_spend(tables, keys, report):
        _add_counts(sums, name, [0] * 10 + [units, units])
    write_usage(sums, LITELLM_PROVIDER_PREFIX, report)


def _usage_name(row: Row, keys: dict[str, ApiKey]) -> Name | None:
    try:
        day = dt.datetime.fromisoformat(row["date"]).replace(tzinfo=dt.UTC)
    except ValueError:
        return None
    key = keys.get(row["api_key"])
    # LiteLLM 1.106 has the name as in `litellm_params`: after that of the provider.
    model = row["model"].removeprefix(f"{row['custom_llm_provider']}/")
    return (
        day.replace(hour=0, minute=0, second=0, microsecond=0),
        key.pk if key is not None else 0,
        public_prefix(row["api_key"]) if key is not None else PREFIX + "other",
        _truncate_text(row["model_group"], 200),
        _truncate_text(LITELLM_PROVIDER_PREFIX + row["custom_llm_provider"], 63),
        _truncate_text(model, 200),
    )


def _usage_counts(row: Row) -> list[int]:
    cache_read, cache_write = (
        int(row["cache_read_input_tokens"]),
        int(row["cache_creation_input_tokens"]),
    )
    units = _units_of_usd(Decimal(str(row["spend"])))
    return [
        int(row["api_requests"]),
        int(row["failed_requests"]),
        0,
        max(int(row["prompt_tokens"]) - cache_read - cache_write, 0),
        cache_read,
        cache_write,
        int(row["completion_tokens"]),
        0,
        int(row["successful_requests"]),
        0,
        units,
        units,
    ]


def _remaining_spend(
    tables: Tables, keys: dict[str, ApiKey], report: ImportReport
) -> Iterator[tuple[Name, int]]:
    """Spend in budget counters that is in no daily row, as usage at the start of the window."""
    now = timezone.now()
    days: dict[str, list[tuple[str, Decimal]]] = {}
    for row in tables.usage:
        days.setdefault(row["api_key"], []).append((row["date"], Decimal(str(row["spend"]))))
    budgets = tables.rows_by_key("BudgetTable", "budget_id")
    for key in tables.rows_of("VerificationToken"):
        key_spend = keys.get(key["token"])
        values = {**budgets.get(key.get("budget_id") or "", {}), **_without_nulls(key)}
        window = window_of(values.get("budget_duration"))
        if key_spend is None or values.get("max_budget") is None or window is None:
            continue
        since = window_start(now.timestamp(), window[0])
        if since is not None and not _is_current(values, now):
            continue
        first = since.date().isoformat() if since is not None else ""
        recorded_count = sum(
            (usd for date, usd in days.get(key["token"], ()) if date >= first), Decimal(0)
        )
        missing_usd = Decimal(str(key.get("spend") or 0)) - recorded_count
        if missing_usd < -_LEAST_USD:
            report.add_remark(
                f"key {key_spend.name}",
                "its daily usage exceeds its spend counter, which was reset: the usage is imported",
            )
        elif missing_usd > _LEAST_USD:
            start = since or key.get("created_at") or now
            hour = start.replace(tzinfo=dt.UTC, hour=0, minute=0, second=0, microsecond=0)
            yield (
                (hour, key_spend.pk, public_prefix(key["token"]), "", LITELLM_PROVIDER_PREFIX, ""),
                _units_of_usd(missing_usd),
            )


def report_spend_of_deleted_keys(tables: Tables, teams: Teams, report: ImportReport) -> None:
    """Report spend in the counter of a team's budget that its imported keys do not have."""
    now = timezone.now()
    recorded_units = {name: units for name, _, units in store.recorded_spend(store.load_snapshot())}
    for row in tables.rows_of("TeamTable"):
        team, window = teams.teams[row["team_id"]], window_of(row.get("budget_duration"))
        if row.get("max_budget") is None or window is None:
            continue
        if window[0] != "total" and not _is_current(row, now):
            continue
        recorded_usd = Decimal(recorded_units.get(f"team:{team.pk}/usd/{window[0]}", 0)) / UNITS
        missing_usd = Decimal(str(row.get("spend") or 0)) - recorded_usd
        if missing_usd > _LEAST_USD:
            report.add_remark(
                f"team {team.name}",
                f"its spend counter is {missing_usd:.4f} US dollars higher than the imported "
                "spend, because keys were deleted: its budget starts with the imported spend",
            )


def _is_current(row: Row, now: dt.datetime) -> bool:
    """Whether the counter of a budget is of the current window."""
    resets = row.get("budget_reset_at")
    return resets is not None and resets.replace(tzinfo=dt.UTC) > now


def _add_counts(sums: dict[Name, list[int]], name: Name, counts: list[int]) -> None:
    before = sums.get(name)
    sums[name] = counts if before is None else [a + b for a, b in zip(before, counts, strict=True)]


def _units_of_usd(usd: Decimal) -> int:
    return max(min(int((usd * UNITS).to_integral_value()), _MAX_UNITS), 0)


def _without_nulls(row: Row) -> Row:
    return {name: value for name, value in row.items() if value is not None}


def _truncate_text(value: str, length: int) -> str:
    return value.replace("\0", "")[:length]
