"""Limits of a person's personal keys: those of the account, else those of the settings."""

from __future__ import annotations

import fnmatch
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth.models import User

from gateway.models import Account, ApiKey, Route, Team, UsageHour
from gateway.routing.limits import window_start


class PersonalLimits(NamedTuple):
    """Limits on the keys that a person creates; None and empty mean no limit."""

    max_keys: int
    month_usd: Decimal | None
    key_days: int | None
    routes: tuple[str, ...]
    team: Team | None

    def allows(self, route: str) -> bool:
        """Whether a personal key may use a route."""
        return not self.routes or any(fnmatch.fnmatchcase(route, item) for item in self.routes)


def limits_of(account: Account | None) -> PersonalLimits:
    """The limits of an account; those of the settings where it has none."""
    default_usd = settings.MEMBER_MONTH_USD
    account = account or Account()
    return PersonalLimits(
        max_keys=settings.MEMBER_MAX_KEYS if account.max_keys is None else account.max_keys,
        month_usd=default_usd if account.month_usd is None else account.month_usd,
        key_days=account.key_days or settings.MEMBER_KEY_DAYS,
        routes=tuple(account.routes),
        team=account.team,
    )


def limits_of_user(user: Any) -> PersonalLimits:
    """The limits of a signed-in user's personal keys."""
    return limits_of(getattr(user, "account", None))


def route_names(limits: PersonalLimits) -> list[str]:
    """Names of the routes that a personal key may use."""
    names = Route.objects.live().values_list("name", flat=True)
    return sorted(name for name in names if limits.allows(name))


def unassigned_usd(user: User, limits: PersonalLimits, now: datetime) -> Decimal | None:
    """The part of this month's spend limit that no key has yet; None without a limit.

    A key takes its monthly budget, a revoked one what it has spent, so that creating and
    revoking keys cannot exceed the limit.
    """
    if limits.month_usd is None:
        return None
    keys = list(ApiKey.objects.owned_by(user))
    usage = UsageHour.objects.in_range(window_start(now.timestamp(), "month"))
    spend_by_key = usage.of_keys([key.pk for key in keys]).spend_by_key()
    assigned_usd = Decimal(0)
    for key in keys:
        spent_usd = spend_by_key.get(key.pk, Decimal(0))
        is_live = key.revoked_at is None and not key.is_expired
        assigned_usd += max(spent_usd, key.budget_month_usd or Decimal(0)) if is_live else spent_usd
    return max(limits.month_usd - assigned_usd, Decimal(0))
