"""The recorded spend of each budget, from the hourly roll-ups, as initial state of the limiter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal

from django.utils import timezone

from gateway.models import ApiKey, EndUserHour, UsageHour
from gateway.routing.end_users import end_user_owner
from gateway.routing.limits import (
    CALENDAR,
    Rule,
    build_rules,
    calendar_window,
    units,
    window_start,
)
from gateway.routing.snapshot import Snapshot
from gateway.store import thread

# (name of the rule, number of its window, units)
RecordedSpend = list[tuple[str, int, int]]
# End users of one key whose spend is read: each needs a counter, of which they can have 98,304.
MAX_END_USERS = 20_000
# The charges since a time, by owner of the budget.
Sums = Callable[[datetime | None], dict[str, Decimal]]


def recorded_spend(snapshot: Snapshot, now: datetime | None = None) -> RecordedSpend:
    """The spend of each budget in its current window, where it is not zero."""
    caller_budgets = list(_caller_budgets(snapshot))
    target_budgets = list(_target_budgets(snapshot))
    if not caller_budgets and not target_budgets and not snapshot.limits_end_users:
        return []
    thread.refresh()
    timestamp = (now or timezone.now()).astimezone(UTC).timestamp()
    spend: RecordedSpend = list(_end_user_spend(snapshot, timestamp))
    for budgets, sums in ((caller_budgets, _by_key), (target_budgets, _by_target(snapshot))):
        for span in CALENDAR:
            span_rules = [rule for rule in budgets if rule.span == span]
            if span_rules:
                spend_by_owner = sums(window_start(timestamp, span))
                window, _ = calendar_window(timestamp, span)
                spend += [
                    (r.name, window, units(spend_by_owner[r.owner]))
                    for r in span_rules
                    if spend_by_owner.get(r.owner)
                ]
    return spend


def _end_user_spend(snapshot: Snapshot, timestamp: float) -> Iterator[tuple[str, int, int]]:
    """The spend of the end users who have budgets, the highest MAX_END_USERS of each span."""
    budgets = {key.id: key.end_user_budget for key in snapshot.keys.values()}
    budgets[0] = snapshot.end_user_budget
    for span in CALENDAR:
        owners = [pk for pk, budget in budgets.items() if getattr(budget, f"{span}_usd")]
        has_own_budget = any(
            getattr(end_user_settings.budget, f"{span}_usd")
            for end_user_settings in snapshot.end_users.values()
        )
        if has_own_budget and 0 not in owners:
            owners.append(0)
        if not owners:
            continue
        window, _ = calendar_window(timestamp, span)
        rows = EndUserHour.objects.between(window_start(timestamp, span))
        for key_id in owners:
            spend_by_end_user = rows.spend_by_end_user(key_id, MAX_END_USERS)
            for end_user, usd in spend_by_end_user.items():
                yield f"{end_user_owner(end_user, key_id)}/usd/{span}", window, units(usd)


def _caller_budgets(snapshot: Snapshot) -> Iterator[Rule]:
    """The budgets of keys, projects and teams."""
    keys = {key.id: key for key in snapshot.keys.values()}
    for key in keys.values():
        yield from build_rules(f"key:{key.id}", key.name, budget=key.budget)
    direct = [key.team for key in keys.values() if key.team is not None]
    teams = {team.id: team for member in direct for team in member.with_ancestors}
    for team in teams.values():
        yield from build_rules(f"team:{team.id}", team.name, budget=team.budget)


def _target_budgets(snapshot: Snapshot) -> Iterator[Rule]:
    """The budgets of the gateway, of providers and of targets."""
    yield from build_rules("all", "", budget=snapshot.budget)
    for provider in snapshot.providers.values():
        yield from build_rules(f"provider:{provider.id}", provider.name, budget=provider.budget)
    for route in snapshot.routes.values():
        for target in route.targets:
            yield from build_rules(f"target:{target.id}", target.model.label, budget=target.budget)


def _by_key(since: datetime | None) -> dict[str, Decimal]:
    members = ApiKey.objects.memberships()
    by_key = UsageHour.objects.in_range(since).spend_by_key()
    sums = {f"key:{pk}": usd for pk, usd in by_key.items()}
    for pk, usd in by_key.items():
        for team_id in members.get(pk, ()):
            team = f"team:{team_id}"
            sums[team] = sums.get(team, Decimal(0)) + usd
    return sums


def _by_target(snapshot: Snapshot) -> Sums:
    """A function that sums the charges of providers and targets.

    Spend after a fallback is recorded under the route that was requested. It counts for the only
    target with that model, or, if there are several, for the one on the requested route.
    """
    providers = {name: provider.id for name, provider in snapshot.providers.items()}
    targets_by_label: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for route in snapshot.routes.values():
        for target in route.targets:
            label = target.model.provider.name, target.model.name
            targets_by_label.setdefault(label, []).append((route.name, target.id))

    def sums(since: datetime | None) -> dict[str, Decimal]:
        spend: dict[str, Decimal] = {}
        spend_by_target = UsageHour.objects.in_range(since).spend_by_target()
        for (route, provider, model), usd in spend_by_target.items():
            targets = targets_by_label.get((provider, model), [])
            matching_targets = [
                target for name, target in targets if name == route or len(targets) == 1
            ]
            owners = ["all", f"provider:{providers.get(provider, 0)}"]
            for owner in (*owners, *(f"target:{target}" for target in matching_targets[:1])):
                spend[owner] = spend.get(owner, Decimal(0)) + usd
        return spend

    return sums
