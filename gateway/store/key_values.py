"""Rows of keys and teams -> values of the hot path; a key in its grace period becomes two."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from gateway import models
from gateway.models.limits import BUDGETS, LIMITS, WithBudgets, WithLimits
from gateway.routing.limits import Budget, Limits
from gateway.routing.snapshot import ApiKey, Team
from gateway.store import field_values

MAX_USD = 10**10
LimitsOrBudget = TypeVar("LimitsOrBudget", Limits, Budget)


def key_value(row: models.ApiKey, teams: Mapping[int, Team] | None = None) -> ApiKey:
    """The key of a row. Raises ValueError."""
    team = (teams or {}).get(row.team_id or 0)
    markups = (
        row.markup,
        *(ancestor.markup for ancestor in (team.with_ancestors if team is not None else ())),
    )
    guardrails = field_values.texts(row.guardrails, "guardrails")
    for ancestor in team.with_ancestors if team is not None else ():
        guardrails += tuple(name for name in ancestor.guardrails if name not in guardrails)
    return ApiKey(
        id=row.pk,
        prefix=row.prefix,
        name=row.name,
        digest=bytes(row.digest),
        routes=field_values.texts(row.routes, "routes"),
        tags=field_values.tags(row.tags),
        guardrails=guardrails,
        end_user_limits=convert_stored(row.end_user_limits, Limits, "end_user_limits"),
        end_user_budget=convert_stored(row.end_user_budget, Budget, "end_user_budget"),
        expires_at=row.expires_at.timestamp() if row.expires_at else None,
        log_bodies=row.log_bodies,
        budget=budget_value(row),
        limits=limits_value(row),
        team=team,
        markup=next((markup for markup in markups if markup is not None), None),
    )


def team_value(row: models.Team) -> Team:
    """The team of a row."""
    return Team(
        id=row.pk,
        name=row.name,
        budget=budget_value(row),
        limits=limits_value(row),
        markup=row.markup,
        guardrails=field_values.texts(row.guardrails, "guardrails"),
    )


def with_parents(rows: Iterable[models.Team], teams: Mapping[int, Team]) -> dict[int, Team]:
    """The teams, with projects linked to their parent team."""
    linked_teams = dict(teams)
    for row in rows:
        if row.pk in teams and (parent := teams.get(row.parent_id or 0)) is not None:
            linked_teams[row.pk] = msgspec.structs.replace(teams[row.pk], parent=parent)
    return linked_teams


def limits_value(row: WithLimits) -> Limits:
    """The limits of a row."""
    return Limits(**{name: getattr(row, column) for column, name in LIMITS.items()})


def budget_value(row: WithBudgets) -> Budget:
    """The budget of a row."""
    values: dict[str, Any] = {name: getattr(row, column) for column, name in BUDGETS.items()}
    for name, value in values.items():
        if isinstance(value, Decimal):
            values[name] = strip_trailing_zeros(value)
    return Budget(**values)


def key_limits_value(row: models.Route) -> Limits:
    """The limits of each key on a route. Raises ValueError if they are invalid."""
    try:
        limits = msgspec.convert(row.key_limits, Limits)
    except msgspec.ValidationError as error:
        raise ValueError(f"key_limits: {error}") from None
    return validate_limits(limits, "key_limits: ")


def convert_stored(value: Any, shape: type[LimitsOrBudget], field: str) -> LimitsOrBudget:
    """Limits or a budget from a JSON column. Raises InvalidField."""
    try:
        return msgspec.convert(value or {}, shape)
    except msgspec.ValidationError as error:
        raise field_values.InvalidField(field, str(error), label=field) from None


def validate_limits(limits: Limits, prefix: str = "") -> Limits:
    """The limits, if each is at least 1. Raises ValueError."""
    for name in LIMITS.values():
        limit = getattr(limits, name)
        if limit is not None and not 1 <= limit < 2**63:
            raise ValueError(f"{prefix}{name} must be at least 1; null means no limit")
    return limits


def validate_budget(budget: Budget, prefix: str = "") -> Budget:
    """The budget, if its columns can store it. Raises ValueError."""
    for column, name in BUDGETS.items():
        value = getattr(budget, name)
        if column == "budget_soft_percent":
            if value is not None and not 1 <= value <= 100:
                raise ValueError(f"{prefix}{name} must be a whole number from 1 to 100")
        elif value is not None and not (value.is_finite() and 0 <= value < MAX_USD):
            raise ValueError(f"{prefix}{name} must be US dollars from 0 to below {MAX_USD}")
    return budget


def non_null_fields(values: Limits | Budget) -> dict[str, Any]:
    """The fields that are set, as plain JSON; dollars are strings, so that no digit is lost."""
    fields: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(values))
    return {name: value for name, value in fields.items() if value is not None}


def strip_trailing_zeros(value: Decimal | None) -> Decimal | None:
    """The number without the trailing zeros that its column adds."""
    return value if value is None else Decimal(f"{value.normalize():f}")


def set_limits(row: WithLimits, limits: Limits) -> None:
    """Write limits into their columns."""
    for column, name in LIMITS.items():
        setattr(row, column, getattr(limits, name))


def set_budget(row: WithBudgets, budget: Budget) -> None:
    """Write a budget into its columns."""
    for column, name in BUDGETS.items():
        setattr(row, column, getattr(budget, name))


def by_digest(rows: Iterable[models.ApiKey], keys: dict[int, ApiKey]) -> dict[bytes, ApiKey]:
    """The keys by the digests of their secrets."""
    return {key.digest: key for key in (*_with_previous_secrets(rows, keys), *keys.values())}


def _with_previous_secrets(
    rows: Iterable[models.ApiKey], keys: dict[int, ApiKey]
) -> Iterator[ApiKey]:
    """The keys with the secrets they had before they were rotated.

    Expired ones are included: the client then gets "expired" instead of "unknown key".
    """
    for row in rows:
        key = keys.get(row.pk)
        if key is None or row.previous_digest is None or row.previous_expires_at is None:
            continue
        expires_at = row.previous_expires_at.timestamp()
        if key.expires_at is not None:
            expires_at = min(expires_at, key.expires_at)
        old = bytes(row.previous_digest)
        yield msgspec.structs.replace(
            key, digest=old, prefix=row.previous_prefix, expires_at=expires_at
        )
