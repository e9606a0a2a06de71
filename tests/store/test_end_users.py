"""Usage and spend of end users in the roll-ups."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone

from gateway import store
from gateway.accounting.spend import spend
from gateway.models import ApiKey, EndUserHour, RequestLog
from gateway.routing.end_users import end_user_owner
from gateway.routing.limits import Budget, Limits, units
from gateway.store import usage
from gateway.store.documents import KINDS, Refused
from gateway.store.options import set_options
from gateway.store.spending import recorded_spend
from tests.store.factories import make_record

pytestmark = pytest.mark.django_db


def log(end_user: str, usd: str, key: int, number: int) -> None:
    now = timezone.now().timestamp()
    cost = Decimal(usd)
    record = make_record(f"r{number}", key_id=key, started_at=now, cost_usd=cost, charged_usd=cost)
    record.end_user = end_user
    store.write([record])


@pytest.fixture
def key() -> ApiKey:
    row, _ = store.create_key("app")
    for number, (end_user, usd) in enumerate([("ada", "1"), ("ada", "2"), ("bob", "4"), ("", "8")]):
        log(end_user, usd, row.pk, number)
    return row


def test_the_roll_up_has_each_end_user(key: ApiKey) -> None:
    rows = {row.end_user: row for row in EndUserHour.objects.all()}
    assert {name: (row.requests, row.key_id) for name, row in rows.items()} == {
        "ada": (2, key.pk),
        "bob": (1, key.pk),
    }
    before = list(EndUserHour.objects.order_by("end_user").values_list("end_user", "cost_units"))
    usage.rebuild()
    assert before == list(
        EndUserHour.objects.order_by("end_user").values_list("end_user", "cost_units")
    )
    assert RequestLog.objects.matching(end_user="ada").count() == 2


def test_spend_is_grouped_by_end_user(key: ApiKey) -> None:
    now = timezone.now()
    rows = spend(now - dt.timedelta(days=1), now + dt.timedelta(days=1), ("end_user", "key"))
    charged = {(row["end_user"], row["key"]): row["charged_usd"] for row in rows}
    assert charged == {("ada", "app"): 3, ("bob", "app"): 4, ("", "app"): 8}


def test_the_recorded_spend_of_end_users_with_a_budget_is_read(key: ApiKey) -> None:
    document = {"name": "app", "end_user_budget": {"day_usd": "5"}}
    KINDS["keys"].write(document, key)
    set_options({"end_user_budget": {"total_usd": "9"}})
    snapshot = store.load_snapshot()
    recorded = {name: amount for name, _, amount in recorded_spend(snapshot)}
    assert recorded == {
        f"{end_user_owner('ada', key.pk)}/usd/day": units(Decimal(3)),
        f"{end_user_owner('bob', key.pk)}/usd/day": units(Decimal(4)),
        f"{end_user_owner('ada')}/usd/total": units(Decimal(3)),
        f"{end_user_owner('bob')}/usd/total": units(Decimal(4)),
    }


def test_a_key_has_limits_of_end_users_as_a_document() -> None:
    document = {"name": "app", "end_user_limits": {"requests_per_minute": 3}}
    row = KINDS["keys"].write(document, None)
    assert KINDS["keys"].read(row)["end_user_limits"]["requests_per_minute"] == 3
    value = next(iter(store.load_snapshot().keys.values()))
    assert (value.end_user_limits, value.end_user_budget) == (
        Limits(requests_per_minute=3),
        Budget(),
    )
    with pytest.raises(Refused, match="at least 1"):
        KINDS["keys"].write({"name": "b", "end_user_limits": {"requests_per_minute": 0}}, None)


def test_headers_of_end_users_are_checked() -> None:
    set_options({"end_user_headers": ["X-Own-User"], "tag_headers": ["x-team"]})
    snapshot = store.load_snapshot()
    assert snapshot.end_user_headers[:2] == ("x-own-user", "x-dragoman-end-user")
    assert snapshot.tag_headers == ("x-team",)
    for value in (["authorization"], ["bad header"], "x"):
        with pytest.raises(ValueError, match=r"header|credential"):
            set_options({"tag_headers": value})


def test_the_usage_api_groups_by_end_user(key: ApiKey, admin_client: Client) -> None:
    items = admin_client.get("/api/usage", {"by": "end_user", "step": "all"}).json()["items"]
    assert {item["name"]: item["requests"] for item in items} == {"ada": 2, "bob": 1}
    page = admin_client.get("/console/usage", {"by": "end_user"}).content.decode()
    assert "By end user" in page
    assert "q=user%3Aada" in page or "user:ada" in page
