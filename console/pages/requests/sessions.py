"""Requests of one conversation: the list by session, and the growth of one session."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from django.db.models import Count, Max

from console.pages.requests.log_search import BUDGET_S, PAGE_ROWS, walk
from console.pages.requests.query import Search
from gateway.models import RequestLog

MAX_STEPS = 200


class Group(msgspec.Struct):
    """A session in the list: its newest matching row, and the number of matching rows read."""

    newest: RequestLog
    count: int
    total: int | None = None


def groups(search: Search, cursor: int | None) -> tuple[list[Group], int | None]:
    """Return sessions by their newest row, and the cursor of the next page.

    A session is listed at its newest row: if that is newer than the cursor, it was on an
    earlier page.
    """
    until = time.monotonic() + BUDGET_S
    sessions: dict[str, Group] = {}
    low: int | None = None
    for rows, floor in walk(search, cursor):
        for row in rows:
            if row.session in sessions:
                sessions[row.session].count += 1
            elif row.session and len(sessions) < PAGE_ROWS:
                sessions[row.session] = Group(row, 1)
            elif row.session:
                return _count_groups(sessions, cursor), row.pk + 1
        low = floor
        if time.monotonic() > until:
            return _count_groups(sessions, cursor), low
    return _count_groups(sessions, cursor), None


def _count_groups(sessions: dict[str, Group], cursor: int | None) -> list[Group]:
    if not sessions:
        return []
    rows = RequestLog.objects.column_in("session", list(sessions))
    counts = rows.order_by().values_list("session").annotate(Count("pk"), Max("pk"))
    for name, total, newest_pk in counts:
        if cursor is not None and newest_pk >= cursor:
            del sessions[name]
        else:
            sessions[name].total = total
    return list(sessions.values())


class Step(msgspec.Struct, frozen=True):
    """One request of a session. `added_input` counts input tokens beyond the previous step."""

    row: RequestLog
    input: int
    cached: int
    output: int
    added_input: int | None

    @property
    def uncached_input(self) -> int:
        """Input tokens that were not read from the cache."""
        return max(0, self.input - self.cached)


class Session(msgspec.Struct, frozen=True):
    """The newest steps of a session, oldest first, with their sums."""

    name: str
    steps: list[Step]
    earlier: bool = False

    @property
    def max_tokens(self) -> int:
        """Tokens of the largest step, the scale of the bars."""
        return max((step.input + step.output for step in self.steps), default=0) or 1

    @property
    def cost(self) -> Any:
        """Known cost of the steps in US dollars; None if no cost is known."""
        costs = [step.row.cost_usd for step in self.steps if step.row.cost_usd is not None]
        return sum(costs) if costs else None

    @property
    def output(self) -> int:
        """Output tokens of all steps."""
        return sum(step.output for step in self.steps)


def session(name: str) -> Session:
    """Return the newest requests of a session. `input` includes cached tokens."""
    rows = list(RequestLog.objects.column_in("session", [name]).newest(MAX_STEPS + 1))
    earlier = len(rows) > MAX_STEPS
    steps: list[Step] = []
    previous_input: int | None = None
    for row in reversed(rows[:MAX_STEPS]):
        cached = row.cache_read_tokens or 0
        input_tokens = row.prompt_tokens or 0
        added_tokens = None if previous_input is None else input_tokens - previous_input
        steps.append(Step(row, input_tokens, cached, row.output_tokens or 0, added_tokens))
        previous_input = input_tokens
    return Session(name, steps, earlier)
