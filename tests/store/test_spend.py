"""Spend of a period by dimension: exact, complete, and safe in spreadsheets."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command

from gateway import store
from gateway.accounting.spend import parse_period, render_csv, spend
from gateway.models import ApiKey, Team
from gateway.relay.exchange.log_record import LogRecord
from gateway.routing.limits import UNITS
from tests.store.factories import make_record

pytestmark = pytest.mark.django_db

DAY = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
NEXT = DAY + dt.timedelta(days=1)


def key(name: str, team: Team | None = None) -> ApiKey:
    return ApiKey.objects.create(name=name, prefix=f"sk-{name}", digest=name.encode(), team=team)


def log_record(id: str, *, hour: int = 1, **values: Any) -> LogRecord:
    fields: dict[str, Any] = {
        "started_at": (DAY + dt.timedelta(hours=hour)).timestamp(),
        "provider": "openai",
        "model": "gpt-5",
        "input_tokens": 10,
        "output_tokens": 5,
        "cost_usd": Decimal("0.1"),
        "charged_usd": Decimal("0.12"),
    }
    return make_record(id, **(fields | values))


def test_costs_and_charges_are_added_exactly_by_day_and_team() -> None:
    team = Team.objects.create(name="search")
    first, other = key("a", team), key("b", team)
    store.write(
        [
            log_record("r1", key_id=first.pk, key_prefix=first.prefix),
            log_record("r2", key_id=other.pk, key_prefix=other.prefix, cost_usd=Decimal("0.2")),
            log_record("r3", hour=30),
        ]
    )
    rows = spend(DAY, DAY + dt.timedelta(days=2), ("day", "team"))
    log_rows = [(r["day"], r["team"], r["requests"], r["cost_usd"], r["charged_usd"]) for r in rows]
    assert log_rows == [
        ("2026-11-20", "search", 2, Decimal("0.3"), Decimal("0.24")),
        ("2026-11-21", "", 1, Decimal("0.1"), Decimal("0.12")),
    ]


def test_a_teams_line_has_its_projects_as_its_budget_has() -> None:
    """Sums over teams and over projects each equal the total."""
    team = Team.objects.create(name="search", budget_total_usd=9)
    project = Team.objects.create(name="agents", parent=team, budget_total_usd=9)
    keys = key("a", team), key("b", project), key("c")
    store.write([log_record(f"r{row.pk}", key_id=row.pk, key_prefix=row.prefix) for row in keys])

    def by(*names: str) -> list[tuple[Any, ...]]:
        rows = spend(DAY, NEXT, names)
        return [(*(row[name] for name in names), row["charged_usd"]) for row in rows]

    first, second = Decimal("0.12"), Decimal("0.24")
    assert by("team") == [("", first), ("search", second)]
    assert by("team", "project") == [
        ("", "", first),
        ("search", "", first),
        ("search", "agents", first),
    ]
    assert by("project") == [("", second), ("agents", first)]
    moment = DAY + dt.timedelta(hours=2)
    budgets = {
        name: units for name, _, units in store.recorded_spend(store.load_snapshot(), moment)
    }
    assert budgets[f"team:{team.pk}/usd/total"] == int(second * UNITS)
    assert budgets[f"team:{project.pk}/usd/total"] == int(first * UNITS)


def test_the_period_ends_with_its_last_hour() -> None:
    store.write([log_record("r1", hour=23), log_record("r2", hour=24), log_record("r3", hour=-1)])
    assert [row["requests"] for row in spend(DAY, NEXT, ("day",))] == [1]


def test_requests_without_price_are_counted_and_not_summed_as_zero() -> None:
    store.write([log_record("r1", cost_usd=None, charged_usd=None), log_record("r2")])
    (row,) = spend(DAY, NEXT, ("model",))
    assert (row["requests_without_price"], row["cost_usd"]) == (1, Decimal("0.1"))


def test_a_request_counts_for_each_of_its_tags() -> None:
    store.write(
        [log_record("r1", tags=["ci", "search"]), log_record("r2", tags=["ci"]), log_record("r3")]
    )
    rows = spend(DAY, NEXT, ("tag",))
    assert {row["tag"]: row["requests"] for row in rows} == {"": 1, "ci": 2, "search": 1}


def test_spend_by_tag_and_by_hour_has_the_same_total() -> None:
    store.write(
        [
            log_record("r1"),
            log_record("r2", cost_usd=None, charged_usd=None),
            log_record("r3", outcome="cut"),
        ]
    )
    ((by_tag,), (by_hour,)) = (spend(DAY, NEXT, names) for names in (("tag",), ("route",)))
    assert {n: v for n, v in by_tag.items() if n != "tag"} == {
        n: v for n, v in by_hour.items() if n != "route"
    }


def test_csv_has_fixed_point_and_no_formula() -> None:
    store.write([log_record("r1", route="=cmd", cost_usd=Decimal("0.0000001"))])
    text = render_csv(spend(DAY, NEXT, ("route",)), ("route",))
    (row,) = csv.DictReader(io.StringIO(text))
    assert row["route"] == "'=cmd"
    assert row["cost_usd"].startswith("0.0000001")


@pytest.mark.parametrize("names", [(), ("day", "nonsense")])
def test_an_unknown_dimension_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="day, team, project, key"):
        spend(DAY, NEXT, names)


@pytest.mark.parametrize(
    ("since", "until", "reason"),
    [
        ("yesterday", "", "since: must be a date"),
        ("", "x", "until: must be a date"),
        ("2026-11-02", "2026-11-01", "before"),
    ],
)
def test_an_invalid_spend_period_is_refused(since: str, until: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_period(since, until, NEXT)


def test_the_default_spend_period_is_this_month() -> None:
    assert parse_period("", "", DAY) == (DAY.replace(day=1), NEXT)


def test_the_command_prints_both_forms(capsys: Any) -> None:
    store.write([log_record("r1")])
    days = {"since": "2026-11-20", "until": "2026-11-20"}
    call_command("spend", by="model,route", **days)
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["model"], row["route"], row["charged_usd"]) == ("openai/gpt-5", "fast", "0.12")
    call_command("spend", by="day", format="json", **days)
    (spend_row,) = json.loads(capsys.readouterr().out)
    assert spend_row["cost_usd"] == "0.1"
