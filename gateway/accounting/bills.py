"""Provider bills: imported, and reconciled with the computed cost of the same days.

read_csv(text)                    -> [BilledLine]    day, model if any, US dollars
import_bill(provider, lines, ...)                    replaces lines of the same days
reconcile(provider, since, until) -> Reconciliation
"""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal, InvalidOperation

import msgspec
from django.db import transaction
from django.db.models import Sum

from gateway import audit
from gateway.models import BillLine, RequestLog, TargetHour, UsageHour
from gateway.providers.profile import NO_TIER_PRICE
from gateway.usage_querysets import Totals, sum_totals

MAX_LINES = 20_000
# Maximum number of log rows that are examined for uncertain cost.
MAX_ROWS = 50_000
_DAYS = ("day", "date", "start_date", "usage_date", "start_time", "timestamp", "start")
_MODELS = ("model", "model_name", "line_item", "sku", "description")
_AMOUNTS = ("usd", "cost_usd", "amount_usd", "cost", "amount", "amount_value", "total")
_MAX_USD = Decimal(10) ** 9


class BilledLine(msgspec.Struct, frozen=True):
    """A line of a bill: first and last day, both included; an empty model means all models."""

    since: dt.date
    until: dt.date
    usd: Decimal
    model: str = ""


class ReconciledDay(msgspec.Struct, frozen=True):
    """One line of the comparison; `billed` is None if the bill has no such line."""

    day: dt.date
    model: str
    totals: Totals
    billed: Decimal | None

    @property
    def difference(self) -> Decimal | None:
        """Billed minus computed cost; None if nothing is billed."""
        return None if self.billed is None else self.billed - (self.totals.cost or Decimal(0))


class Uncertainty(msgspec.Struct, frozen=True):
    """Requests whose cost is uncertain or missing in the total: reason, count, US dollars.

    `query` finds them in the log.
    """

    reason: str
    requests: int
    usd: Decimal | None
    query: str = ""


class Reconciliation(msgspec.Struct, frozen=True):
    """A provider's period: lines by day and model, totals, and possible causes of a difference.

    `covered` is the computed usage of the days that a bill covers.
    """

    days: list[ReconciledDay]
    totals: Totals
    covered: Totals
    billed: Decimal | None
    spans: list[BillLine]
    uncertainties: list[Uncertainty]

    @property
    def difference(self) -> Decimal | None:
        """Billed minus computed cost of the covered days; None without a bill."""
        return None if self.billed is None else self.billed - (self.covered.cost or Decimal(0))

    @property
    def partially_covered(self) -> bool:
        """Whether some of the computed usage is on days that no bill covers."""
        return self.billed is not None and self.covered != self.totals


# -- import ---------------------------------------------------------------------------


def read_csv(text: str) -> list[BilledLine]:
    """The lines of a bill. Raises ValueError with the number of the invalid line.

    One column is a day (date, start_time, ...), one an amount in US dollars (cost, amount, ...),
    and optionally one the model. Lines of the same day and model are added up.
    """
    rows = _csv_rows(text.lstrip("\ufeff"))
    head = [name.strip().lower().replace(" ", "_") for name in next(rows, [])]
    day_column, usd_column = _column_index(head, _DAYS), _column_index(head, _AMOUNTS)
    model_column = _column_index(head, _MODELS)
    if day_column is None or usd_column is None:
        raise ValueError(
            "the first line must name the columns: `date`, `cost` (in US dollars) and, "
            "optionally, `model`"
        )
    usd_by_line: dict[tuple[dt.date, str], Decimal] = {}
    for number, row in enumerate(rows, start=2):
        if not any(cell.strip() for cell in row):
            continue
        if number > MAX_LINES:
            raise ValueError(f"the file has more than {MAX_LINES} lines")
        day = _parse_date(_cell_text(row, day_column), number)
        name = "" if model_column is None else _cell_text(row, model_column)[:200]
        usd = _parse_amount(_cell_text(row, usd_column), number)
        usd_by_line[day, name] = usd_by_line.get((day, name), Decimal(0)) + usd
    return [BilledLine(day, day, usd, name) for (day, name), usd in sorted(usd_by_line.items())]


