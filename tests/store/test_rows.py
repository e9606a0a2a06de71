"""Journal batches become rows: once each, complete, whatever one of them contains."""

from __future__ import annotations

import threading
import time
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
    connection,
    connections,
)
from hypothesis import given
from hypothesis import strategies as st

from gateway import store
from gateway.models import (
    ApiKey,
    RequestBody,
    RequestLog,
    RequestText,
    UnindexedRequest,
    UsageHour,
)
from gateway.relay.exchange.log_record import Attempt, Bodies, Chunk
from gateway.store import rows
from gateway.store.bodies import MIN_COMPRESS_BYTES, pack_bodies, unpack_bodies
from gateway.store.columns import columns, row_of
from tests.store.factories import STARTED, make_record

pytestmark = pytest.mark.django_db

FULL = {
    "endpoint": "/v1/messages",
    "client_dialect": "anthropic_messages",
    "upstream_dialect": "openai_chat",
    "key_id": 7,
    "key_prefix": "sk-dgm-abcdefgh",
    "route": "fast",
    "requested_model": "claude-sonnet-4-5",
    "provider": "openai",
    "model": "gpt-5",
    "target_id": 3,
    "stream": True,
    "passthrough": False,
    "status": 200,
    "outcome": "ok",
    "finish": "stop",
    "duration_ms": 1234.5,
    "first_token_ms": 99.25,
    "overhead_ms": 0.75,
    "input_tokens": 100,
    "cache_read_tokens": 80,
    "cache_write_tokens": None,
    "output_tokens": 20,
    "reasoning_tokens": 0,
    "usage_source": "reported",
    "cost_usd": Decimal("0.0000012345"),
    "price_source": "genai-prices",
    "charged_usd": Decimal("0.0000014814"),
    "service_tier": "flex",
    "tags": ["ci", "team-a"],
    "session": "s-1",
    "user_agent": "claude-cli/2.1",
    "client_ip": "::1",
    "upstream_id": "chatcmpl-1",
}


def ids() -> list[str]:
    return list(RequestLog.objects.order_by("pk").values_list("request_id", flat=True))


def test_a_record_round_trips() -> None:
    store.write([make_record(**FULL)])
    row = RequestLog.objects.get()
    assert {name: getattr(row, name) for name in FULL} == FULL
    assert row.started_at.timestamp() == STARTED


def test_attempts_and_adaptations_are_stored_as_json() -> None:
    attempt = Attempt(target="a/b", provider="a", model="b", dialect="openai_chat", status=429)
    note = {"field": "top_k", "action": "dropped", "note": "it has no such field"}
    store.write([make_record(attempts=[attempt], adaptations=[note])])
    row = RequestLog.objects.get()
    assert row.attempts == [msgspec.to_builtins(attempt)]
    assert row.adaptations == [note]


def test_unknown_usage_is_stored_as_null_and_not_zero() -> None:
    store.write([make_record()])
    row = RequestLog.objects.get()
    assert (row.cost_usd, row.input_tokens, row.first_token_ms) == (None, None, None)


def test_an_empty_batch_writes_nothing() -> None:
    store.write([])
    assert ids() == []


def test_a_replayed_batch_changes_nothing() -> None:
    batch = [make_record(f"req_{n}", bodies=Bodies(client_request=b"{}")) for n in range(5)]
    store.write(batch)
    store.index_pending()
    store.write(batch)
    store.write(batch[2:4])
    assert ids() == [f"req_{n}" for n in range(5)]
    assert RequestBody.objects.count() == 5
    assert not UnindexedRequest.objects.exists()


def test_an_entry_twice_in_one_batch_is_one_row() -> None:
    store.write([make_record("same"), make_record("same"), make_record("other")])
    assert ids() == ["same", "other"]


