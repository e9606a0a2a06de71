"""The requests page: list, search, live tail, detail, export, and permissions."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.pages.requests import log_search, sessions
from console.pages.requests.histogram import histogram
from console.pages.requests.query import parse
from gateway import store
from gateway.management.seed_requests import seed
from gateway.models import RequestBody, RequestLog
from gateway.relay.exchange.log_record import Attempt, Bodies, Chunk
from gateway.simulate import translate
from tests.markup import normalize_html
from tests.store.factories import bodies, logged_exchange, make_record
from tests.store.test_hedge_losers import hedged_request


def logged(id: str = "req_a", **values: Any) -> RequestLog:
    """Create a log row with the current time."""
    values.setdefault("started_at", time.time() - 60)
    store.write([make_record(id, endpoint="/v1/chat/completions", **values)])
    return RequestLog.objects.get(request_id=id)


def translated(id: str = "req_t", **values: Any) -> RequestLog:
    """Create a row of an Anthropic client on an OpenAI upstream, with both bodies."""
    request_body = {
        "model": "fast",
        "max_tokens": 100,
        "top_k": 40,
        "system": "Be kind.",
        "messages": [{"role": "user", "content": "Hello there"}],
    }
    ids = translate.request("anthropic_messages", "openai", request_body, {}, "gpt-5")["body"]
    response = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-5",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi."},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
    }
    message = {
        "id": "msg_t",
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": "Hi."}],
    }
    stored_bodies = bodies(
        request_body,
        message,
        upstream_request=msgspec.json.encode(ids),
        upstream_response=msgspec.json.encode(response),
        client_headers={"x-api-key": "***", "anthropic-version": "2023-06-01"},
    )
    return logged(
        id,
        bodies=stored_bodies,
        client_dialect="anthropic_messages",
        upstream_dialect="openai_chat",
        provider="openai",
        model="gpt-5",
        requested_model="fast",
        adaptations=[{"field": "top_k", "action": "dropped", "note": "no equivalent"}],
        **values,
    )


def page(client: Client, query: str = "", **headers: str) -> str:
    response = client.get(f"{reverse('requests')}?{query}", headers=headers)
    assert response.status_code == 200
    return response.content.decode()


def detail(client: Client, row: RequestLog, query: str = "") -> str:
    response = client.get(f"{reverse('request', args=[row.pk])}?{query}")
    assert response.status_code == 200
    return response.content.decode()


def matching_rows(query: str, span: str = "all") -> list[str]:
    rows = log_search.page(parse(query, span, timezone.now())).rows
    return [row.request_id for row in rows]


# The list


def test_an_empty_log_shows_the_next_step(admin_client: Client):
    assert "The first one appears here" in page(admin_client)


def test_the_list_never_reads_bodies(admin_client: Client, django_assert_max_num_queries: Any):
    translated()
    page(admin_client)  # what a process reads once is not counted
    with django_assert_max_num_queries(26) as queries:
        page(admin_client)
    assert not [
        q["sql"] for q in queries if "gateway_requestbody" in q["sql"] and "blob" in q["sql"]
    ]


def test_rows_show_key_model_and_outcome(admin_client: Client):
    logged(
        "req_a",
        key_prefix="sk-dgm-x",
        requested_model="smart",
        status=429,
        outcome="error",
        error_kind="rate_limit",
        provider="openai",
        model="gpt-5",
        input_tokens=1000,
        cache_read_tokens=500,
        cost_usd=Decimal("0.0213"),
    )
    html = page(admin_client)
    for text in ("sk-dgm-x", "smart", "429", "rate limit", "gpt-5", "1,500", "$0.021"):
        assert text in html


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["d", "c", "b", "a"]),
        ("status:4xx", ["b"]),
        ("status:!4xx", ["d", "c", "a"]),
        ("status:429,502", ["c", "b"]),
        ("status:!200", ["c", "b"]),
        ("model:m1", ["b", "a"]),
        ("model:!m1", ["d", "c"]),
        ("provider:p route:fast status:200", ["a"]),
        ("outcome:error", ["c", "b"]),
        ("outcome:ok", ["d", "a"]),
        ("error:rate_limit", ["b"]),
        ("session:s1", ["d"]),
        ("key:k1", ["a"]),
        ("key:nobody", []),
        ("model:m1 status:502", []),
        ("id:req_c status:200 since:1s", []),
        ("id:c", ["c"]),
    ],
)
def test_filters_combine(db: None, query: str, expected: list[str]):
    logged("a", provider="p", model="m1", key_prefix="k1")
    logged("b", provider="p", model="m1", status=429, outcome="error", error_kind="rate_limit")
    logged("c", status=502, outcome="error", error_kind="upstream_error")
    logged("d", session="s1", model="m2")
    assert matching_rows(query) == expected


def test_a_key_is_found_by_its_name(db: None):
    key, _ = store.create_key("notebook")
    logged("a", key_prefix=key.prefix)
    assert matching_rows("key:notebook") == ["a"]


def test_the_time_range_counts_and_an_id_ignores_it(db: None):
    logged("old", started_at=time.time() - 90_000)
    logged("new")
    assert matching_rows("", "24h") == ["new"]
    assert matching_rows("id:old", "24h") == ["old"]
    assert matching_rows("until:1d", "24h") == ["old"]


def test_full_text_search_combines_with_filters(db: None):
    logged("a", bodies=bodies({"messages": [{"role": "user", "content": "quartz"}]}, {}))
    logged(
        "b", provider="p", bodies=bodies({"messages": [{"role": "user", "content": "quartz"}]}, {})
    )
    logged("c", provider="p")
    store.index_pending()
    assert matching_rows("quartz") == ["b", "a"]
    assert matching_rows("quartz provider:p") == ["b"]
    assert matching_rows("quartz status:4xx") == []
    assert matching_rows("!!!") == []


def test_log_pages_have_no_gaps_or_duplicates(db: None):
    for _ in seed(400, until=time.time() - 5, span_s=3000):
        pass
    search = parse("status:!429", "all", timezone.now())
    every = list(
        RequestLog.objects.exclude(status=429).order_by("-pk").values_list("pk", flat=True)
    )
    ids: list[int] = []
    cursor = None
    while True:
        page = log_search.page(search, cursor)
        ids += [row.pk for row in page.rows]
        cursor = page.next
        if cursor is None:
            break
    assert ids == every


@pytest.mark.parametrize(
    "query",
    [
        "provider:groq",
        "status:4xx",
        "the provider:openai",
        "model:gpt-mini key:sk-dgm-ci",
        "status:503 quartz1",
    ],
)
def test_a_search_of_a_long_log_equals_a_plain_query(db: None, query: str):
    """Every search strategy finds the same rows as a full scan."""
    for _ in seed(3000, until=time.time() - 5, span_s=90_000):
        pass
    search = parse(query, "24h", timezone.now())
    ids = [row.pk for rows, _ in log_search.walk(search, None) for row in rows]
    plain = log_search._filter_rows(RequestLog.objects.all(), search)
    assert ids == list(plain.order_by("-pk").values_list("pk", flat=True)[: len(ids)])
    assert len(ids) == min(plain.count(), len(ids)) > 0 or plain.count() == 0


def test_a_search_that_exceeds_its_time_can_be_continued(
    db: None, monkeypatch: Any, admin_client: Client
):
    for _ in seed(800, until=time.time() - 5, span_s=3000):
        pass
    monkeypatch.setattr(log_search, "BUDGET_S", 0.0)
    logged("wanted_not", status=200)
    search = parse("requested:nothing", "all", timezone.now())
    result = log_search.page(search)
    assert result.rows == []
    assert result.searched_until is not None
    assert "Search further back" in page(admin_client, "q=requested:nothing&range=all")
    cursor = result.next
    while cursor is not None:  # ids need not begin at 1: sequences outlive other tests
        before, cursor = cursor, log_search.page(search, cursor).next
        assert cursor is None or cursor < before


def test_hostile_query_strings_are_harmless(admin_client: Client):
    logged()
    for query in (
        "q=%00",
        "cursor=abc",
        "cursor=99999999999999999999",
        "range=x&group=y",
        "q=" + "a:" * 900,
    ):
        page(admin_client, query)
    assert "<script>alert" not in page(admin_client, "q=<script>alert(1)</script>")


# Live tail


def test_the_live_tail_returns_newer_rows(admin_client: Client):
    first = logged("first")
    logged("second")
    response = admin_client.get(reverse("requests-tail"), {"after": first.pk})
    text = response.content.decode()
    assert "second" not in text or "req" in text
    assert text.count("<tr ") == 1
    assert f'data-after="{first.pk + 1}"' in text


def test_a_paused_tail_only_counts(admin_client: Client):
    first = logged("first")
    logged("second")
    text = admin_client.get(
        reverse("requests-tail"), {"after": first.pk, "peek": "1"}
    ).content.decode()
    assert 'data-waiting="1"' in text
    assert "<tr " not in text
    assert f'data-after="{first.pk}"' in text


def test_the_live_tail_applies_the_search(admin_client: Client):
    first = logged("first")
    logged("second")
    text = admin_client.get(
        reverse("requests-tail"), {"after": first.pk, "q": "status:500"}
    ).content.decode()
    assert "<tr " not in text


# Histogram and sessions


def test_the_histogram_counts_requests_and_failures(db: None):
    logged("a")
    logged("b", status=500, outcome="error", error_kind="upstream_error")
    now = timezone.now()
    every = histogram(parse("", "1h", now), now)
    failure_histogram = histogram(parse("status:5xx", "1h", now), now)
    assert every is not None
    assert failure_histogram is not None
    assert (every.total, every.failed, every.partial) == (2, 1, False)
    assert (failure_histogram.total, failure_histogram.failed) == (1, 1)
    assert len(every.slices) == 60


def test_the_histogram_of_a_long_range_is_counted_by_row_ids(db: None, monkeypatch: Any):
    from console.pages.requests import histogram as module

    for _ in seed(2000, until=time.time() - 5, span_s=80_000):
        pass
    now = timezone.now()
    search = parse("", "24h", now)
    exact = histogram(search, now)
    monkeypatch.setattr(module, "_MAX_COUNTED_ROWS", 10)
    measured = histogram(search, now)
    assert exact is not None
    assert measured is not None
    assert abs(measured.total - exact.total) <= 2
    assert measured.failed == exact.failed > 0
    pairs = zip(exact.slices, measured.slices, strict=True)
    assert all(abs((a.count or 0) - (b.count or 0)) <= 2 for a, b in pairs)


def test_sessions_are_ordered_by_their_newest_row(admin_client: Client):
    for n, name in enumerate(["s1", "s2", "s1", "", "s3"]):
        logged(f"req_{n}", session=name)
    found_, cursor = sessions.groups(parse("", "all", timezone.now()), None)
    assert [(g.newest.session, g.total) for g in found_] == [("s3", 1), ("s1", 2), ("s2", 1)]
    assert cursor is None
    assert "s2" in page(admin_client, "group=session")


def test_a_session_shows_how_its_prompt_grows(admin_client: Client):
    logged("a", session="s1", input_tokens=100, output_tokens=5)
    row = logged("b", session="s1", input_tokens=50, cache_read_tokens=100, output_tokens=7)
    steps = sessions.session("s1").steps
    assert [(s.input, s.cached, s.uncached_input, s.added_input) for s in steps] == [
        (100, 0, 100, None),
        (150, 100, 50, 50),
    ]
    assert "+50" in detail(admin_client, row, "tab=session")


# Detail


def test_a_request_is_found_by_row_id_and_by_request_id(admin_client: Client):
    row = logged("req_abc")
    for name in (str(row.pk), "req_abc"):
        assert admin_client.get(reverse("request", args=[name])).status_code == 200
    assert admin_client.get(reverse("request", args=["nothing"])).status_code == 404


def test_htmx_returns_the_detail_and_a_reload_the_page(admin_client: Client):
    row = logged()
    url = reverse("request", args=[row.pk])
    part = admin_client.get(url, headers={"HX-Request": "true"})
    assert b'<nav class="side"' not in part.content
    assert "HX-Request" in part["Vary"]
    restored = admin_client.get(
        url, headers={"HX-Request": "true", "HX-History-Restore-Request": "true"}
    )
    assert b'id="list"' in restored.content


def test_attempts_are_shown(admin_client: Client):
    attempts = [
        Attempt(
            target="a/x",
            provider="a",
            model="x",
            dialect="openai_chat",
            started_ms=1,
            ended_ms=240,
            status=529,
            error_kind="overloaded",
        ),
        Attempt(
            target="c/z", provider="c", model="z", dialect="openai_chat", skipped="cooling down"
        ),
        Attempt(
            target="b/y",
            provider="b",
            model="y",
            dialect="openai_chat",
            started_ms=240,
            first_byte_ms=400,
            ended_ms=1000,
            status=200,
        ),
    ]
    page_text = detail(admin_client, logged(attempts=attempts, duration_ms=1000.0))
    for text in ("529 overloaded, 0.24 s", "skipped: cooling down", "responded"):
        assert text in page_text


def test_previous_and_next_links_follow_the_search(admin_client: Client):
    rows = [logged(f"req_{n}", model="m" if n % 2 else "other") for n in range(5)]
    text = detail(admin_client, rows[2], "q=model:other&range=all")
    assert f"{reverse('request', args=[rows[4].pk])}?" in text
    assert f"{reverse('request', args=[rows[0].pk])}?" in text
    assert log_search.adjacent_rows(parse("model:other", "all", timezone.now()), rows[4].pk) == (
        None,
        rows[2].pk,
    )


def test_the_translation_shows_both_sides_with_marks(admin_client: Client):
    page_text = detail(admin_client, translated(), "tab=translation")
    for text in (
        "Client sent",
        "Upstream received",
        "/top_k",
        "so it was removed.",
        "/max_completion_tokens",
    ):
        assert text in page_text
    for kind in ("moved", "dropped"):
        assert f'class="tag {kind}"' in page_text
    assert "changed since" not in page_text


def test_the_translation_of_the_response(admin_client: Client):
    page_text = detail(admin_client, translated(), "tab=translation&side=response")
    for text in ("Upstream sent", "Client received", "/choices/0/message/content"):
        assert text in page_text


def test_a_stream_is_shown_event_by_event(admin_client: Client):
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    parts = [
        {**chunk, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hi"}}]},
        {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    ]
    pieces = [b"data: " + json.dumps(part).encode() + b"\n\n" for part in parts] + [
        b"data: [DONE]\n\n"
    ]
    client = [
        b'event: message_start\ndata: {"type":"message_start"}\n\n',
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    ]
    request_body = {
        "model": "fast",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "x"}],
        "stream": True,
    }
    stored_bodies = Bodies(
        client_request=msgspec.json.encode(request_body),
        upstream_request=b"{}",
        upstream_response=b"".join(pieces),
        client_response=b"".join(client),
        upstream_chunks=[Chunk(10.0 + 900 * n, len(piece)) for n, piece in enumerate(pieces)],
        client_chunks=[Chunk(10.0, len(client[0])), Chunk(1900.0, len(client[1]))],
    )
    row = logged(
        bodies=stored_bodies,
        stream=True,
        client_dialect="anthropic_messages",
        upstream_dialect="openai_chat",
    )
    page_text = detail(admin_client, row, "tab=stream")
    for text in ("chat.completion.chunk", "message_start", "No events for 0.90 s"):
        assert text in page_text
    assert "Hi" in detail(admin_client, row, "tab=response")


ANSWERED = Attempt(target="p/m", provider="p", model="m", dialect="openai_chat", status=200)


def test_a_rejected_request_has_no_translation_mode(admin_client: Client) -> None:
    answered_row = logged("req_answered", attempts=[ANSWERED])
    assert "non-streaming, translated" in normalize_html(
        detail(admin_client, answered_row, "tab=overview")
    )
    rejected = detail(
        admin_client, logged("req_rejected", attempts=[], bodies_omitted="rejected"), "tab=overview"
    )
    assert "non-streaming" in rejected
    assert "translated" not in rejected


def test_an_upstream_without_response_is_shown(admin_client: Client):
    row = logged(bodies=bodies({"a": 1}, {}, upstream_request=b"{}"), status=504, outcome="error")
    assert "The upstream did not respond." in detail(
        admin_client, row, "tab=translation&side=response"
    )


def test_damaged_bodies_do_not_break_the_page(admin_client: Client):
    row = translated()
    RequestBody.objects.filter(pk=row.pk).update(blob=b"\x78broken")
    assert detail(admin_client, row, "tab=translation")


def test_hostile_bodies_are_shown_as_text(admin_client: Client):
    evil = "<script>alert(1)</script>\u202e" + "A" * 100_000
    row = translated()
    RequestLog.objects.filter(pk=row.pk).delete()
    hostile = {"model": "fast", "max_tokens": 5, "messages": [{"role": "user", "content": evil}]}
    ids = {"model": "gpt-5", "messages": [{"role": "user", "content": evil}]}
    row = logged(
        "evil",
        bodies=bodies(hostile, {"x": evil}, upstream_request=msgspec.json.encode(ids)),
        client_dialect="anthropic_messages",
        upstream_dialect="openai_chat",
        error=evil[:200],
        user_agent=evil[:100],
    )
    for tab in ("overview", "translation", "response", "headers"):
        assert "<script>alert" not in detail(admin_client, row, f"tab={tab}")


def test_curl_has_variables_in_place_of_secrets(admin_client: Client):
    text = detail(admin_client, translated())
    assert "$DRAGOMAN_API_KEY" in text
    assert "$PROVIDER_API_KEY" in text
    assert "anthropic-version: 2023-06-01" in text


# Who may see what


def test_a_viewer_without_the_grant_sees_rows_but_no_bodies(viewer_client: Client):
    row = translated()
    html = page(viewer_client) + "".join(
        detail(viewer_client, row, f"tab={tab}")
        for tab in ("overview", "translation", "response", "headers")
    )
    assert "gpt-5" in html
    assert "Hello there" not in html
    assert "curl" not in html
    assert "You can see metadata only" in html
    assert viewer_client.post(reverse("request-replay", args=[row.pk])).status_code == 403


def test_a_viewer_with_the_grant_sees_bodies(viewer_client: Client):
    user = get_user_model().objects.get(username="vic")
    user.user_permissions.add(Permission.objects.get(codename="view_requestbody"))
    assert "Hello there" in detail(viewer_client, translated(), "tab=translation")


@pytest.mark.parametrize("word", ["sky", '"the sky"', "route:fast sky"])
def test_a_viewer_without_the_grant_cannot_search_bodies(
    viewer_client: Client, admin_client: Client, word: str
):
    """The page must not reveal whether a body contains the words."""
    store.write(
        [logged_exchange("the blue sky", route="fast", id="req_sky", started_at=time.time() - 60)]
    )
    logged("req_other", route="fast")
    store.index_pending()

    def seen(client: Client, query: str) -> list[list[str]]:
        parameters = {"q": query, "range": "all"}
        parts = [client.get(reverse("requests"), parameters)]
        parts.append(client.get(reverse("requests"), {**parameters, "group": "session"}))
        parts.append(client.get(reverse("requests-tail"), {**parameters, "after": "0"}))
        parts.append(
            client.get(reverse("requests-tail"), {**parameters, "after": "0", "peek": "1"})
        )
        row = RequestLog.objects.get(request_id="req_other")
        parts.append(client.get(reverse("request", args=[row.pk]), parameters))
        result = re.compile(r'data-id="\d+"|<rect [^>]*>|/console/requests/\d+|\d+ new')
        return [result.findall(part.content.decode()) for part in parts]

    assert seen(viewer_client, word) == seen(
        viewer_client, word.replace("sky", "zzz").replace("the", "zzy")
    )
    text = viewer_client.get(reverse("requests"), {"q": word}).content.decode()
    assert "needs the permission to read bodies" in text
    for kind in ("jsonl", "csv"):
        url = reverse("requests-export", args=[kind])
        assert viewer_client.get(url, {"q": word, "range": "all"}).status_code == 403
    assert "req_other" not in admin_client.get(reverse("requests"), {"q": word}).content.decode()


# Export


def test_the_export_contains_the_filtered_rows(admin_client: Client):
    logged("a", model="m1", user_agent="=cmd()")
    logged("b", model="m2")
    url = reverse("requests-export", args=["jsonl"])
    rows = [
        json.loads(line)
        for line in b"".join(
            admin_client.get(url, {"q": "model:m1"}).streaming_content
        ).splitlines()
    ]
    assert [row["request_id"] for row in rows] == ["a"]
    assert "client_ip" not in rows[0]
    text = b"".join(
        admin_client.get(reverse("requests-export", args=["csv"])).streaming_content
    ).decode()
    lines = list(csv.DictReader(io.StringIO(text)))
    assert [line["request_id"] for line in lines] == ["b", "a"]
    assert lines[1]["user_agent"] == "'=cmd()"
    assert admin_client.get(reverse("requests-export", args=["exe"])).status_code == 400


def test_response_ids_are_exported_for_readers_of_bodies_only(
    admin_client: Client, viewer_client: Client
) -> None:
    """An editor could read a stored response with its ID and a new key of the same team."""
    logged("a", response_id="resp_1")
    for kind in ("jsonl", "csv"):
        url = reverse("requests-export", args=[kind])
        exported = [
            b"".join(client.get(url).streaming_content) for client in (admin_client, viewer_client)
        ]
        assert [b"resp_1" in text for text in exported] == [True, False]
        assert [b"response_id" in text for text in exported] == [True, False]


# Replay


def test_a_request_without_a_stored_body_cannot_be_replayed(admin_client: Client):
    row = logged(bodies_omitted="off")
    response = admin_client.post(reverse("request-replay", args=[row.pk]), follow=True)
    assert "cannot be replayed" in response.content.decode()


def test_a_replay_is_linked_with_its_original(admin_client: Client):
    row = translated()
    second = logged(
        "req_again", key_prefix="replay", user_agent="replay of req_t", requested_model="fast"
    )
    assert "Replay of" in detail(admin_client, second)
    assert "req_again" in detail(admin_client, row)


def test_an_abandoned_hedge_attempt_is_shown_with_its_cost(admin_client: Client):
    row = logged(
        provider="quick",
        attempts=hedged_request().attempts,
        cost_usd=Decimal("0.1"),
        charged_usd=Decimal("0.2"),
    )
    text = detail(admin_client, row)
    assert "about $0.04" in text and "about 100 input tokens" in text
    assert re.search(r"cancelled after [\d.]+ m?s, another target was faster", text)
    assert 'class="err"' not in text and 'class="bad"' not in text, "it is no failure"
    assert re.search(r"Hedge loser.{0,60}\$0\.080? extra, estimated", normalize_html(text))
    assert "Hedge loser" not in detail(admin_client, logged("req_b"))


def test_the_source_of_token_counts_is_shown(admin_client: Client):
    labels = {"reported": "reported by provider", "estimated": "estimated by the gateway<"}
    labels |= {"estimated_size": "estimated from size", "": "unknown"}
    for source, label in labels.items():
        assert label in normalize_html(
            detail(admin_client, logged(f"req_{source}", usage_source=source))
        )


def test_a_cached_response_shows_its_age_and_saved_cost(admin_client: Client):
    row = logged(cache="hit", cache_age_s=420, saved_usd=Decimal("0.5"))
    assert "hit, 7\xa0minutes old, $0.50 saved" in detail(admin_client, row)
    assert "bypassed" in detail(admin_client, logged("req_1", cache="bypass"))


def test_the_outcome_of_a_request_is_in_words(admin_client: Client) -> None:
    row = logged("req_gone", outcome="client_closed", status=499)
    page = admin_client.get(f"/console/requests/{row.pk}?tab=overview").content.decode()
    assert '<dd title="outcome:client_closed">client disconnected</dd>' in page