def _csv_rows(text: str) -> Iterator[list[str]]:
    try:
        yield from csv.reader(io.StringIO(text))
    except csv.Error as error:
        raise ValueError(f"the file is not CSV: {error}") from None


def _column_index(head: Sequence[str], names: Iterable[str]) -> int | None:
    return next((head.index(name) for name in names if name in head), None)


def _cell_text(row: Sequence[str], column: int) -> str:
    return row[column].strip().replace("\0", "") if column < len(row) else ""


def _parse_date(text: str, number: int) -> dt.date:
    try:
        return dt.date.fromisoformat(text[:10])
    except ValueError:
        reason = f"line {number}: `{text[:40]}` is not a date; write dates as 2026-11-21"
        raise ValueError(reason) from None


def _parse_amount(text: str, number: int) -> Decimal:
    try:
        amount = Decimal(text.replace("$", "").replace(",", "").strip())
    except InvalidOperation:
        raise ValueError(f"line {number}: `{text[:40]}` is not an amount in US dollars") from None
    if not amount.is_finite() or abs(amount) > _MAX_USD:
        raise ValueError(f"line {number}: `{text[:40]}` is not an amount in US dollars")
    return amount


def import_bill(provider: str, lines: Sequence[BilledLine], *, origin: str, author: str) -> int:
    """Store the lines of a bill, replacing those of the same days; return the number replaced.

    Raises ValueError if there are no lines.
    """
    if not lines:
        raise ValueError("the bill has no lines")
    first_day, last_day = min(line.since for line in lines), max(line.until for line in lines)
    with transaction.atomic():
        old_lines = BillLine.objects.filter(
            provider=provider, since__lte=last_day, until__gte=first_day
        )
        before = old_lines.aggregate(usd=Sum("usd"))["usd"]
        deleted_count, _ = old_lines.delete()
        new_lines = BillLine.objects.bulk_create(
            BillLine(
                provider=provider,
                since=line.since,
                until=line.until,
                model=line.model,
                usd=line.usd,
                origin=origin[:200],
                created_by=author,
            )
            for line in lines
        )
        days = {"provider": provider, "since": first_day.isoformat(), "until": last_day.isoformat()}
        usd = sum((line.usd for line in lines), Decimal(0))
        audit.record_change(
            "billline",
            new_lines[0].pk,
            f"{provider} {first_day} to {last_day}",
            {**days, "usd": before, "lines": deleted_count} if deleted_count else None,
            {**days, "usd": usd, "lines": len(lines), "origin": origin},
        )
    return deleted_count


# -- reconciliation -----------------------------------------------------------------


def reconcile(provider: str, since: dt.datetime, until: dt.datetime) -> Reconciliation:
    """The reconciliation of a provider's whole days (UTC), from `since` to before `until`."""
    computed_totals = _computed_totals(provider, since, until)
    first_day, last_day = since.date(), (until - dt.timedelta(days=1)).date()
    rows = list(
        BillLine.objects.filter(provider=provider, since__gte=first_day, until__lte=last_day)
    )
    billed_by_line: dict[tuple[dt.date, str], Decimal] = {}
    for row in rows:
        if row.since == row.until:
            name = (row.since, _match_model(row.model, {model for _, model in computed_totals}))
            billed_by_line[name] = billed_by_line.get(name, Decimal(0)) + row.usd
    days = [
        ReconciledDay(
            day,
            model,
            computed_totals.get((day, model), Totals()),
            billed_by_line.get((day, model)),
        )
        for day, model in sorted(
            computed_totals.keys() | billed_by_line.keys(), key=lambda name: (name[0], name[1])
        )
    ]
    return Reconciliation(
        days=days,
        totals=sum_totals(computed_totals.values()),
        covered=sum_totals(
            totals
            for (day, _model), totals in computed_totals.items()
            if any(row.since <= day <= row.until for row in rows)
        ),
        billed=sum((row.usd for row in rows), Decimal(0)) if rows else None,
        spans=[row for row in rows if row.since != row.until],
        uncertainties=_find_uncertainties(provider, since, until),
    )


