"""The request log in the API: pagination, filters, full-text search and bodies."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from gateway import store
from gateway.models import RequestBody, RequestLog
from gateway.relay.exchange.log_record import Attempt, Bodies, Chunk
from tests.store.factories import STARTED, logged_exchange, make_record


def ids(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    return [item["request_id"] for item in response.json()["items"]]


def test_rows_are_paginated_newest_first(api: Client) -> None:
    store.write([make_record(f"req_{n}") for n in range(5)])
    first = api.get("/api/requests?limit=2")
    second = api.get(f"/api/requests?limit=2&cursor={first.json()['next']}")
    third = api.get(f"/api/requests?limit=2&cursor={second.json()['next']}")
    assert [ids(page) for page in (first, second, third)] == [
        ["req_4", "req_3"],
        ["req_2", "req_1"],
        ["req_0"],
    ]
    assert third.json()["next"] is None


def test_an_empty_log_is_an_empty_page(api: Client) -> None:
    assert api.get("/api/requests").json() == {"items": [], "next": None}


@pytest.mark.parametrize(("limit", "count"), [("0", 1), ("-5", 1), ("999999", 200), ("", 50)])
def test_the_page_size_is_bounded(api: Client, limit: str, count: int) -> None:
    store.write([make_record(f"req_{n}") for n in range(205)])
    asked_for = f"?limit={limit}" if limit else ""
    assert len(ids(api.get(f"/api/requests{asked_for}"))) == count


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("route=slow", ["b"]),
        ("status=4xx", ["b"]),
        ("status=200", ["c", "a"]),
        ("outcome=error", ["b"]),
        ("error_kind=rate_limit", ["b"]),
        ("key=sk-dgm-1", ["a"]),
        ("session=s1", ["c"]),
        ("provider=p&model=m", ["a"]),
        ("since=2026-09-21T14:13:21Z", ["c"]),
        ("since=2026-09-21T14:13:21", ["c"]),
        ("until=2026-09-21T14:13:21%2B00:00", ["b", "a"]),
        ("route=fast&status=200&session=s1", ["c"]),
        ("route=", ["c", "b", "a"]),
    ],
)
def test_requests_are_filtered(api: Client, query: str, expected: list[str]) -> None:
    store.write(
        [
            make_record("a", provider="p", model="m", key_prefix="sk-dgm-1"),
            make_record("b", route="slow", status=429, outcome="error", error_kind="rate_limit"),
            make_record("c", session="s1", started_at=STARTED + 100),
        ]
    )
    assert ids(api.get(f"/api/requests?{query}")) == expected


def test_full_text_finds_and_pages(api: Client) -> None:
    store.write([logged_exchange(f"the sky number {n}", id=f"req_{n}") for n in range(3)])
    store.index_pending()
    first = api.get("/api/requests", {"q": '"the sky"', "limit": 2})
    assert ids(first) == ["req_2", "req_1"]
    cursor = first.json()["next"]
    assert ids(api.get("/api/requests", {"q": "sky", "limit": 2, "cursor": cursor})) == ["req_0"]


@pytest.mark.parametrize("query", ["cursor=x", "limit=x", "since=yesterday", "cursor=1e9"])
def test_an_invalid_field_is_a_422_that_names_it(api: Client, query: str) -> None:
    response = api.get(f"/api/requests?{query}")
    assert response.status_code == 422
    assert query.split("=")[0] in str(response.json())


@pytest.mark.parametrize(
    "query",
    [
        "cursor=99999999999999999999999",
        "cursor=-99999999999999999999999",
        "q=%00",
        "route=%00",
        "status=99999999999999999999",
        "key=%27%20OR%201=1",
        "since=0001-01-01T00:00:00Z",
        "until=9999-12-31T23:59:59Z",
    ],
)
def test_absurd_filter_values_are_answered_without_a_server_error(api: Client, query: str) -> None:
    store.write([make_record()])
    assert api.get(f"/api/requests?{query}").status_code in {200, 422}


def test_one_request_by_its_row_or_by_its_own_id(api: Client) -> None:
    attempt = Attempt(target="p/m", provider="p", model="m", dialect="openai_chat", status=500)
    note = {"field": "top_k", "action": "dropped", "note": "no such field"}
    store.write(
        [make_record("req_x", attempts=[attempt], adaptations=[note], cost_usd=Decimal("0.5"))]
    )
    by_id = api.get("/api/requests/req_x").json()
    assert by_id == api.get(f"/api/requests/{RequestLog.objects.get().pk}").json()
    assert by_id["attempts"][0]["status"] == 500
    assert by_id["adaptations"] == [note]
    assert Decimal(by_id["cost_usd"]) == Decimal("0.5")
    assert by_id["input_tokens"] is None


@pytest.mark.parametrize(
    "path", ["1", "nobody", "%00", "\u0661", "9" * 40, "9" * 40 + "/bodies", "nobody/bodies"]
)
def test_a_missing_request_is_404(api: Client, path: str) -> None:
    assert api.get(f"/api/requests/{path}").status_code == 404


def bodies_of(bodies: Bodies, api: Client) -> Any:
    store.write([make_record("req_x", bodies=bodies)])
    return api.get("/api/requests/req_x/bodies").json()


def test_bodies_show_all_four_wires(api: Client) -> None:
    bodies = bodies_of(
        Bodies(
            client_request=b'{"a":1}',
            upstream_request=b'{"b":2}',
            upstream_response=b"data: 1\n\n",
            client_response=b"data: 2\n\n",
            upstream_chunks=[Chunk(1.5, 9)],
            client_chunks=[Chunk(2.5, 9)],
            client_headers={"authorization": "***"},
            truncated=["client_request"],
        ),
        api,
    )
    assert bodies["stored"]
    assert bodies["client_request"] == '{"a":1}'
    assert bodies["upstream_request"] == '{"b":2}'
    assert bodies["upstream_response"] == "data: 1\n\n"
    assert bodies["client_response"] == "data: 2\n\n"
    assert (bodies["upstream_chunks"], bodies["client_chunks"]) == ([[1.5, 9]], [[2.5, 9]])
    assert bodies["client_headers"] == {"authorization": "***"}
    assert bodies["truncated"] == ["client_request"]


def test_a_passed_through_response_is_shown_on_both_sides(api: Client) -> None:
    bodies = bodies_of(Bodies(upstream_response=b"same", same_response=True), api)
    assert bodies["client_response"] == bodies["upstream_response"] == "same"
    assert bodies["passthrough_response"]


def test_undecodable_bytes_are_shown_partially(api: Client) -> None:
    assert bodies_of(Bodies(upstream_response=b"ok \xff"), api)["upstream_response"] == "ok \ufffd"


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("off", "logging was off"),
        ("rejected", "rejected the request before"),
        ("pressure", "queue"),
        ("size", "process ended"),
        ("", "deleted"),
    ],
)
def test_missing_bodies_have_a_reason(api: Client, reason: str, message: str) -> None:
    store.write([make_record("req_x", bodies_omitted=reason)])
    body = api.get("/api/requests/req_x/bodies").json()
    assert not body["stored"]
    assert message in body["reason"]


def test_damaged_bodies_have_a_reason(api: Client) -> None:
    store.write([make_record("req_x", bodies=Bodies(client_request=b"{}"))])
    RequestBody.objects.update(blob=b"\x78nonsense")
    response = api.get("/api/requests/req_x/bodies")
    assert response.status_code == 200
    assert "cannot be read" in response.json()["reason"]
