"""Full-text search finds a request by its words, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection

from gateway import store
from gateway.models import RequestBody, RequestLog, RequestText, UnindexedRequest
from gateway.relay.exchange.log_record import Bodies
from gateway.store.search import MAX_DIRECT_BYTES
from gateway.store.search_text import MAX_CHARS, search_text
from tests.store.factories import STARTED, bodies, logged_exchange, make_record

pytestmark = pytest.mark.django_db
# A prompt with it is indexed later than its row.
PADDING = " padding" * (MAX_DIRECT_BYTES // 8)


def matching_ids(text: str) -> list[str]:
    rows = RequestLog.objects.matching(text=text).newest(50)
    return [row.request_id for row in rows]


def log(*records: Any) -> None:
    store.write(list(records))
    store.index_pending()


def test_words_of_prompt_and_response_find_a_request() -> None:
    log(
        logged_exchange("why is the sky blue?", "Rayleigh scattering", id="sky"),
        logged_exchange("hello", id="other"),
    )
    assert matching_ids("SKY") == ["sky"]
    assert matching_ids("rayleigh") == ["sky"]
    assert matching_ids("sky rayleigh") == ["sky"]
    assert matching_ids("sky hello") == []


@pytest.mark.parametrize(
    ("text", "query", "hit"),
    [
        ("open gateway/models.py now", "gateway/models.py", True),
        ("open gateway/models.py now", "models", True),
        ("models of a gateway", "gateway/models.py", False),
        ("one two three", '"two three"', True),
        ("one two three", '"three two"', False),
        ("one two three", "three two", True),
        ("Crème brûlée", "creme brulee", True),
        ("creme brulee", "CRÈME", True),
        ("Straße", "strasse", True),
        ("今日は天気がいい", "天気", True),
        ("今日は天気がいい", "気天", False),
        ("Привет, мир", "МИР", True),
        ("call get_weather(city)", "get_weather", True),
        ("error 0x1f at 10:32", "0x1f", True),
        ("version 1.2.3-rc1", "1.2.3-rc1", True),
        ("a-b", "a b", True),
        ("tabs\tand\nlines", '"and lines"', True),
    ],
    ids=str,
)
def test_words_are_matched_the_same_on_every_database(text: str, query: str, hit: bool) -> None:
    log(logged_exchange(text, id="it"))
    assert matching_ids(query) == (["it"] if hit else [])


@pytest.mark.parametrize(
    "query",
    [
        '"',
        "AND",
        "NEAR(a b)",
        "a*",
        "-a",
        "document:a",
        "' OR 1=1 --",
        "\\",
        "(",
        "a & | b",
        "%",
        "!",
    ],
)
def test_a_query_is_text_and_never_syntax(query: str) -> None:
    log(logged_exchange("nothing of the kind", id="it"))
    assert matching_ids(query) == []


def test_a_query_without_terms_finds_nothing() -> None:
    log(logged_exchange("hello", id="it"))
    assert matching_ids("?!") == []


def test_matches_are_newest_first_and_filters_apply_with_text() -> None:
    log(*(logged_exchange("same words", id=f"req_{n}", route=f"r{n % 2}") for n in range(6)))
    assert matching_ids("words") == [f"req_{n}" for n in reversed(range(6))]
    of_route = RequestLog.objects.matching(text="words", route="r1")
    assert [row.request_id for row in of_route.newest(2)] == ["req_5", "req_3"]
    cursor = of_route.newest(2)[1].pk
    assert [row.request_id for row in of_route.older_than_row(cursor).newest(2)] == ["req_1"]


def test_the_text_of_stream_chunks_is_joined_for_search() -> None:
    stream = (
        b'data: {"choices":[{"delta":{"content":"extra"}}]}\n\n'
        b'data: {"choices":[{"delta":{"content":"ordinary thing"}}]}\n\n'
        b"data: [DONE]\n\n"
    )
    log(make_record("it", bodies=bodies({"messages": []}, stream)))
    assert matching_ids('"extraordinary thing"') == ["it"]


def test_arguments_of_a_streamed_call_are_found() -> None:
    stream = (
        b'event: content_block_delta\ndata: {"delta":{"type":"input_json_delta","partial_json":"{\\"ci"}}\n\n'
        b'event: content_block_delta\ndata: {"delta":{"partial_json":"ty\\": \\"Reykjavik\\"}"}}\n\n'
    )
    log(make_record("it", bodies=bodies({"messages": []}, stream)))
    assert matching_ids("city reykjavik") == ["it"]


def test_text_split_across_json_lines_is_found() -> None:
    """Ollama's streams are JSON lines."""
    lines = b'{"message":{"content":"Caf\\u00e9 Reyk"}}\n{"message":{"content":"javik"}}\n'
    log(make_record("it", bodies=Bodies(client_response=lines)))
    assert matching_ids("caf\u00e9 reykjavik") == ["it"]


def test_the_texts_of_a_truncated_response_are_not_joined() -> None:
    truncated = b'{"content":[{"text":"first"},{"text":"second"},{"te'
    log(make_record("it", bodies=Bodies(client_response=truncated)))
    assert matching_ids("first second") == ["it"]


def test_a_passed_through_response_is_found() -> None:
    passed = Bodies(upstream_response=b'{"content":[{"text":"verbatim"}]}', same_response=True)
    log(make_record("it", bodies=passed))
    assert matching_ids("verbatim") == ["it"]


