"""Rows of keys -> the values of the hot path, two for a key that was just rotated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from gateway import models
from gateway.models.limits import BUDGETS, LIMITS, Budgeted, Limited
from gateway.routing.limits import Budget, Limits
from gateway.routing.snapshot import ApiKey, Team
from gateway.store import compile as made

MOST_USD = 10**10


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


def key_limits_value(row: models.Route) -> Limits:
    """What each key may use of a route. Raises ValueError for what is no limit."""
    try:
        found = msgspec.convert(row.key_limits, Limits)
    except msgspec.ValidationError as error:
        raise ValueError(f"key_limits: {error}") from None
    return sound(found, "key_limits: ")


def sound(limits: Limits, place: str = "") -> Limits:
    """The limits, if nothing is less than one. Raises ValueError."""
    for name in LIMITS.values():
        most = getattr(limits, name)
        if most is not None and not 1 <= most < 2**63:
            raise ValueError(f"{place}{name} must be at least 1; null is no limit")
    return limits


def within(budget: Budget, place: str = "") -> Budget:
    """The budget, if its columns can hold it. Raises ValueError."""
    for column, name in BUDGETS.items():
        said = getattr(budget, name)
        if column == "budget_soft_percent":
            if said is not None and not 1 <= said <= 100:
                raise ValueError(f"{place}{name} must be a whole number from 1 to 100")
        elif said is not None and not (said.is_finite() and 0 <= said < MOST_USD):
            raise ValueError(f"{place}{name} must be US dollars from 0 to below {MOST_USD}")
    return budget


def without_none(said: Limits | Budget) -> dict[str, Any]:
    """What is said of them, as plain JSON; dollars are texts, so that none loses a digit."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(said))
    return {name: value for name, value in found.items() if value is not None}


def tidy(value: Decimal | None) -> Decimal | None:
    """The same without the zeros that its column adds."""
    return value if value is None else Decimal(f"{value.normalize():f}")


def budget_of(row: Budgeted) -> Budget:
    """The budget of a row, as a person would write it."""
    found: dict[str, Any] = {name: getattr(row, column) for column, name in BUDGETS.items()}
    tidied: dict[str, Any] = {n: tidy(v) if isinstance(v, Decimal) else v for n, v in found.items()}
    return Budget(**tidied)


def set_limits(row: Limited, limits: Limits) -> None:
    """Write limits into their columns."""
    for column, name in LIMITS.items():
        setattr(row, column, getattr(limits, name))


def set_budget(row: Budgeted, budget: Budget) -> None:
    """Write a budget into its columns."""
    for column, name in BUDGETS.items():
        setattr(row, column, getattr(budget, name))


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