def _match_model(name: str, models: set[str]) -> str:
    """The log's name of a billed model: an exact match, else the longest prefix, else `name`."""
    if name in models:
        return name
    lower = name.lower()
    model_names_with_prefix = [
        model for model in models if model and lower.startswith(model.lower())
    ]
    return max(model_names_with_prefix, key=len) if model_names_with_prefix else name


def _computed_totals(
    provider: str, since: dt.datetime, until: dt.datetime
) -> dict[tuple[dt.date, str], Totals]:
    parts: dict[tuple[dt.date, str], list[Totals]] = {}
    rows = UsageHour.objects.in_range(since, until).filter(provider=provider)
    for day, name, totals in rows.by_step_and("day", "model"):
        parts.setdefault((day.astimezone(dt.UTC).date(), name[1]), []).append(totals)
    return {name: sum_totals(totals) for name, totals in parts.items()}


def _find_uncertainties(provider: str, since: dt.datetime, until: dt.datetime) -> list[Uncertainty]:
    rows = (
        RequestLog.objects.started_between(since, until)
        .filter(provider=provider)
        .with_uncertain_cost()
    )
    costs: dict[str, list[Decimal | None]] = {reason: [] for reason in _REASONS}
    # One pass for all reasons; summed here, as SQLite sums decimals as floating point.
    for row in rows.values_list(*_UNCERTAINTY_COLUMNS).order_by()[:MAX_ROWS].iterator():
        for reason in _uncertainty_reasons(*row):
            costs[reason].append(row[0])
    uncertainties = [
        _uncertainty_of_costs(reason, reason_cost) for reason, reason_cost in costs.items()
    ]
    uncertainties += _uncertain_attempts(provider, since, until)
    return [entry for entry in uncertainties if entry.requests]


_UNCERTAINTY_COLUMNS = (
    "cost_usd",
    "outcome",
    "usage_source",
    "price_source",
    "shadow_of",
    "input_tokens",
    "output_tokens",
)
_OUTCOMES = {"cut": "cut", "client_closed": "closed", "error": "failed"}
_REASONS = ("unknown", "estimated", "tier", *_OUTCOMES.values(), "shadow")


def _uncertainty_reasons(
    cost: Decimal | None,
    outcome: str,
    usage_source: str,
    price_source: str,
    shadow_of: str,
    prompt: int | None,
    output: int | None,
) -> Iterator[str]:
    """Reasons why the cost of a request is uncertain."""
    if cost is None and ((prompt or 0) > 0 or (output or 0) > 0):
        yield "unknown"
    if usage_source.startswith("estimated"):
        yield "estimated"
    if NO_TIER_PRICE in price_source:
        yield "tier"
    if cost is not None and cost > 0 and outcome in _OUTCOMES:
        yield _OUTCOMES[outcome]
    if shadow_of:
        yield "shadow"


def _uncertainty_of_costs(reason: str, costs: list[Decimal | None]) -> Uncertainty:
    known_costs = [usd for usd in costs if usd is not None]
    return Uncertainty(reason, len(costs), sum(known_costs, Decimal(0)) if known_costs else None)


def _uncertain_attempts(provider: str, since: dt.datetime, until: dt.datetime) -> list[Uncertainty]:
    """Failed attempts at this provider: hedge losers with a cost, and responses that broke off."""
    hedge_losers, usd, broken_responses = TargetHour.objects.between(
        since, until
    ).failed_attempt_costs(provider)
    return [Uncertainty("hedged", hedge_losers, usd), Uncertainty("broken", broken_responses, None)]
