"""The request list: tag filter, sort orders, sessions, and saved views."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.models import SavedView
from console.pages.requests import log_search, sessions
from console.pages.requests.detail import TABS
from console.pages.requests.query import parse
from gateway.models import RequestLog
from tests.console.test_requests import logged, matching_rows


def test_tags_are_a_filter_in_every_alphabet(db: None) -> None:
    logged("req_a", tags=["paid", "eu"])
    logged("req_b", tags=["paid"])
    logged("req_c", tags=["größe"])
    assert matching_rows("tag:paid") == ["req_b", "req_a"]
    assert matching_rows("tag:!paid") == ["req_c"]
    assert matching_rows("tag:größe,eu") == ["req_c", "req_a"]
    assert matching_rows("tag:pai") == []


def test_times_are_those_of_the_browser(admin_client: Client) -> None:
    logged("req_a", started_at=1_790_000_000.0)  # 21 Sep 2026, 14:13:20 in UTC
    shown = lambda: admin_client.get("/console/requests/req_a").content.decode()  # noqa: E731
    assert "21 Sep 2026, 14:13:20 UTC" in shown()
    admin_client.cookies["timezone"] = "Asia/Kolkata"
    assert "21 Sep 2026, 19:43:20 IST" in shown()
    for unknown in ("../../etc/passwd", "/etc/localtime", "Europe", "Nowhere/City", "é", "A" * 999):
        admin_client.cookies["timezone"] = unknown
        assert "21 Sep 2026, 14:13:20 UTC" in shown()


def test_a_searched_day_begins_in_the_time_zone_of_the_reader() -> None:
    now = timezone.now()
    with timezone.override("Asia/Kolkata"):
        since = parse("since:2026-09-21 until:2026-09-21T12:30", "", now)
        assert since.since == dt.datetime(2026, 9, 20, 18, 30, tzinfo=dt.UTC)
        assert since.until == dt.datetime(2026, 9, 21, 7, 0, tzinfo=dt.UTC)
        assert parse("since:0001-01-01", "", now).unrecognized


def test_requests_of_a_stored_prompt_are_found(admin_client: Client) -> None:
    logged("req_p", tags=["prompt:team/support@2"])
    logged("req_q", tags=["prompt:team/support@1"])
    page = admin_client.get("/console/requests/req_p").content.decode()
    assert "?q=tag:%22prompt%3Ateam%2Fsupport%402%22&amp;range=all" in page
    assert matching_rows("tag:prompt:team/support@2") == ["req_p"]


def test_the_list_is_sorted_by_an_amount_within_its_search(admin_client: Client) -> None:
    for name, cost, provider in (("a", "0.2", "x"), ("b", "0.5", "y"), ("c", None, "x")):
        logged(f"req_{name}", cost_usd=cost and Decimal(cost), provider=provider, model="m")
    page = log_search.largest(parse("", "24h", timezone.now()), "cost")
    assert [row.request_id for row in page.rows] == ["req_b", "req_a"]
    page = log_search.largest(parse("provider:x", "24h", timezone.now()), "cost")
    assert [row.request_id for row in page.rows] == ["req_a"]
    text = admin_client.get("/console/requests?sort=latency&range=all").content.decode()
    assert 'aria-sort="descending"' in text
    assert "data-tail" not in text


def test_pruned_rows_cost_a_search_nothing(
    admin_client: Client, django_assert_max_num_queries: Any
) -> None:
    """Ids grow as the log is written, while its first rows are pruned."""
    logged("req_a", model="m1")
    RequestLog.objects.update(id=50_000_000)
    admin_client.get("/console/requests")
    with django_assert_max_num_queries(26):
        assert "m1" in admin_client.get("/console/requests").content.decode()


@pytest.mark.parametrize("query", ["", "provider:x", "provider:x outcome:ok"])
def test_the_largest_are_found_in_every_batch(db: None, monkeypatch: Any, query: str) -> None:
    """Each batch returns its largest rows; together they are the largest of all."""
    monkeypatch.setattr(log_search, "_FIRST_BATCH", 3)
    monkeypatch.setattr(log_search, "_LAST_BATCH", 12)
    monkeypatch.setattr(log_search, "_SORT_WINDOW_IDS", 5)
    costs = [(n * 7) % 40 for n in range(40)]
    for n, cost in enumerate(costs):
        provider = "x" if n % 5 else "y"
        logged(f"req_{n}", cost_usd=Decimal(cost) if cost % 3 else None, provider=provider)
    page = log_search.largest(parse(query, "24h", timezone.now()), "cost", 4)
    matching = (cost for n, cost in enumerate(costs) if cost % 3 and (n % 5 or not query))
    assert [row.cost_usd for row in page.rows] == sorted(matching, reverse=True)[:4]
    assert page.searched_until is None


def test_a_view_is_saved_for_its_user_alone(admin_client: Client, viewer_client: Client) -> None:
    admin_client.post("/console/requests/views?q=status:5xx&range=7d", {"name": "Failures"})
    admin_client.post("/console/requests/views?q=status:!2xx&range=7d", {"name": "Failures"})
    (view,) = SavedView.objects.all()
    assert view.query == "q=status%3A%212xx&range=7d"
    assert "Failures" in admin_client.get("/console/requests").content.decode()
    assert "Failures" not in viewer_client.get("/console/requests").content.decode()
    assert viewer_client.post(f"/console/requests/views/{view.pk}/delete").status_code == 404
    assert admin_client.post(f"/console/requests/views/{view.pk}/delete").status_code == 302
    assert not SavedView.objects.exists()


@pytest.mark.parametrize("tab", [name for name, _title in TABS])
def test_a_tab_that_the_request_does_not_have_is_its_default_tab(
    admin_client: Client, tab: str
) -> None:
    """The links to the next requests keep the tab: of a session, a stream or a conversation."""
    row = logged("req_without_session")
    response = admin_client.get(reverse("request", args=[row.pk]), {"range": "all", "tab": tab})
    assert response.status_code == 200


def test_sessions_are_counted_by_one_query(db: None, django_assert_max_num_queries: Any) -> None:
    for n in range(30):
        logged(f"req_{n}", session=f"s{n % 10}")
    search = parse("", "all", timezone.now())
    with django_assert_max_num_queries(8):
        groups, _cursor = sessions.groups(search, None)
    assert [group.total for group in groups] == [3] * 10
    logged("again", session="s3")
    # As on the next page: a session with a row from the cursor on was on an earlier page.
    cursor = RequestLog.objects.get(request_id="again").pk
    with django_assert_max_num_queries(8):
        older, _cursor = sessions.groups(search, cursor)
    assert {group.newest.session for group in older} == {f"s{n}" for n in range(10)} - {"s3"}
