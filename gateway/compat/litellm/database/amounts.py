"""Limits and budgets of LiteLLM's rows."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from gateway.compat.import_report import ImportReport
from gateway.compat.litellm.api.fields import LIMITS, MAX_USD, WINDOWS
from gateway.compat.litellm.config.limits import parse_duration, span_for
from gateway.compat.litellm.database.source import Row
from gateway.routing.limits import Budget, Limits
from gateway.store.key_values import set_budget, set_limits

_AMOUNT_QUANTUM = Decimal("1e-6")
_MAX_AMOUNT = 2**63 - 1


def window_of(duration: Any) -> tuple[str, bool] | None:
    """The budget window of a `budget_duration`, and whether it is exact; None if there is none."""
    if duration is None:
        return "total", True
    text = str(duration).strip().lower()
    if text in WINDOWS:
        return WINDOWS[text], True
    span = span_for(parse_duration(text) or 0)
    return (span, False) if span else None


def set_amounts(
    row: Any, source: Row, shared_budget: Row | None, subject: str, report: ImportReport
) -> bool:
    """Set the limits and the budget of a row from LiteLLM's columns.

    Return False if a limit of 0 rejects every request.
    """
    limits, budget, admits_requests = amounts_of(source, shared_budget, subject, report)
    set_limits(row, limits)
    set_budget(row, budget)
    return admits_requests


def amounts_of(
    source: Row, shared_budget: Row | None, subject: str, report: ImportReport
) -> tuple[Limits, Budget, bool]:
    """The limits and the budget in LiteLLM's columns, and whether they admit any request.

    `shared_budget` is the row of BudgetTable that `source` names; its own values take precedence.
    """
    values = {**_present_amounts(shared_budget or {}), **_present_amounts(source)}
    limits, admits_requests = _read_limits(values, subject, report)
    budget = _read_budget(values, subject, report)
    if values.get("temp_budget_increase"):
        report.add_remark(subject, "temp_budget_increase is not imported")
    if values.get("model_max_budget"):
        report.add_remark(subject, "model_max_budget: budgets of single models are not imported")
    return limits, budget, admits_requests


def has_amounts(source: Row, shared_budget: Row | None) -> bool:
    """Whether a row has a limit or a budget."""
    values = {**_present_amounts(shared_budget or {}), **_present_amounts(source)}
    return any(values.get(name) is not None for name in (*LIMITS, "max_budget", "budget_limits"))


_NAMES = (
    *LIMITS,
    "max_budget",
    "budget_duration",
    "soft_budget",
    "budget_limits",
    "model_max_budget",
    "temp_budget_increase",
)


def _present_amounts(source: Row) -> Row:
    return {name: source[name] for name in _NAMES if source.get(name) not in (None, {}, [])}


def _read_limits(values: Row, subject: str, report: ImportReport) -> tuple[Limits, bool]:
    limits: dict[str, int] = {}
    admits_requests = True
    for field, name in LIMITS.items():
        value = values.get(field)
        if value is None:
            continue
        if value <= 0:
            admits_requests = False
            report.add_remark(subject, f"{field} {value} rejects every request")
        else:
            limits[name] = min(int(value), _MAX_AMOUNT)
    return Limits(**limits), admits_requests


def _read_budget(values: Row, subject: str, report: ImportReport) -> Budget:
    amounts: dict[str, Any] = {}
    _add_budget(amounts, values, subject, report)
    windows = values.get("budget_limits")
    for item in windows if isinstance(windows, list) else ():
        if isinstance(item, Mapping):
            _add_budget(amounts, item, subject, report)
    soft_budget, top = _usd_or_none(values.get("soft_budget")), next(iter(amounts.values()), None)
    if soft_budget is not None and top:
        percent = int(soft_budget * 100 / top)
        if 1 <= percent <= 100:
            amounts["soft_percent"] = percent
        else:
            report.add_remark(subject, "soft_budget is not 1 to 100 percent of max_budget: skipped")
    elif soft_budget is not None:
        report.add_remark(subject, "soft_budget without max_budget is skipped")
    return Budget(**amounts)


def _add_budget(
    amounts: dict[str, Any], values: Mapping[str, Any], subject: str, report: ImportReport
) -> None:
    if values.get("max_budget") is None:
        return
    usd = _usd_or_none(values["max_budget"])
    if usd is None or not 0 <= usd <= MAX_USD:
        report.add_remark(subject, f"a budget must be 0 to {MAX_USD} US dollars: skipped")
        return
    window = window_of(values.get("budget_duration"))
    if window is None:
        report.add_remark(
            subject,
            f"budget_duration {str(values['budget_duration'])[:20]}: periods are a day, a week "
            "or a month; the budget is skipped",
        )
        return
    span, is_exact = window
    if not is_exact:
        report.add_remark(
            subject,
            f"budget_duration {values['budget_duration']}: the budget is for a calendar {span}",
        )
    name = f"{span}_usd"
    amounts[name] = min(usd, amounts.get(name, usd))


def _usd_or_none(value: Any) -> Decimal | None:
    if value is None:
        return None
    try:
        usd = Decimal(str(value))
    except InvalidOperation:
        return None
    return usd.quantize(_AMOUNT_QUANTUM) if usd.is_finite() and abs(usd) < 10**12 else None
