"""Efforts and token budgets of reasoning, and the conversion between them."""

from __future__ import annotations

# From the weakest to the strongest.
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
# For models that take tokens instead of an effort; the numbers are wire/spec.md's (3.6).
BUDGET_BY_EFFORT = {
    "minimal": 1024,
    "low": 2048,
    "medium": 8192,
    "high": 16384,
    "xhigh": 24576,
    "max": 32000,
}
# (maximum budget in tokens, effort it corresponds to).
_EFFORT_BY_MAX_BUDGET = ((1500, "low"), (6000, "medium"), (16000, "high"), (28000, "xhigh"))


def effort_for_budget(budget: int) -> str:
    """The effort that corresponds to a number of tokens."""
    return next((effort for limit, effort in _EFFORT_BY_MAX_BUDGET if budget <= limit), "max")


def next_lower_effort(effort: str, efforts: tuple[str, ...]) -> str:
    """The strongest of `efforts` below `effort`, else the weakest of them.

    `none` does not count as an effort: a little reasoning is closer to the request.
    """
    supported = [name for name in efforts if name in EFFORTS and name != "none"]
    if effort not in EFFORTS or not supported:
        return efforts[0]
    rank = EFFORTS.index(effort)
    lower = [name for name in supported if EFFORTS.index(name) < rank]
    return lower[-1] if lower else supported[0]
