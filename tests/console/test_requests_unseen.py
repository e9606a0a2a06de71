"""Requests that no client made, on the pages of the log; and where those of clients were asked."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.pages.requests import find
from console.pages.requests import histogram as bars
from console.pages.requests.histogram import histogram
from console.pages.requests.query import parse
from gateway import store
from gateway.models import RequestLog
from tests.store.factories import bodies, entry

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("ada"))
    return client


def logged(id: str, **values: Any) -> RequestLog:
    """A row that has just been asked."""
    store.write([entry(id, started_at=time.time() - 60, **values)])
    return RequestLog.objects.get(request_id=id)


def page(client: Client, query: str = "") -> str:
    return client.get(f"{reverse('requests')}?{query}").content.decode()


def detail(client: Client, row: RequestLog) -> str:
    return client.get(reverse("request", args=[row.pk])).content.decode()


def found(query: str) -> list[str]:
    rows = find.page(parse(query, "all", timezone.now())).rows
    return [row.request_id for row in rows]


# Checks of targets


@pytest.mark.parametrize(
    ("query", "wanted"),
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
def test_checks_of_targets_are_listed_only_where_asked_for(query: str, wanted: list[str]):
    logged("req_a", key_prefix="k1")
    logged("check_1", key_prefix="check")
    logged("check_2", key_prefix="check", status=429, outcome="error", error_kind="rate_limit")
    assert found(query) == wanted


def test_checks_do_not_come_live_nor_turn_pages(ada: Client):
    logged("req_a", key_prefix="k1")
    first = RequestLog.objects.get()
    logged("check_1", key_prefix="check")
    logged("req_b", key_prefix="k1")
    now = timezone.now()
    assert [row.request_id for row in find.newer(parse("", "all", now), first.pk)] == ["req_b"]
    newer, _older = find.neighbours(parse("", "all", now), first.pk)
    assert newer == RequestLog.objects.get(request_id="req_b").pk


def test_a_log_of_checks_alone_is_one_in_which_nothing_was_asked(ada: Client):
    logged("check_1", key_prefix="check")
    assert "The first request appears here" in page(ada)
    assert reverse("request", args=[RequestLog.objects.get().pk]) in page(ada, "q=is:check")


@pytest.mark.parametrize("few", [20_000, 0], ids=["counted", "measured"])
def test_the_histogram_leaves_checks_out(monkeypatch: Any, few: int):
    monkeypatch.setattr(bars, "_FEW", few)
    failed = {"status": 500, "outcome": "error", "error_kind": "upstream_error"}
    logged("check_1", key_prefix="check", **failed)
    logged("a", **failed)
    logged("check_2", key_prefix="check")
    now = timezone.now()
    every = histogram(parse("", "1h", now), now)
    checks = histogram(parse("is:check", "1h", now), now)
    assert every is not None
    assert checks is not None
    assert (every.total, every.failed) == (1, 1)
    assert (checks.total, checks.failed) == (2, 1)


# Where it was asked


@pytest.mark.parametrize(
    ("endpoint", "dialect", "words"),
    [
        ("/v1/chat/completions", "openai_chat", "POST /v1/chat/completions"),
        ("/v1beta/models/{id}:generateContent", "gemini", "POST /v1beta/models/smart:generate"),
        ("GET /v1/files/{id}/content", "openai_chat", "GET /v1/files/{id}/content"),
        ("POST /v1/messages/batches", "anthropic_messages", "POST /v1/messages/batches"),
        ("batch", "openai_chat", "POST /v1/batches"),
        ("batch", "anthropic_messages", "POST /v1/messages/batches"),
        ("check", "openai_chat", "Check of a target"),
        ("shadow", "openai_chat", "Shadow request"),
        ("console", "openai_chat", "Console"),
    ],
)
def test_the_detail_says_where_the_client_asked(
    ada: Client, endpoint: str, dialect: str, words: str
):
    model = "" if "files" in endpoint else "smart"
    given = {"client_dialect": dialect, "requested_model": model}
    shown = detail(ada, logged("req_e", endpoint=endpoint, **given))
    assert f"<b>{words}" in shown


def test_the_curl_of_a_batch_makes_a_batch(ada: Client):
    kept = bodies({"input_file_id": "file-1"}, {})
    values = {"endpoint": "POST /v1/batches", "client_dialect": "openai_chat", "bodies": kept}
    shown = detail(ada, logged("req_b", **values))
    assert "http://testserver/v1/batches" in shown
    assert "chat/completions" not in shown
