"""The request log's named filters, its pages, and retention."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection

from gateway import store
from gateway.models import RequestLog
from tests.store.factories import STARTED, make_record

pytestmark = pytest.mark.django_db


def time_at(seconds: float) -> datetime:
    return datetime.fromtimestamp(STARTED + seconds, UTC)


def matching_ids(**fields: Any) -> list[str]:
    return [row.request_id for row in RequestLog.objects.matching(**fields).newest(50)]


FILTERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "route": ({"route": "slow"}, {"route": "slow"}),
    "key by its prefix": ({"key_prefix": "sk-dgm-1"}, {"key": "sk-dgm-1"}),
    "key by its row": ({"key_id": 9}, {"key": 9}),
    "provider": ({"provider": "groq"}, {"provider": "groq"}),
    "model": ({"model": "llama"}, {"model": "llama"}),
    "status": ({"status": 429}, {"status": "429"}),
    "status as a number": ({"status": 429}, {"status": 429}),
    "class of status": ({"status": 429}, {"status": "4xx"}),
    "outcome": ({"outcome": "cut"}, {"outcome": "cut"}),
    "error kind": ({"error_kind": "rate_limit"}, {"error_kind": "rate_limit"}),
    "session": ({"session": "s-1"}, {"session": "s-1"}),
    "since": ({"started_at": STARTED + 10}, {"since": time_at(5)}),
    "until": ({"started_at": STARTED - 10}, {"until": time_at(-5)}),
}


@pytest.mark.parametrize(("values", "expected"), FILTERS.values(), ids=FILTERS)
def test_a_filter_finds_its_rows_and_no_others(
    values: dict[str, Any], expected: dict[str, Any]
) -> None:
    store.write([make_record("other"), make_record("it", **values), make_record("more")])
    assert matching_ids(**expected) == ["it"]


def test_filters_are_combined_with_and() -> None:
    store.write(
        [
            make_record("a", provider="p", status=500),
            make_record("b", provider="p"),
            make_record("c"),
        ]
    )
    assert matching_ids(provider="p", status="5xx") == ["a"]
    assert matching_ids(status="²²²") == matching_ids(status="²xx") == []


@pytest.mark.parametrize("expected", [{}, {"route": None}, {"route": ""}, {"status": ""}], ids=str)
def test_a_missing_filter_matches_all_rows(expected: dict[str, Any]) -> None:
    store.write([make_record("a"), make_record("b")])
    assert matching_ids(**expected) == ["b", "a"]


def test_successes_are_found_by_their_outcome_too() -> None:
    store.write([make_record("a"), make_record("b", outcome="cut")])
    assert matching_ids(outcome="ok") == ["a"]


@pytest.mark.parametrize("status", ["abc", "20", "2000", "xxx", "9" * 30], ids=str)
def test_an_invalid_status_filter_matches_no_row(status: str) -> None:
    store.write([make_record("a")])
    assert matching_ids(status=status) == []


@pytest.mark.parametrize("name", ["route", "key", "status", "session", "text"])
def test_a_filter_with_nul_finds_nothing(name: str) -> None:
    store.write([make_record("a")])
    assert matching_ids(**{name: "\0"}) == []


def test_keyset_pages_are_complete_while_rows_arrive() -> None:
    store.write([make_record(f"req_{n}") for n in range(25)])
    pages, cursor = [], None
    while rows := list(RequestLog.objects.matching(route="fast").older_than_row(cursor).newest(10)):
        pages.append([row.request_id for row in rows])
        cursor = rows[-1].pk
        store.write([make_record(f"late_{cursor}")])
    assert [len(page) for page in pages] == [10, 10, 5]
    assert sum(pages, []) == [f"req_{n}" for n in reversed(range(25))]


def test_the_live_tail_requests_newer_rows() -> None:
    store.write([make_record("a"), make_record("b")])
    cursor = RequestLog.objects.newest(1)[0].pk
    store.write([make_record("c")])
    assert [row.request_id for row in RequestLog.objects.newer_than_row(cursor).newest(9)] == ["c"]


def test_prune_deletes_old_rows_in_batches() -> None:
    store.write([make_record(f"req_{n}", started_at=STARTED + n) for n in range(10)])
    assert RequestLog.objects.prune(time_at(7), batch_size=3) == 7
    assert matching_ids() == ["req_9", "req_8", "req_7"]


INDEXED = [
    {"route": "fast"},
    {"provider": "p"},
    {"model": "m"},
    {"key": "k"},
    {"outcome": "cut"},
    {"error_kind": "timeout"},
    {"session": "s"},
]


@pytest.mark.parametrize("expected", INDEXED, ids=str)
def test_each_filter_walks_an_index_in_order(expected: dict[str, Any]) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL plans by statistics, which an empty table has none of")
    plan = RequestLog.objects.matching(**expected).newest(50).explain()
    assert "USING INDEX gateway_request_" in plan
    assert "TEMP B-TREE" not in plan
