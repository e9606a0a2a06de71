"""Ranks models by votes. A vote on k responses counts as a vote on each of their pairs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from console.models import PlaygroundRun, Vote
from console.playground.run_store import plan_of
from console.playground.validation import Invalid

Json = dict[str, Any]

# Elo: a difference of 400 points means ten wins to one.
_START, _K_FACTOR, _SCALE = 1000.0, 16.0, 400.0


def vote(user: Any, body: Json) -> Json:
    """Store a vote and reveal the models. Raises Invalid, PlaygroundRun.DoesNotExist.

    `winner` is a letter of `order`, `tie`, or `none` if all responses are bad.
    """
    run = _run_of(user, body)
    columns = {column.id: column.model for column in plan_of(run).columns}
    order, winner = body.get("order") or list(columns), body.get("winner")
    if not isinstance(order, list) or not set(order) <= set(columns) or len(set(order)) < 2:
        raise Invalid({"order": _("A vote needs at least two columns of the run.")})
    if winner not in (*order, "tie", "none"):
        raise Invalid({"winner": _("One of the columns, tie, or none.")})
    stored_vote, _created = Vote.objects.update_or_create(
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
    return {"models": columns, "winner": winner, "winner_model": stored_vote.winner or None}


def _run_of(user: Any, body: Json) -> PlaygroundRun:
    try:
        uuid = UUID(str(body.get("run")))
    except ValueError:
        raise Invalid({"run": _("This run does not exist.")}) from None
    return PlaygroundRun.objects.visible_to(user).get(uuid=uuid)


def table(votes: Iterable[Vote]) -> list[Json]:
    """One row per model, best first. `votes` must be in the order in which they were cast."""
    rows: dict[str, Json] = {}
    for vote in votes:
        for model in dict.fromkeys(vote.candidates):
            _count_vote(rows.setdefault(model, _empty_row(model)), vote)
        _update_ratings(rows, vote)
    for row in rows.values():
        decided = row["wins"] + row["losses"] + row["ties"]
        row["win_rate"] = round((row["wins"] + row["ties"] / 2) / decided, 3) if decided else None
        row["rating"] = round(row["rating"])
    return sorted(rows.values(), key=lambda row: (-row["rating"], row["model"]))


def _empty_row(model: str) -> Json:
    zero = dict.fromkeys(("votes", "wins", "losses", "ties", "bad"), 0)
    return {"model": model, **zero, "rating": _START}


def _count_vote(row: Json, vote: Vote) -> None:
    row["votes"] += 1
    if vote.tie:
        row["ties"] += 1
    elif not vote.winner:
        row["bad"] += 1
    elif vote.winner == row["model"]:
        row["wins"] += 1
    else:
        row["losses"] += 1


def _update_ratings(rows: dict[str, Json], vote: Vote) -> None:
    """Update the Elo ratings of each pair; "all bad" changes nothing."""
    models = list(dict.fromkeys(vote.candidates))
    if not vote.tie and not vote.winner:
        return
    pairs = [(a, b) for i, a in enumerate(models) for b in models[i + 1 :]]
    moves = dict.fromkeys(models, 0.0)
    for first_model, second_model in pairs:
        if not vote.tie and vote.winner not in (first_model, second_model):
            continue
        score = 0.5 if vote.tie else float(vote.winner == first_model)
        gap = (rows[second_model]["rating"] - rows[first_model]["rating"]) / _SCALE
        move = _K_FACTOR * (score - 1 / (1 + 10**gap))
        moves[first_model] += move
        moves[second_model] -= move
    for model, move in moves.items():
        rows[model]["rating"] += move