def test_an_error_is_found_without_bodies() -> None:
    log(make_record("it", error="the upstream said: quota exhausted"), make_record("other"))
    assert matching_ids("quota") == ["it"]
    assert RequestText.objects.count() == 1


def test_a_body_that_is_no_json_is_found_by_its_end() -> None:
    cut = b'{"messages":[{"content":"' + b"filler " * 20_000 + b"needle"
    log(make_record("it", bodies=Bodies(client_request=cut)))
    assert matching_ids("needle") == ["it"]


def test_of_a_long_conversation_the_end_is_indexed() -> None:
    turns = [{"role": "user", "content": f"turn{n} " + "word " * 2000} for n in range(50)]
    text = search_text(bodies({"messages": turns, "system": "system prompt"}, {}), "")
    assert "turn49" in text
    assert "turn0 " not in text
    assert len(text) <= MAX_CHARS + 2


def test_deep_nesting_does_not_hide_the_text_before_it() -> None:
    """Near the interpreter's limit, a body can be decoded but not walked."""
    for depth in range(850, 1000):
        nested = b'{"a":' * depth + b"1" + b"}" * depth
        request = b'{"messages":[{"content": "findme" }], "x": %s}' % nested
        stream = b'data: {"delta":{"content":"streamed"}}\n\ndata: %s\n\n' % nested
        text = search_text(Bodies(client_request=request, client_response=stream), "")
        assert "findme" in text, depth
        assert "streamed" in text, depth


def test_alternative_tokens_and_usage_are_not_indexed() -> None:
    alternatives = {"content": [{"token": "Berlin", "top_logprobs": [{"token": "Bonn"}]}]}
    choice = {"message": {"content": "Berlin"}, "logprobs": alternatives}
    response = {"choices": [choice], "usage": {"service_tier": "standard"}}
    assert search_text(bodies({}, response), "").split() == ["Berlin"]


def test_base64_is_not_indexed() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "iVBOR" * 5000}}
    text = search_text(bodies({"messages": [{"content": [image, {"text": "a cat"}]}]}, {}), "")
    assert "a cat" in text
    assert "iVBOR" not in text


@pytest.mark.parametrize("start", [0, 1, 255, 256, 257])
def test_a_long_run_is_not_indexed_wherever_it_starts(start: int) -> None:
    padding = "a " * (start // 2) + "b" * (start % 2)
    longest_text, long_text = (
        search_text(bodies({"prompt": f"{padding}\n{'x' * length}\tend"}, {}), "")
        for length in (511, 512)
    )
    assert "x" * 511 in longest_text
    assert "x" not in long_text
    assert long_text.split()[-1] == "end"


def test_a_damaged_body_does_not_block_the_queue(caplog: pytest.LogCaptureFixture) -> None:
    store.write(
        [
            logged_exchange("lost" + PADDING, id="bad", error="but known"),
            logged_exchange("kept" + PADDING, id="good"),
        ]
    )
    RequestBody.objects.filter(log__request_id="bad").update(blob=b"\x78nonsense")
    assert store.index_pending() == 2
    assert not UnindexedRequest.objects.exists()
    assert (matching_ids("kept"), matching_ids("known"), matching_ids("lost")) == (
        ["good"],
        ["bad"],
        [],
    )
    assert len(caplog.records) == 1


def test_indexing_runs_in_steps_and_ends() -> None:
    store.write([logged_exchange("hello" + PADDING, id=f"req_{n}") for n in range(7)])
    assert [store.index_pending(limit=3) for _ in range(4)] == [3, 3, 1, 0]
    assert len(matching_ids("hello")) == 7


def test_a_small_request_is_found_as_soon_as_it_is_logged() -> None:
    store.write([logged_exchange("hello", id="small"), logged_exchange("hello" + PADDING, id="b")])
    # PostgreSQL indexes all requests after their rows.
    assert matching_ids("hello") == ([] if connection.vendor == "postgresql" else ["small"])
    store.index_pending()
    assert matching_ids("hello") == ["b", "small"]


def test_a_text_that_cannot_be_extracted_is_queued(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> str:
        raise ValueError

    monkeypatch.setattr("gateway.store.search.search_text", fail)
    store.write([logged_exchange("hello", id="it", error="timeout of the model")])
    assert store.index_pending() == 1
    assert matching_ids("timeout") == ["it"]
    assert len(caplog.records) == 1


def test_nothing_is_indexed_twice() -> None:
    log(logged_exchange("hello", id="it"))
    UnindexedRequest.objects.create(log=RequestLog.objects.get())
    store.index_pending()
    assert matching_ids("hello") == ["it"]
    assert RequestText.objects.count() == 1


def test_pruned_requests_are_not_found() -> None:
    log(
        logged_exchange("old words", id="old"),
        logged_exchange("new words", id="new", started_at=STARTED + 100),
    )
    moment = datetime.fromtimestamp(STARTED + 50, UTC)
    assert RequestLog.objects.prune(moment, batch_size=1) == 1
    assert matching_ids("words") == ["new"]
    assert RequestBody.objects.count() == RequestText.objects.count() == 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM gateway_requesttext")
        assert cursor.fetchone()[0] == 1
