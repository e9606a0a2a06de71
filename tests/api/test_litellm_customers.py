"""LiteLLM's endpoints for customers: what end users have spent, and what they cannot have."""

from __future__ import annotations

import json
from typing import Any

from django.test import Client
from django.utils import timezone

from gateway import store
from gateway.models import EndUserHour
from gateway.usage_querysets import UNITS
from tests.each import each


def post(api: Client, path: str, body: Any, status: int = 200) -> Any:
    answer = api.post(path, json.dumps(body), content_type="application/json")
    assert answer.status_code == status, answer.content
    return answer.json()


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
    listed = api.get("/customer/list").json()
    assert [(row["user_id"], row["spend"]) for row in listed] == [("bob", 6), ("ada", 4)]
    for unknown in ("carl", "", "a\0"):
        assert api.get("/customer/info", {"end_user_id": unknown}).status_code == 400


def test_a_customer_need_not_be_created(api: Client) -> None:
    for path in ("/customer/new", "/customer/update"):
        made = post(api, path, {"user_id": "carl", "alias": "Carl", "blocked": False})
        assert (made["user_id"], made["spend"]) == ("carl", 0)
        assert made["notes"] == ["alias: is not stored"]
        assert made["litellm_budget_table"] is None


@each(
    ("path", "body", "param"),
    [
        ("/customer/new", {}, "user_id"),
        ("/customer/new", {"user_id": "a", "max_budget": 1}, "max_budget"),
        ("/customer/new", {"user_id": "a", "budget_id": "b"}, "budget_id"),
        ("/customer/update", {"user_id": "a", "blocked": True}, "blocked"),
        ("/customer/block", {"user_ids": ["a"]}, "user_ids"),
    ],
)
def test_what_one_customer_cannot_have_is_refused(
    api: Client, path: str, body: Any, param: str
) -> None:
    assert post(api, path, body, 400)["error"]["param"] == param


def test_a_client_may_not_read_customers(db: None) -> None:
    _, secret = store.create_key("client")
    client = Client(headers={"authorization": f"Bearer {secret}"})
    assert client.get("/customer/list").status_code == 401
