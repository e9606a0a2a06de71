"""Rows of keys -> the values of the hot path, two for a key that was just rotated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from gateway import models
from gateway.models.limits import BUDGETS, LIMITS, Budgeted, Limited
from gateway.routing.limits import Budget, Limits
from gateway.routing.snapshot import ApiKey, Team
from gateway.store import compile as made


def key_value(row: models.ApiKey, teams: Mapping[int, Team] | None = None) -> ApiKey:
    """A key as its row says. Raises ValueError."""
    team = (teams or {}).get(row.team_id or 0)
    margins = (row.margin, *(one.margin for one in (team.line if team is not None else ())))
    return ApiKey(
        id=row.pk,
        prefix=row.prefix,
        name=row.name,
        digest=bytes(row.digest),
        routes=made.texts(row.routes, "routes"),
        tags=made.tags(row.tags),
        expires_at=row.expires_at.timestamp() if row.expires_at else None,
        log_bodies=row.log_bodies,
        budget=budget_value(row),
        limits=limits_value(row),
        team=team,
        margin=next((margin for margin in margins if margin is not None), None),
    )


def team_value(row: models.Team) -> Team:
    """A team as its row says."""
    return Team(
        id=row.pk,
        name=row.name,
        budget=budget_value(row),
        limits=limits_value(row),
        margin=row.margin,
    )


def with_parents(rows: Iterable[models.Team], teams: Mapping[int, Team]) -> dict[int, Team]:
    """The teams, projects with the team that they are a part of."""
    found = dict(teams)
    for row in rows:
        if row.pk in teams and (parent := teams.get(row.parent_id or 0)) is not None:
            found[row.pk] = msgspec.structs.replace(teams[row.pk], parent=parent)
    return found


def limits_value(row: Limited) -> Limits:
    """The limits of a row."""
    return Limits(**{name: getattr(row, column) for column, name in LIMITS.items()})


def budget_value(row: Budgeted) -> Budget:
    """The budget of a row."""
    return Budget(**{name: getattr(row, column) for column, name in BUDGETS.items()})


def by_digest(rows: Iterable[models.ApiKey], keys: dict[int, ApiKey]) -> dict[bytes, ApiKey]:
    """The keys by the hashes of their secrets."""
    return {key.digest: key for key in (*_previous(rows, keys), *keys.values())}


def _previous(rows: Iterable[models.ApiKey], keys: dict[int, ApiKey]) -> Iterator[ApiKey]:
    """The keys with the secrets they had before they were rotated.

    One whose grace is over stays: its client is told that it has expired, not that
    nobody knows it.
    """
    for row in rows:
        key = keys.get(row.pk)
        if key is None or row.previous_digest is None or row.previous_expires_at is None:
            continue
        ends = row.previous_expires_at.timestamp()
        if key.expires_at is not None:
            ends = min(ends, key.expires_at)
        old = bytes(row.previous_digest)
        yield msgspec.structs.replace(key, digest=old, prefix=row.previous_prefix, expires_at=ends)
