"""Runs <-> their rows. The functions touch the database: call them in a thread."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection
from django.utils import timezone
from django.utils.translation import gettext as _

from console.models import PlaygroundRun
from console.playground import budget
from console.playground.columns import Case, Column, Plan
from console.playground.document import parse, parse_matrix
from console.playground.events import decoded, encoded, packed, unpacked
from console.playground.reading import Invalid
from console.playground.run import Run
from console.playground.takes import Takes, collected
from gateway.canon.request import Text

Json = dict[str, Any]
Result = TypeVar("Result")
TITLE_CHARS = 120


class Keeper:
    """Keeps the runs of this process in the database."""

    def save(self, run: Run) -> None:
        """Keep the finished run, with the end that its readers are about to hear."""
        done = encoded(len(run.log.frames) + 1, "done", {"id": run.id})
        _alone(lambda: self._save(run, packed([*run.log.frames, done])))

    def _save(self, run: Run, events: bytes) -> None:
        PlaygroundRun.objects.filter(uuid=UUID(run.id)).update(
            events=events,
            summary=run.summary,
            cost_usd=Decimal(str(round(run.cost, 10))),
            ended=timezone.now(),
        )

    def stops(self, run: Run) -> list[str]:
        """The columns that another process was asked to stop."""
        rows = PlaygroundRun.objects.filter(uuid=UUID(run.id)).values_list("stops", flat=True)
        return _alone(lambda: list(rows.first() or []))


def _alone(work: Callable[[], Result]) -> Result:
    """Work in a thread that Django does not know, and so nobody else ends its connection."""
    try:
        return work()
    finally:
        if not connection.in_atomic_block:
            connection.close()


def begin(user: Any, plan: Plan, document: Json) -> Run:
    """A run that is ready to start, and its row."""
    row = PlaygroundRun.objects.create(
        owner_id=user.pk,
        document=document,
        title=title(plan),
        summary={"models": [column.model for column in plan.columns]},
    )
    PlaygroundRun.objects.prune(user.pk)
    left = float(budget.left_usd(user.pk))
    return Run(str(row.uuid), plan, Keeper(), owner=user.pk, left_usd=left)


def title(plan: Plan) -> str:
    """The last words of the user, for lists."""
    for turn in reversed(plan.cases[0].turns):
        words = " ".join(part.text for part in turn.parts if isinstance(part, Text))
        if turn.role == "user" and words.strip():
            line = " ".join(words.split())
            return line if len(line) <= TITLE_CHARS else line[: TITLE_CHARS - 1] + "…"
    return ""


def plan_of(row: PlaygroundRun) -> Plan:
    """The plan that a stored run had. Raises Invalid if it can not be read any more."""
    matrix = bool(row.document.get("cases"))
    return parse_matrix(row.document) if matrix else parse(row.document)


def takes_of(row: PlaygroundRun) -> Takes:
    """The answers of a stored run."""
    return collected(decoded(unpacked(bytes(row.events))))


def chosen(plan: Plan, column: str, case: str) -> tuple[Column, Case]:
    """A column by its letter and a case by its number, or the first ones. Raises Invalid."""
    found = [c for c in plan.columns if column in ("", c.id)]
    if not found:
        raise Invalid({"col": _("There is no such column.")})
    number = int(case) if case.isdigit() else 0
    if number >= len(plan.cases):
        raise Invalid({"case": _("There is no such case.")})
    return found[0], plan.cases[number]
