"""Stores and loads runs. The functions query the database: call them in a thread."""

from __future__ import annotations

import math
import time
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.utils import timezone
from django.utils.translation import gettext as _

from console.models import PlaygroundRun
from console.playground import budget
from console.playground.events import (
    compress_frames,
    decode_events,
    decompress_frames,
    encode_event,
)
from console.playground.plan import Column, Plan
from console.playground.plan_parser import parse
from console.playground.results import RunResults, collect_results
from console.playground.run import Run
from console.playground.validation import Invalid
from gateway.canon.request import Text
from gateway.relay.runtime import Runtime
from gateway.store.thread import with_own_connection

Json = dict[str, Any]
TITLE_CHARS = 120


HEARTBEAT_S = 3.0


class DatabaseRunStore:
    """Stores a run of this process in the database."""

    def __init__(self) -> None:
        self._last_heartbeat = -HEARTBEAT_S

    def save(self, run: Run) -> None:
        """Store the finished run, with the `done` event that followers receive next."""
        done_event = encode_event(len(run.log.frames) + 1, "done", {"id": run.id})
        with_own_connection(lambda: self._save(run, compress_frames([*run.log.frames, done_event])))

    def _save(self, run: Run, events: bytes) -> None:
        PlaygroundRun.objects.filter(uuid=UUID(run.id)).update(
            events=events,
            summary=run.summary,
            cost_usd=Decimal(str(round(run.cost, 10))),
            ended_at=timezone.now(),
        )

    def stops(self, run: Run) -> list[str]:
        """Columns that a user stopped through another process; also renews the heartbeat."""
        return with_own_connection(lambda: self._read_stops(UUID(run.id)))

    def _read_stops(self, run: UUID) -> list[str]:
        rows = PlaygroundRun.objects.filter(uuid=run)
        now = time.monotonic()
        if now - self._last_heartbeat >= HEARTBEAT_S:
            self._last_heartbeat = now
            rows.update(heartbeat_at=timezone.now())
        return list(rows.values_list("stop_requests", flat=True).first() or [])


def create_run(
    runtime: Runtime, user: Any, plan: Plan, document: Json, key_id: int | None = None
) -> Run:
    """Create a run that is ready to start, and its row.

    With `key_id`, its calls are those of this gateway key, whose budgets replace the
    playground's.
    """
    row = PlaygroundRun.objects.create(
        owner_id=user.pk,
        document=document,
        title=last_user_text(plan),
        model_names=", ".join(dict.fromkeys(column.model for column in plan.columns))[:2000],
        summary={"models": [column.model for column in plan.columns]},
    )
    PlaygroundRun.objects.prune(user.pk)
    remaining_usd = math.inf if key_id is not None else float(budget.remaining_usd(user.pk))
    return Run(
        runtime,
        str(row.uuid),
        plan,
        DatabaseRunStore(),
        owner=user.pk,
        remaining_usd=remaining_usd,
        key_id=key_id,
    )


def last_user_text(plan: Plan) -> str:
    """Last text of the user, shortened, as title in lists."""
    for turn in reversed(plan.columns[0].turns):
        text = " ".join(part.text for part in turn.parts if isinstance(part, Text))
        if turn.role == "user" and text.strip():
            line = " ".join(text.split())
            return line if len(line) <= TITLE_CHARS else line[: TITLE_CHARS - 1] + "…"
    return ""


def plan_of(row: PlaygroundRun) -> Plan:
    """Plan of a stored run. Raises Invalid if its document is no longer valid."""
    return parse(row.document)


def results_of(row: PlaygroundRun) -> RunResults:
    """Results of a stored run."""
    return collect_results(decode_events(decompress_frames(bytes(row.events))))


def select_column(plan: Plan, column_id: str) -> Column:
    """Column by letter, by default the first one. Raises Invalid."""
    columns = [c for c in plan.columns if column_id in ("", c.id)]
    if not columns:
        raise Invalid({"col": _("This column does not exist.")})
    return columns[0]
