"""Votes -> a table of models. Each vote on k answers counts as their pairs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from console.models import PlaygroundRun, Vote
from console.playground.keeper import plan_of
from console.playground.reading import Invalid

Json = dict[str, Any]

# Chess's numbers: a difference of 400 points means ten wins to one.
_START, _STEP, _SCALE = 1000.0, 16.0, 400.0


def vote(user: Any, body: Json) -> Json:
    """Keep a vote and say which model was which. Raises Invalid, PlaygroundRun.DoesNotExist.

    `winner` is a letter of `order`, `tie`, or `none` where all are bad.
    """
    run = _run_of(user, body)
    columns = {column.id: column.model for column in plan_of(run).columns}
    order, winner = body.get("order") or list(columns), body.get("winner")
    if not isinstance(order, list) or not set(order) <= set(columns) or len(set(order)) < 2:
        raise Invalid({"order": _("A vote is between at least two columns of the run.")})
    if winner not in (*order, "tie", "none"):
        raise Invalid({"winner": _("A column, tie or none.")})
    kept, _made = Vote.objects.update_or_create(
        run=run,
        voter=user,
        defaults={
            "preset": str(run.document.get("preset") or "")[:100],
            "blind": bool(run.document.get("blind")),
            "candidates": [columns[letter] for letter in order],
            "winner": columns.get(str(winner), ""),
            "tie": winner == "tie",
        },
    )
    return {"models": columns, "winner": winner, "winner_model": kept.winner or None}


def _run_of(user: Any, body: Json) -> PlaygroundRun:
    try:
        uuid = UUID(str(body.get("run")))
    except ValueError:
        raise Invalid({"run": _("There is no such run.")}) from None
    return PlaygroundRun.objects.visible_to(user).get(uuid=uuid)


def table(votes: Iterable[Vote]) -> list[Json]:
    """A row a model, the best first. `votes` in the order in which they were cast."""
    rows: dict[str, Json] = {}
    for vote in votes:
        for model in dict.fromkeys(vote.candidates):
            _count(rows.setdefault(model, _row(model)), vote)
        _rate(rows, vote)
    for row in rows.values():
        decided = row["wins"] + row["losses"] + row["ties"]
        row["win_rate"] = round((row["wins"] + row["ties"] / 2) / decided, 3) if decided else None
        row["rating"] = round(row["rating"])
    return sorted(rows.values(), key=lambda row: (-row["rating"], row["model"]))


def _row(model: str) -> Json:
    zero = dict.fromkeys(("votes", "wins", "losses", "ties", "bad"), 0)
    return {"model": model, **zero, "rating": _START}


def _count(row: Json, vote: Vote) -> None:
    row["votes"] += 1
    if vote.tie:
        row["ties"] += 1
    elif not vote.winner:
        row["bad"] += 1
    elif vote.winner == row["model"]:
        row["wins"] += 1
    else:
        row["losses"] += 1


def _rate(rows: dict[str, Json], vote: Vote) -> None:
    """Move the ratings of each pair (Elo); "all bad" says nothing of who is better."""
    models = list(dict.fromkeys(vote.candidates))
    if not vote.tie and not vote.winner:
        return
    pairs = [(a, b) for i, a in enumerate(models) for b in models[i + 1 :]]
    moves = dict.fromkeys(models, 0.0)
    for one, other in pairs:
        if not vote.tie and vote.winner not in (one, other):
            continue
        score = 0.5 if vote.tie else float(vote.winner == one)
        gap = (rows[other]["rating"] - rows[one]["rating"]) / _SCALE
        move = _STEP * (score - 1 / (1 + 10**gap))
        moves[one] += move
        moves[other] -= move
    for model, move in moves.items():
        rows[model]["rating"] += move
