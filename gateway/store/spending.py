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
# What an owner of budgets was charged for since a moment.
Sums = Callable[[datetime | None], dict[str, Decimal]]


def spent(snapshot: Snapshot, now: datetime | None = None) -> Spent:
    """For each budget what is spent in its window, where that is anything."""
    asked = list(_asked(snapshot))
    targeted = list(_targeted(snapshot))
    if not asked and not targeted:
        return []
    thread.refresh()
    moment = (now or timezone.now()).astimezone(UTC).timestamp()
    found: Spent = []
    for budgets, sums in ((asked, _by_key), (targeted, _by_target(snapshot))):
        for span in CALENDAR:
            wanted = [rule for rule in budgets if rule.span == span]
            if wanted:
                of = sums(began(moment, span))
                window, _ = calendar(moment, span)
                found += [(r.name, window, units(of[r.owner])) for r in wanted if of.get(r.owner)]
    return found


def _asked(snapshot: Snapshot) -> Iterator[Rule]:
    """The budgets of those who ask: keys, projects and teams."""
    keys = {key.id: key for key in snapshot.keys.values()}
    for key in keys.values():
        yield from rules(f"key:{key.id}", key.name, budget=key.budget)
    direct = [key.team for key in keys.values() if key.team is not None]
    teams = {team.id: team for one in direct for team in one.line}
    for team in teams.values():
        yield from rules(f"team:{team.id}", team.name, budget=team.budget)


def _targeted(snapshot: Snapshot) -> Iterator[Rule]:
    """Those of all requests together, and of what answers: providers and targets."""
    yield from rules("all", "", budget=snapshot.budget)
    for provider in snapshot.providers.values():
        yield from rules(f"provider:{provider.id}", provider.name, budget=provider.budget)
    for route in snapshot.routes.values():
        for target in route.targets:
            yield from rules(f"target:{target.id}", target.model.label, budget=target.budget)


def _by_key(since: datetime | None) -> dict[str, Decimal]:
    members = ApiKey.objects.memberships()
    by_key = UsageHour.objects.spend_by_key(since=since)
    sums = {f"key:{pk}": usd for pk, usd in by_key.items()}
    for pk, usd in by_key.items():
        for team_id in members.get(pk, ()):
            team = f"team:{team_id}"
            sums[team] = sums.get(team, Decimal(0)) + usd
    return sums


def _by_target(snapshot: Snapshot) -> Sums:
    """The sums of providers and targets.

    What a target answered for a request that fell back to its route is in the sums under
    the route that was asked for: it counts for the target whose model stands in no other
    route, and otherwise for that of the route.
    """
    providers = {name: provider.id for name, provider in snapshot.providers.items()}
    places: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for route in snapshot.routes.values():
        for target in route.targets:
            label = target.model.provider.name, target.model.name
            places.setdefault(label, []).append((route.name, target.id))

    def sums(since: datetime | None) -> dict[str, Decimal]:
        found: dict[str, Decimal] = {}
        for (route, provider, model), usd in UsageHour.objects.spend_by_target(since=since).items():
            known = places.get((provider, model), [])
            own = [target for name, target in known if name == route or len(known) == 1]
            owners = ["all", f"provider:{providers.get(provider, 0)}"]
            for owner in (*owners, *(f"target:{target}" for target in own[:1])):
                found[owner] = found.get(owner, Decimal(0)) + usd
        return found

    return sums
