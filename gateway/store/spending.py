"""What budgets have been spent, as the sums by hour say, for the limiter to begin with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal

from django.utils import timezone

from gateway.models import ApiKey, UsageHour
from gateway.routing.limits import CALENDAR, Rule, began, calendar, rules, units
from gateway.routing.snapshot import Snapshot
from gateway.store import thread

# (name of the rule, number of its window, units)
Spent = list[tuple[str, int, int]]


def spent(snapshot: Snapshot, now: datetime | None = None) -> Spent:
    """For each budget of a key or team what is spent in its window, where that is anything."""
    budgets = list(_budgets(snapshot))
    if not budgets:
        return []
    thread.refresh()
    moment = (now or timezone.now()).astimezone(UTC).timestamp()
    members = ApiKey.objects.memberships()
    found: Spent = []
    for span in CALENDAR:
        wanted = [rule for rule in budgets if rule.span == span]
        if wanted:
            of = _sums(span, moment, members)
            window, _ = calendar(moment, span)
            found += [(r.name, window, units(of(r))) for r in wanted if of(r)]
    return found


def _budgets(snapshot: Snapshot) -> Iterator[Rule]:
    keys = {key.id: key for key in snapshot.keys.values()}
    for key in keys.values():
        yield from rules(f"key:{key.id}", key.name, budget=key.budget)
    direct = [key.team for key in keys.values() if key.team is not None]
    teams = {team.id: team for one in direct for team in one.line}
    for team in teams.values():
        yield from rules(f"team:{team.id}", team.name, budget=team.budget)


def _sums(span: str, moment: float, members: dict[int, list[int]]) -> Callable[[Rule], Decimal]:
    by_key = UsageHour.objects.spend_by_key(since=began(moment, span))
    sums = {f"key:{pk}": usd for pk, usd in by_key.items()}
    for pk, usd in by_key.items():
        for team_id in members.get(pk, ()):
            team = f"team:{team_id}"
            sums[team] = sums.get(team, Decimal(0)) + usd
    return lambda rule: sums.get(rule.owner, Decimal(0))
