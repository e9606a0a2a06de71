"""Requests of one conversation together: the list by session, and one session's growth."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from console.pages.requests.find import BUDGET_S, PAGE, walk
from console.pages.requests.query import Search
from gateway.models import RequestLog

MOST_STEPS = 200


class Group(msgspec.Struct):
    """A session in the list: its newest found row, and how many were seen of it."""

    newest: RequestLog
    count: int
    total: int | None = None


def groups(search: Search, cursor: int | None) -> tuple[list[Group], int | None]:
    """Sessions by their newest row, and the cursor of the next page.

    A session stands where its newest row is: one that is newer than the cursor was on
    an earlier page.
    """
    until = time.monotonic() + BUDGET_S
    found: dict[str, Group] = {}
    low: int | None = None
    for rows, floor in walk(search, cursor):
        for row in rows:
            if row.session in found:
                found[row.session].count += 1
            elif row.session and len(found) < PAGE:
                found[row.session] = Group(row, 1)
            elif row.session:
                return _counted(found, cursor), row.pk + 1
        low = floor
        if time.monotonic() > until:
            return _counted(found, cursor), low
    return _counted(found, cursor), None


def _counted(found: dict[str, Group], cursor: int | None) -> list[Group]:
    kept = []
    for name, group in found.items():
        rows = RequestLog.objects.having("session", [name])
        if cursor is not None and rows.after(cursor - 1).exists():
            continue
        group.total = rows.count()
        kept.append(group)
    return kept


class Step(msgspec.Struct, frozen=True):
    """One request of a session. `new` are the input tokens beyond those of the step before."""

    row: RequestLog
    input: int
    cached: int
    output: int
    new: int | None

    @property
    def fresh(self) -> int:
        """Input tokens that were not read from the cache."""
        return max(0, self.input - self.cached)


class Session(msgspec.Struct, frozen=True):
    """The newest steps of a session, oldest first, and sums over them."""

    name: str
    steps: list[Step]
    earlier: bool = False

    @property
    def most(self) -> int:
        """The largest step, in tokens: the scale of the bars."""
        return max((step.input + step.output for step in self.steps), default=0) or 1

    @property
    def cost(self) -> Any:
        """US dollars of the steps whose cost is known; None if none is."""
        known = [step.row.cost_usd for step in self.steps if step.row.cost_usd is not None]
        return sum(known) if known else None

    @property
    def output(self) -> int:
        """Tokens written in all steps."""
        return sum(step.output for step in self.steps)


def session(name: str) -> Session:
    """The session's newest requests. `input` counts cached tokens too."""
    rows = list(RequestLog.objects.having("session", [name]).newest(MOST_STEPS + 1))
    earlier = len(rows) > MOST_STEPS
    steps: list[Step] = []
    before: int | None = None
    for row in reversed(rows[:MOST_STEPS]):
        cached = row.cache_read_tokens or 0
        entire = (row.input_tokens or 0) + cached + (row.cache_write_tokens or 0)
        new = None if before is None else entire - before
        steps.append(Step(row, entire, cached, row.output_tokens or 0, new))
        before = entire
    return Session(name, steps, earlier)
