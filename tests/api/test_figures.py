"""Usage, remaining limits and health in the API equal the figures on the console's pages."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from gateway import store
from gateway.models import ApiKey, Team
from gateway.relay.exchange.log_record import Attempt
from tests.api.test_resources import send
from tests.each import each
from tests.store.factories import make_record, model, provider, route
from tests.store.test_hedge_losers import hedged_request


def log_usage(*rows: tuple[str, int, str, float], name: str = "r") -> None:
    """Add log records; each row is route, key id, dollars and age in hours."""
    now = timezone.now().timestamp()
    store.write(
        [
            make_record(
                f"{name}{number}",
                route=route_name,
                key_id=key,
                started_at=now - hours * 3600,
                input_tokens=10,
                output_tokens=5,
                cost_usd=Decimal(usd),
                provider="p",
                model="m",
            )
            for number, (route_name, key, usd, hours) in enumerate(rows)
        ]
    )


@pytest.fixture
def team_key(db: None) -> ApiKey:
    crew = Team.objects.create(name="crew", budget_month_usd=Decimal(10))
    part = Team.objects.create(name="part", parent=crew)
    row, _plain = store.create_key("agent")
    row.team, row.limit_rpm, row.limit_tpd = part, 2, 100
    row.budget_total_usd = Decimal(2)
    row.save()
    return row


def lines(api: Client, query: str) -> list[tuple[str, int, str | None]]:
    response = send(api, "GET", f"usage?{query}")
    assert response.status_code == 200, response.content
    return [(row["name"], row["requests"], row["cost"]) for row in response.json()["items"]]


def test_usage_is_summed_by_the_requested_dimension(api: Client, team_key: ApiKey) -> None:
    log_usage(
        ("fast", team_key.pk, "0.5", 1), ("slow", team_key.pk, "0.25", 1), ("fast", 0, "1", 30)
    )
    expected_rows = [("", 3, "1.75")]
    assert [(n, r, str(Decimal(str(c)))) for n, r, c in lines(api, "step=all")] == expected_rows
    assert {n: r for n, r, _ in lines(api, "step=all&by=route")} == {"fast": 2, "slow": 1}
    assert {n: r for n, r, _ in lines(api, "step=all&by=key")} == {"": 1, "agent": 2}
    by_team = {n: r for n, r, _ in lines(api, "step=all&by=team")}
    assert by_team == {"": 1, "crew": 2, "part": 2}
    assert lines(api, "step=all&by=model")[0][0] == "p/m"
    assert [r for _, r, _ in lines(api, "step=hour")] == [1, 2]
    since = (timezone.now() - dt.timedelta(hours=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert [r for _, r, _ in lines(api, f"step=all&since={since}")] == [2]


@pytest.mark.parametrize("path", ["usage?step=all", "usage/what-if?models=demo/demo"])
@pytest.mark.parametrize("moment", ["0001-01-01", "9999-12-31T23:59:59Z"])
def test_usage_periods_at_the_minimum_and_maximum_date_are_valid(
    api: Client, path: str, moment: str
) -> None:
    for name in ("since", "until"):
        assert api.get(f"/api/{path}&{name}={moment}").status_code < 500


@each("path", ["requests", "traces", "changes"])
@each("moment", ["0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00", "9999-12-31"])
def test_lists_accept_times_at_the_ends_of_the_calendar(
    api: Client, path: str, moment: str
) -> None:
    for name in ("since", "until"):
        assert api.get(f"/api/{path}?{name}={moment}").status_code == 200


def test_usage_is_paginated(api: Client, team_key: ApiKey) -> None:
    log_usage(("a", 0, "1", 1), ("b", 0, "1", 1), ("c", 0, "1", 1))
    first = send(api, "GET", "usage?step=all&by=route&limit=2").json()
    second = send(api, "GET", f"usage?step=all&by=route&limit=2&cursor={first['next']}").json()
    names = [row["name"] for row in first["items"] + second["items"]]
    assert (names, second["next"]) == (["a", "b", "c"], None)


@pytest.mark.parametrize(
    "query",
    [
        "since=2026-02-01T00:00:00Z&until=2026-01-01T00:00:00Z",
        "since=2020-01-01T00:00:00Z&step=day",
        "since=2026-01-01T00:00:00Z&until=2026-03-01T00:00:00Z&step=hour",
    ],
)
def test_an_impossible_usage_range_is_refused(api: Client, query: str) -> None:
    response = send(api, "GET", f"usage?{query}")
    assert (response.status_code, response.json()["field"]) == (422, "since")


def test_a_key_shows_its_remaining_budget(api: Client, team_key: ApiKey) -> None:
    log_usage(("fast", team_key.pk, "0.5", 0), ("fast", 0, "9", 0))
    log_row = send(api, "GET", "keys/agent/state").json()
    assert log_row["usable"]
    budgets = {(row["owner"], row["span"]): row for row in log_row["budgets"]}
    assert Decimal(budgets["key", "total"]["remaining"]) == Decimal("1.5")
    assert Decimal(budgets["team crew", "month"]["remaining"]) == Decimal("9.5")
    assert budgets["team part", "month"]["remaining"] is None
    assert budgets["key", "total"]["ends_at"] is None
    limits = {(row["metric"], row["span"]): row for row in log_row["limits"]}
    assert (limits["requests", "minute"]["used"], limits["requests", "minute"]["remaining"]) == (
        1,
        1,
    )
    assert limits["tokens", "day"]["remaining"] == 85

    send(api, "POST", "keys/agent/revoke")
    assert not send(api, "GET", "keys/agent/state").json()["usable"]
    assert send(api, "GET", "keys/nobody/state").status_code == 404


def test_a_daily_limit_reads_at_most_one_hour_of_the_log(api: Client, team_key: ApiKey) -> None:
    now = timezone.now().timestamp()
    ages = [0, 60, 1800, 3600, 9 * 3600, 23.9 * 3600, 24.1 * 3600, 30 * 3600]
    store.write(
        [
            hedged_request(f"req_{n}", key_id=team_key.pk, started=now - age)
            for n, age in enumerate(ages)
        ]
    )
    with CaptureQueriesContext(connection) as queries:
        state = send(api, "GET", "keys/agent/state").json()
    used_by_limit = {(row["metric"], row["span"]): row["used"] for row in state["limits"]}
    assert used_by_limit["tokens", "day"] == 6 * 220
    log = [query["sql"] for query in queries if "gateway_requestlog" in query["sql"]]
    assert log
    assert [sql for sql in log if '"started_at" < ' not in sql] == []


def test_health_lists_each_target(api: Client) -> None:
    route("fast", model("m", provider("p")), model("n", provider("q")))
    failing_attempt = Attempt(
        target="p/m", provider="p", model="m", dialect="openai_chat", status=500,
        error_kind="upstream_error", error="it broke",
    )  # fmt: skip
    now = timezone.now().timestamp()
    store.write(
        [
            make_record(
                "req_x",
                attempts=[failing_attempt],
                outcome="error",
                started_at=now,
                provider="p",
                model="m",
            )
        ]
    )
    log_row = send(api, "GET", "health/targets").json()
    rows = {row["target"]: row for row in log_row["items"]}
    assert rows["q/n"]["state"] == "quiet"
    assert (rows["p/m"]["attempts"], rows["p/m"]["failures"]) == (1, 1)
    assert rows["p/m"]["last_failure"]["message"] == "it broke"
    assert rows["p/m"]["routes"] == ["fast"]
    first = send(api, "GET", "health/targets?limit=1").json()
    assert len(first["items"]) == 1
    assert first["next"] == 1


def test_reset_of_a_target_without_cooldown_returns_false(api: Client) -> None:
    route("fast", model("m", provider("p")))
    response: Any = send(api, "POST", "health/targets/reset", {"target": "p/m"}).json()
    assert response == {"target": "p/m", "reset": False}
    assert send(api, "POST", "health/targets/reset", {"target": "x/y"}).status_code == 404


def test_process_health_has_the_process_id(api: Client) -> None:
    assert send(api, "GET", "health/process").json()["pid"] > 0


def test_tokens_of_an_abandoned_hedge_attempt_count_as_used(api: Client, team_key: ApiKey) -> None:
    store.write([hedged_request(key_id=team_key.pk, started=timezone.now().timestamp())])
    state = send(api, "GET", "keys/agent/state").json()
    assert [limit["used"] for limit in state["limits"] if limit["metric"] == "tokens"] == [220]
    (row,) = send(api, "GET", "requests").json()["items"]
    assert Decimal(row["attempts"][0]["charged_usd"]) == Decimal("0.08")
    (log_row,) = api.get("/spend/logs", {"request_id": "r1"}).json()
    assert log_row["spend"] == pytest.approx(0.28)
