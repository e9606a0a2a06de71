"""No value of a client or an upstream prevents writing the row of a request."""

from __future__ import annotations

import itertools
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import store
from gateway.models import RequestLog
from gateway.relay.exchange.log_record import Attempt, LogRecord
from gateway.relay.journal.segments import MAX_ADAPTATIONS, Segment, encode_record, read_abandoned
from tests.store.factories import make_record

pytestmark = pytest.mark.django_db

_NUMBERS = itertools.count()
HOSTILE: list[Any] = [
    2**63,
    2**64,
    -(2**70),
    10**400,
    1e300,
    -1e300,
    float("nan"),
    float("inf"),
    "\0",
    "a\0b",
    "\ud800",
    "x\udfff\0",
    "x" * 50_000,
    "é" * 300,
    b"bytes",
    object(),
    {"\ud800": "\0"},
    {1: {2: [3]}},
    Decimal("NaN"),
    Decimal("1e500"),
]


def nested(depth: int) -> Any:
    value: Any = "deep"
    for _ in range(depth):
        value = [value]
    return value


values = st.recursive(
    st.sampled_from(HOSTILE) | st.integers() | st.text(st.characters(), max_size=20) | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
texts = st.text(st.characters(), max_size=300) | st.sampled_from(["\0", "\ud800" * 70, "x" * 5000])
counts = st.none() | st.integers() | st.sampled_from([2**63, 2**70, -(2**70), 10**30])
costs = (
    st.none()
    | st.decimals()
    | st.sampled_from([Decimal("1e500"), Decimal("-1e30"), Decimal("NaN")])
)
times = st.none() | st.floats()
adaptations = st.lists(
    st.fixed_dictionaries(
        {"field": texts, "action": st.just("dropped"), "note": texts, "from": values}
    ),
    max_size=3,
)


@st.composite
def records(draw: Any) -> LogRecord:
    names = ("route", "requested_model", "model", "provider", "error", "session", "upstream_id")
    names += ("user_agent", "finish", "service_tier", "price_source", "usage_source", "key_prefix")
    fields: dict[str, Any] = {name: draw(texts) for name in names}
    for name in ("input_tokens", "output_tokens", "cache_read_tokens", "reasoning_tokens"):
        fields[name] = draw(counts)
    for name in ("cost_usd", "charged_usd", "saved_usd"):
        fields[name] = draw(costs)
    attempt = Attempt(
        target=draw(texts), provider=draw(texts), model=draw(texts), dialect="openai_chat"
    )
    attempt.first_byte_ms, attempt.cost_usd = draw(times), draw(costs)
    attempt.input_tokens, attempt.error_kind = draw(counts), draw(st.none() | texts)
    fields |= {"attempts": [attempt], "adaptations": draw(adaptations)}
    fields |= {"first_token_ms": draw(times), "tags": draw(st.lists(texts, max_size=2))}
    return make_record(f"fuzz_{next(_NUMBERS)}", **fields)


def round_trip_records(tmp_path: Path, *items: LogRecord) -> list[RequestLog]:
    """A function that returns records after a round trip through a journal file."""
    segment = Segment(tmp_path)
    for record in items:
        segment.append(encode_record(record))
    segment.close()
    with read_abandoned(segment.path) as records:
        replayed = list(records)
    segment.path.unlink()
    assert [record.id for record in replayed] == [record.id for record in items]
    store.write(list(items))  # as the queue has them
    store.write(replayed)  # as the file has them: the same rows
    rows = {row.request_id: row for row in RequestLog.objects.all()}
    assert rows.keys() >= {record.id for record in items}
    return [rows[record.id] for record in items]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=st.lists(records(), min_size=1, max_size=4))
def test_any_record_becomes_a_row(tmp_path: Path, records: list[LogRecord]) -> None:
    round_trip_records(tmp_path, make_record(f"good_{next(_NUMBERS)}"), *records)


@pytest.mark.parametrize("field", ["from", "to"])
def test_a_hostile_value_in_an_adaptation_does_not_lose_the_row(tmp_path: Path, field: str) -> None:
    depths = [nested(depth) for depth in (10, 500, 10_000)]
    records = [
        make_record(
            f"hostile_{field}_{index}",
            input_tokens=5,
            cost_usd=Decimal("0.25"),
            adaptations=[{"field": "x", "action": "dropped", "note": "n", field: value}],
        )
        for index, value in enumerate([*HOSTILE, *depths])
    ]
    for row in round_trip_records(tmp_path, *records):
        assert (row.input_tokens, row.cost_usd) == (5, Decimal("0.25")), row.request_id
        assert row.adaptations[0]["field"] == "x", row.request_id


def test_counts_beyond_the_database_are_clamped(tmp_path: Path) -> None:
    (row,) = round_trip_records(
        tmp_path, make_record("clamped", output_tokens=2**70, input_tokens=-(2**70))
    )
    assert row.output_tokens == 2**63 - 1
    assert row.input_tokens == -(2**63 - 1)


def test_only_the_first_of_very_many_adaptations_are_logged(tmp_path: Path) -> None:
    rows = [{"field": f"x[{n}]", "action": "dropped", "note": "no"} for n in range(5000)]
    (row,) = round_trip_records(tmp_path, make_record("many", adaptations=rows))
    assert row.adaptations[:MAX_ADAPTATIONS] == rows[:MAX_ADAPTATIONS]
    assert "4000 more" in row.adaptations[-1]["note"]
