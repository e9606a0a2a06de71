"""Internal requests (shadow, health checks, batches) on the pages of the log."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.error_labels import ERROR_LABELS
from console.pages.requests import histogram as bars
from console.pages.requests import log_search
from console.pages.requests.histogram import histogram
from console.pages.requests.query import parse
from gateway import store
from gateway.canon.errors import KINDS
from gateway.edge import endpoints
from gateway.models import RequestLog
from gateway.relay.exchange.log_record import Bodies
from tests.store.factories import bodies, make_record

pytestmark = pytest.mark.django_db


def logged(id: str, **values: Any) -> RequestLog:
    """Create a log row with the current time."""
    store.write([make_record(id, started_at=time.time() - 60, **values)])
    return RequestLog.objects.get(request_id=id)


def page(client: Client, query: str = "") -> str:
    return client.get(f"{reverse('requests')}?{query}").content.decode()


def detail(client: Client, row: RequestLog) -> str:
    return client.get(reverse("request", args=[row.pk])).content.decode()


def matching_ids(query: str) -> list[str]:
    rows = log_search.page(parse(query, "all", timezone.now())).rows
    return [row.request_id for row in rows]


# Checks of targets


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["req_a"]),
        ("status:429", []),
        ("route:fast", ["req_a"]),
        ("key:!k1", []),
        ("is:!check", ["req_a"]),
        ("is:check", ["check_2", "check_1"]),
        ("is:check status:429", ["check_2"]),
        ("key:check", ["check_2", "check_1"]),
        ("key:k1,check", ["check_2", "check_1", "req_a"]),
        ("id:check_1", ["check_1"]),
    ],
)
def test_health_checks_are_listed_only_when_filtered_for(query: str, expected: list[str]):
    logged("req_a", key_prefix="k1")
    logged("check_1", key_prefix="check")
    logged("check_2", key_prefix="check", status=429, outcome="error", error_kind="rate_limit")
    assert matching_ids(query) == expected


def test_health_checks_are_not_in_the_live_tail_or_pagination(admin_client: Client):
    logged("req_a", key_prefix="k1")
    first = RequestLog.objects.get()
    logged("check_1", key_prefix="check")
    logged("req_b", key_prefix="k1")
    now = timezone.now()
    assert [row.request_id for row in log_search.newer(parse("", "all", now), first.pk)] == [
        "req_b"
    ]
    newer, _older = log_search.adjacent_rows(parse("", "all", now), first.pk)
    assert newer == RequestLog.objects.get(request_id="req_b").pk


def test_a_log_with_only_health_checks_shows_the_empty_state(admin_client: Client):
    logged("check_1", key_prefix="check")
    assert "The first one appears here" in page(admin_client)
    assert reverse("request", args=[RequestLog.objects.get().pk]) in page(
        admin_client, "q=is:check"
    )


@pytest.mark.parametrize("few", [5_000, 0], ids=["counted", "measured"])
def test_the_histogram_omits_health_checks(monkeypatch: Any, few: int):
    monkeypatch.setattr(bars, "_MAX_COUNTED_ROWS", few)
    failed_fields = {"status": 500, "outcome": "error", "error_kind": "upstream_error"}
    logged("check_1", key_prefix="check", **failed_fields)
    logged("a", **failed_fields)
    logged("check_2", key_prefix="check")
    now = timezone.now()
    every = histogram(parse("", "1h", now), now)
    checks = histogram(parse("is:check", "1h", now), now)
    assert every is not None
    assert checks is not None
    assert (every.total, every.failed) == (1, 1)
    assert (checks.total, checks.failed) == (2, 1)


@pytest.mark.parametrize("few", [5_000, 0], ids=["counted", "measured"])
def test_the_histogram_counts_failures_without_checks(db: None, monkeypatch: Any, few: int):
    monkeypatch.setattr(bars, "_MAX_COUNTED_ROWS", few)
    for n, outcome in enumerate(["ok", "error", "cut", "client_closed", "ok", "error"]):
        logged(f"req_{n}", outcome=outcome)
    now = timezone.now()
    every = histogram(parse("", "1h", now), now)
    assert every is not None
    assert (every.total, every.failed) == (6, 4)


# Amounts, dialects, parts of names


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("cost:>0.01", ["req_dear"]),
        ("cost:<=0.01", ["req_cheap"]),
        ("latency:>2s", ["req_dear"]),
        ("ttft:<1s", ["req_cheap"]),
        ("tokens:>=1k", ["req_dear"]),
        ("status:>=500", ["req_dear"]),
        ("status:<300", ["req_cheap"]),
        ("dialect:gemini", ["req_dear"]),
        ("dialect:openai", ["req_cheap"]),
        ("dialect:!openai", ["req_dear"]),
        ("is:error", ["req_dear"]),
        ("key:agent", ["req_cheap"]),
        ("foo:bar", ["req_dear", "req_cheap"]),
    ],
)
def test_filters_by_amount_dialect_and_part_of_a_name(query: str, expected: list[str]):
    key, _plain = store.create_key("search Agent of Ada")
    logged(
        "req_cheap",
        key_prefix=key.prefix,
        client_dialect="openai_chat",
        cost_usd=Decimal("0.01"),
        duration_ms=500,
        first_token_ms=200,
        input_tokens=10,
        output_tokens=2,
    )
    failed_fields = {"status": 502, "outcome": "error", "error_kind": "upstream_error"}
    logged(
        "req_dear",
        key_prefix="other",
        client_dialect="gemini",
        cost_usd=Decimal("0.5"),
        duration_ms=2500,
        first_token_ms=1200,
        input_tokens=10,
        cache_read_tokens=900,
        output_tokens=100,
        **failed_fields,
    )
    # Without a price nothing is known of the cost: neither above nor below.
    logged("check_1", key_prefix="check")
    assert matching_ids(query) == expected


def test_an_ignored_filter_is_shown(admin_client: Client):
    logged("req_a")
    assert "Ignored: foo:bar is not a valid filter" in page(admin_client, "q=foo:bar")


@pytest.mark.parametrize(
    ("days", "span"), [(0, "24h"), (3, "7d"), (20, "30d"), (90, "all")], ids=str
)
def test_a_link_to_an_old_request_has_it_in_the_list(admin_client: Client, days: int, span: str):
    store.write([make_record("req_old", started_at=time.time() - days * 86_400 - 60)])
    row = RequestLog.objects.get()
    text = admin_client.get(reverse("request", args=[row.pk])).content.decode()
    assert "No request matches" not in text
    assert f'<option value="{span}" selected>' in text


def test_every_kind_of_error_has_one_label(admin_client: Client):
    assert set(ERROR_LABELS) == set(KINDS)
    for kind in KINDS:
        logged(f"req_{kind}", status=502, outcome="error", error_kind=kind)
    html = page(admin_client)
    assert [kind for kind in KINDS if str(ERROR_LABELS[kind]) not in html] == []


# Where it was asked


@pytest.mark.parametrize(
    ("endpoint", "dialect", "label"),
    [
        ("/v1/chat/completions", "openai_chat", "POST /v1/chat/completions"),
        ("/v1beta/models/{id}:generateContent", "gemini", "POST /v1beta/models/smart:generate"),
        ("GET /v1/files/{id}/content", "openai_chat", "GET /v1/files/{id}/content"),
        ("POST /v1/messages/batches", "anthropic_messages", "POST /v1/messages/batches"),
        ("batch", "openai_chat", "POST /v1/batches"),
        ("batch", "anthropic_messages", "POST /v1/messages/batches"),
        ("check", "openai_chat", "Health check"),
        ("shadow", "openai_chat", "Shadow request"),
        ("console", "openai_chat", "Console"),
    ],
)
def test_the_detail_shows_the_endpoint_the_client_called(
    admin_client: Client, endpoint: str, dialect: str, label: str
):
    model = "" if "files" in endpoint else "smart"
    fields = {"client_dialect": dialect, "requested_model": model}
    text = detail(admin_client, logged("req_e", endpoint=endpoint, **fields))
    assert f"<b>{label}" in text


# What `RequestLog.endpoint` may hold: the paths of the edge, and the gateway's own requests.
ENDPOINTS = sorted(
    {known_endpoint.name for known_endpoint in endpoints.ENDPOINTS.values()}
    | {"/v1beta/models/{id}:streamGenerateContent", "/v1/responses/{id}", "/v2/rerank"}
    | {"GET /v1/files/{id}/content", "POST /v1/messages/batches", "passthrough", ""}
    | {"console", "check", "shadow", "batch", "cache", "translate", "dry_run"}
)
TABS_WITH_BODIES = ("overview", "translation", "response", "stream")


def test_the_detail_of_every_kind_of_row_opens(admin_client: Client):
    fields = {
        "client_request": b'{"model": "smart", "messages": [{"role": "user", "content": "Hi"}]}',
        "upstream_request": b'{"model": "gpt-5", "messages": [{"role": "user", "content": "Hi"}]}',
        "upstream_response": b'{"choices": [{"message": {"role": "assistant", "content": "Hi"}}]}',
        "client_response": b'{"choices": [{"message": {"role": "assistant", "content": "Hi"}}]}',
    }
    failures: list[tuple[str, str, int]] = []
    admin_client.raise_request_exception = False
    values: dict[str, Any] = {
        "client_dialect": "openai_chat",
        "upstream_dialect": "openai_chat",
        "provider": "openai",
        "model": "gpt-5",
        "requested_model": "smart",
        "session": "s-1",
    }
    for number, endpoint in enumerate(ENDPOINTS):
        values |= {"endpoint": endpoint, "stream": number % 2 == 0, "bodies": Bodies(**fields)}
        detail_url = reverse("request", args=[logged(f"req_{number}", **values).pk])
        failures += [
            (endpoint, tab, response.status_code)
            for tab in (("translation",) if "/" in endpoint else TABS_WITH_BODIES)
            if (response := admin_client.get(f"{detail_url}?tab={tab}")).status_code != 200
        ]
    assert failures == []


def test_the_curl_command_of_a_batch_creates_a_batch(admin_client: Client):
    stored_bodies = bodies({"input_file_id": "file-1"}, {})
    values = {
        "endpoint": "POST /v1/batches",
        "client_dialect": "openai_chat",
        "bodies": stored_bodies,
    }
    text = detail(admin_client, logged("req_b", **values))
    assert "http://testserver/v1/batches" in text
    assert "chat/completions" not in text
