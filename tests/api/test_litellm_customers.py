"""LiteLLM's endpoints for customers: spend, budgets, limits and blocks."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from django.test import Client
from django.utils import timezone

from gateway import store
from gateway.models import EndUserHour, RowSource, Setting
from gateway.routing.limits import UNITS, Budget
from tests.each import each


def post(api: Client, path: str, body: Any, status: int = 200) -> Any:
    response = api.post(path, json.dumps(body), content_type="application/json")
    assert response.status_code == status, response.content
    return response.json()


def test_a_customer_has_spend_and_the_budget_of_each(api: Client) -> None:
    store.set_options({"end_user_budget": {"month_usd": "5"}})
    for name, usd in (("ada", 2), ("bob", 3)):
        for key_id in (1, 2):
            EndUserHour.objects.create(
                hour=timezone.now().replace(minute=0, second=0, microsecond=0),
                end_user=name,
                key_id=key_id,
                cost_units=usd * UNITS,
                charged_units=usd * UNITS,
            )
    info = api.get("/customer/info", {"end_user_id": "ada"}).json()
    assert (info["user_id"], info["spend"], info["blocked"]) == ("ada", 4, False)
    assert info["litellm_budget_table"] == {"max_budget": 5, "budget_duration": "30d"}
    customers = api.get("/customer/list").json()
    assert [(row["user_id"], row["spend"]) for row in customers] == [("bob", 6), ("ada", 4)]
    for unknown in ("carl", "", "a\0"):
        status = 404 if unknown == "carl" else 400
        assert api.get("/customer/info", {"end_user_id": unknown}).status_code == status


def test_a_customer_need_not_be_created(api: Client) -> None:
    for path in ("/customer/new", "/customer/update"):
        response = post(api, path, {"user_id": "carl", "blocked": False})
        assert (response["user_id"], response["spend"]) == ("carl", 0)
        assert response["litellm_budget_table"] is None
    assert store.load_options().end_users == {}


# The requests are those of docs.litellm.ai/docs/proxy/customers and its API reference.


def test_a_customer_gets_a_budget_of_its_own(api: Client) -> None:
    store.set_options({"end_user_budget": {"month_usd": "5"}})
    body = {"user_id": "my-customer-id", "max_budget": 0.5, "budget_duration": "1d"}
    response = post(api, "/customer/new", body)
    assert response["litellm_budget_table"] == {"max_budget": 0.5, "budget_duration": "1d"}
    end_user = store.load_snapshot().end_users["my-customer-id"]
    assert end_user.budget == Budget(day_usd=Decimal("0.5"))
    assert "already exists" in post(api, "/customer/new", body, 400)["error"]["message"]
    changed = post(api, "/customer/update", {"user_id": "my-customer-id", "rpm_limit": 3})
    table = changed["litellm_budget_table"]
    assert table == {"max_budget": 0.5, "budget_duration": "1d", "rpm_limit": 3}
    post(api, "/customer/update", {"user_id": "my-customer-id", "max_budget": None})
    info = api.get("/customer/info", {"end_user_id": "my-customer-id"}).json()
    assert info["litellm_budget_table"] == {
        "max_budget": 5.0,
        "budget_duration": "30d",
        "rpm_limit": 3,
    }


def test_customers_are_blocked_and_unblocked(api: Client) -> None:
    post(api, "/customer/new", {"user_id": "user_id_1", "alias": "Ada", "max_budget": 1})
    ids = {"user_ids": ["user_id_1", "user_id_2"]}
    blocked_users = post(api, "/customer/block", ids)["blocked_users"]
    assert [(row["user_id"], row["blocked"]) for row in blocked_users] == [
        ("user_id_1", True),
        ("user_id_2", True),
    ]
    assert {n for n, end_user in store.load_snapshot().end_users.items() if end_user.blocked} == {
        *ids["user_ids"]
    }
    blocked_users = post(api, "/customer/unblock", ids)["blocked_users"]
    assert [row["blocked"] for row in blocked_users] == [False, False]
    customers = api.get("/customer/list").json()
    assert [(row["user_id"], row["alias"]) for row in customers] == [("user_id_1", "Ada")]


def test_customers_are_deleted(api: Client) -> None:
    for name in ("user_id_1", "user_id_2"):
        post(api, "/customer/new", {"user_id": name, "max_budget": 1})
    ids = {"user_ids": ["user_id_1", "user_id_2"]}
    assert post(api, "/customer/delete", ids)["deleted_customers"] == 2
    assert store.load_options().end_users == {}
    assert "does not exist" in post(api, "/customer/delete", ids, 404)["error"]["message"]


def test_customers_of_a_file_are_not_changed(api: Client) -> None:
    value: dict[str, Any] = {"ada": {"blocked": True}}
    Setting.objects.create(
        name="end_users", value=value, source=RowSource.FILE, source_ref="gateway.yaml:3"
    )
    error = post(api, "/customer/unblock", {"user_ids": ["ada"]}, 409)["error"]
    assert "gateway.yaml:3" in error["message"]


@each(
    ("path", "body", "param"),
    [
        ("/customer/new", {}, "user_id"),
        ("/customer/new", {"user_id": "a" * 200, "blocked": True}, "user_id"),
        ("/customer/new", {"user_id": "a", "max_budget": -1}, "max_budget"),
        ("/customer/new", {"user_id": "a", "budget_duration": "1d"}, "budget_duration"),
        ("/customer/new", {"user_id": "a", "budget_id": "b"}, "budget_id"),
        ("/customer/new", {"user_id": "a", "speed": 1}, "speed"),
        ("/customer/update", {"user_id": "a", "blocked": "yes"}, "blocked"),
        ("/customer/update", {"user_id": "a", "rpm_limit": 0}, "rpm_limit"),
        ("/customer/block", {}, "user_ids"),
        ("/customer/block", {"user_ids": [7]}, "user_ids"),
        ("/customer/delete", {"user_ids": "a"}, "user_ids"),
    ],
)
def test_unsupported_customer_fields_are_refused(
    api: Client, path: str, body: Any, param: str
) -> None:
    assert post(api, path, body, 400)["error"]["param"] == param
    assert store.load_options().end_users == {}


def test_a_client_may_not_read_customers(db: None) -> None:
    _, secret = store.create_key("client")
    client = Client(headers={"authorization": f"Bearer {secret}"})
    assert client.get("/customer/list").status_code == 401