@pytest.mark.parametrize("size", [1, 2, 53])
def test_a_batch_of_any_size_is_written_completely(size: int) -> None:
    names = [f"req_{n}" for n in range(size)]
    body = {name: Bodies(client_request=name.encode()) for name in names[::2]}
    written_names = names[: size // 3]
    store.write([make_record(name, bodies=body.get(name)) for name in written_names])
    store.write([make_record(name, bodies=body.get(name)) for name in names])
    assert ids() == names
    for row in RequestLog.objects.all():
        assert store.load_bodies(row.pk) == body.get(row.request_id)
    if connection.vendor == "postgresql":
        assert UnindexedRequest.objects.count() == len(body)
    else:  # small bodies are indexed with their rows
        assert RequestText.objects.count() == len(body)
        assert not UnindexedRequest.objects.exists()


@given(
    st.floats(0, 4e9)
    | st.builds(
        lambda second, fraction: second + fraction,
        st.integers(0, 2**31),
        st.sampled_from([0.0, 1e-7, 5e-7, 1.5e-6, 0.999999, 0.9999995, 0.9999999]),
    )
)
def test_a_time_is_stored_as_django_stores_it(timestamp: float) -> None:
    started = columns().started
    time_text = row_of(make_record(started_at=timestamp), textual=True)[started]
    time_value = row_of(make_record(started_at=timestamp), textual=False)[started]
    assert time_text == str(time_value.replace(tzinfo=None))


def test_a_client_request_id_used_twice_creates_two_rows() -> None:
    store.write(
        [make_record("mine", started_at=STARTED), make_record("mine", started_at=STARTED + 1)]
    )
    assert ids() == ["mine", "mine"]


POISON: dict[str, dict[str, Any]] = {
    "NUL in a text": {"requested_model": "a\0b"},
    "NUL in an attempt": {
        "attempts": [Attempt(target="t", provider="p", model="m", dialect="d", error="a\0b")]
    },
    "NUL and a backslash in an adaptation": {"adaptations": [{"note": "a\\u0000b \0"}]},
    "half a surrogate": {"error": "\ud800"},
    "a text of a megabyte": {"requested_model": "x" * 1_000_000},
    "a count beyond 64 bits": {"input_tokens": 10**30},
    "a negative count beyond 64 bits": {"output_tokens": -(10**30)},
    "a status beyond 32 bits": {"status": 2**40},
    "no duration": {"duration_ms": float("nan")},
    "an endless duration": {"duration_ms": float("inf")},
    "an absurd cost": {"cost_usd": Decimal("1e30")},
    "a cost that is no number": {"cost_usd": Decimal("NaN")},
}


@pytest.mark.parametrize("values", POISON.values(), ids=POISON)
def test_an_invalid_record_is_repaired_without_losing_others(values: dict[str, Any]) -> None:
    others = [f"req_{n}" for n in range(40)]  # more than one statement's
    batch = [make_record(name) for name in others]
    batch.insert(20, make_record("poison", **values))
    store.write(batch)
    assert sorted(ids()) == sorted([*others, "poison"])
    assert sum(row.requests for row in UsageHour.objects.all()) == 41
    # What was written can be read again.
    assert [row.request_id for row in RequestLog.objects.newest(10)]


def test_an_unstorable_record_does_not_affect_others(caplog: pytest.LogCaptureFixture) -> None:
    is_refused = store.write(
        [
            make_record("before"),
            make_record("hopeless", adaptations=[object()]),
            make_record("after"),
        ]
    )
    assert (ids(), is_refused) == (["before", "after"], 1)
    assert [getattr(record, "request_id", None) for record in caplog.records] == [None, "hopeless"]


def test_texts_are_cut_at_their_columns_length() -> None:
    store.write([make_record(requested_model="m" * 500, user_agent="u" * 500)])
    row = RequestLog.objects.get()
    assert (len(row.requested_model), len(row.user_agent)) == (200, 200)


def test_a_cost_too_large_is_unknown() -> None:
    store.write([make_record(cost_usd=Decimal("1e12"))])
    assert RequestLog.objects.get().cost_usd is None


def test_a_failed_write_of_the_log_raises() -> None:
    """Otherwise the journal would discard records that it could write later."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE gateway_requestlog RENAME TO gateway_gone")
    with pytest.raises(DatabaseError):
        store.write([make_record()])


class PostgresError(Exception):
    def __init__(self, sqlstate: str) -> None:
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("error_class", "sqlstate", "is_refused"),
    [
        (OperationalError, "54000", True),  # an index entry that is too large
        (DataError, "22021", True),
        (IntegrityError, "23514", True),
        (InternalError, "25006", False),  # a standby, after a fail-over
        (ProgrammingError, "42501", False),  # no privilege
        (ProgrammingError, "42P01", False),  # no such table
        (OperationalError, "57P01", False),  # the server shuts down
        (OperationalError, None, False),
        (InterfaceError, None, False),
        (DataError, None, True),
    ],
)
def test_a_row_is_refused_only_for_its_values(
    monkeypatch: pytest.MonkeyPatch,
    error_class: type[DatabaseError],
    sqlstate: str | None,
    is_refused: bool,
) -> None:
    """A database that accepts no rows at the moment gets all of them later."""

    def insert(rows_: list[rows.NewRow]) -> None:
        if any(row[0] == "poison" for row, *_ in rows_):
            raise error_class("no") from (PostgresError(sqlstate) if sqlstate else None)

    monkeypatch.setattr(rows, "_insert_rows", insert)
    batch = [make_record("poison"), make_record("good")]
    if is_refused:
        assert store.write(batch) == 1
        return
    with pytest.raises(error_class):
        store.write(batch)


def bodies_of(size: int) -> Bodies:
    return Bodies(
        client_request=b"x" * size,
        upstream_response=b"data: 1\n\n",
        upstream_chunks=[Chunk(1.5, 9)],
        client_headers={"user-agent": "test"},
        same_response=True,
        truncated=["client_request"],
    )


@pytest.mark.parametrize("size", [1, MIN_COMPRESS_BYTES * 50], ids=["small", "large"])
def test_bodies_round_trip(size: int) -> None:
    store.write([make_record(bodies=bodies_of(size))])
    assert store.load_bodies(RequestLog.objects.get().pk) == bodies_of(size)


def test_large_bodies_are_compressed() -> None:
    assert len(pack_bodies(bodies_of(100_000))) < 2_000
    assert pack_bodies(bodies_of(10)) == msgspec.msgpack.encode(bodies_of(10))


def test_a_request_without_bodies_has_none() -> None:
    store.write([make_record()])
    assert store.load_bodies(RequestLog.objects.get().pk) is None


@pytest.mark.parametrize(
    "blob",
    [b"\x78\x01nonsense", b"\xc1", pack_bodies(bodies_of(5000))[:-9]],
    ids=["zlib", "msgpack", "cut"],
)
def test_a_damaged_body_blob_raises_value_error(blob: bytes) -> None:
    with pytest.raises(ValueError, match="stored bodies"):
        unpack_bodies(blob)


def test_a_lists_page_reads_no_body(django_assert_num_queries: Any) -> None:
    store.write([make_record(f"req_{n}", bodies=Bodies(client_request=b"{}")) for n in range(3)])
    with django_assert_num_queries(1) as queries:
        list(RequestLog.objects.newest(50))
    assert "blob" not in queries.captured_queries[0]["sql"]


def last_used_at(key: ApiKey) -> float | None:
    moment = ApiKey.objects.get(pk=key.pk).last_used_at
    return moment.timestamp() if moment else None


def test_the_last_use_of_a_key_is_noted_in_steps_of_an_hour() -> None:
    key, _ = store.create_key("a key")
    last_uses = []
    for later in (0, 60, 3700):
        store.write([make_record(f"req_{later}", key_id=key.pk, started_at=STARTED + later)])
        last_uses.append(last_used_at(key))
    assert last_uses == [STARTED, STARTED, STARTED + 3700]


def test_the_last_use_of_a_key_is_the_latest_of_a_batch() -> None:
    """Rows are in the order in which requests end: a long one comes after later short ones."""
    key, _ = store.create_key("a key")
    store.write(
        [
            make_record("req_short", key_id=key.pk, started_at=STARTED + 600),
            make_record("req_long", key_id=key.pk, started_at=STARTED),
        ]
    )
    assert last_used_at(key) == STARTED + 600


def test_the_last_use_of_a_key_is_no_change_of_the_registry() -> None:
    key, _ = store.create_key("a key")
    before = store.current_version()
    store.write([make_record(key_id=key.pk)])
    assert store.current_version() == before


@pytest.mark.django_db(transaction=True)
def test_a_writer_thread_writes_beside_a_reader() -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for n in range(5):
                store.write([make_record(f"req_{number}_{n}_{i}") for i in range(20)])
                store.index_pending()
                store.current_version()
        except BaseException as error:
            failures.append(error)
        finally:
            connections.close_all()

    # An in-memory SQLite is one connection shared by all threads' caches: one writer there.
    count = 3 if connection.vendor == "postgresql" else 1
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert RequestLog.objects.count() == count * 100


@pytest.mark.bench
def test_a_row_costs_a_fraction_of_an_orm_save() -> None:
    """20 us on SQLite, 8 us of CPU on PostgreSQL; an ORM save takes 400 us."""
    batch = [[make_record(f"req_{n}_{i}", **FULL) for i in range(500)] for n in range(10)]
    started = time.process_time()
    for part in batch:
        store.write(part)
    us_per_row = (time.process_time() - started) / 5000 * 1e6
    assert RequestLog.objects.count() == 5000
    assert us_per_row < 150
