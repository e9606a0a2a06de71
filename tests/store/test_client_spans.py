"""Client spans in the database: stored once, merged by trace, deleted with the log."""

from __future__ import annotations

import datetime as dt
import json
import time
from typing import Any

import pytest
from django.utils import timezone

from gateway import store
from gateway.client_spans.span import ClientSpan, ClientTrace, SpanBatch
from gateway.models import ClientSpan as SpanRow
from gateway.models import ClientTrace as TraceRow
from gateway.store import client_spans

pytestmark = pytest.mark.django_db


def span(span_id: str = "s1", trace_id: str = "t1", **changes: Any) -> ClientSpan:
    start = changes.pop("started_at", time.time())
    fields = {"started_at": start, "ended_at": start + 1, "name": "work", **changes}
    return ClientSpan(trace_id=trace_id, span_id=span_id, **fields)


def write(
    *spans: ClientSpan,
    key_id: int = 1,
    content: dict[str, Any] | None = None,
    **trace: str,
) -> None:
    names = dict.fromkeys([span.trace_id for span in spans] or ["t1"])
    packed = None if content is None else json.dumps(content).encode()
    store.write_spans(
        SpanBatch(
            traces=[ClientTrace(trace_id=name, **trace) for name in names],
            spans=list(spans),
            packed=[packed] * len(spans),
            key_id=key_id,
            key_prefix=f"sk-{key_id}",
        )
    )


def test_a_repeated_export_stores_each_span_once() -> None:
    second = span()
    write(second, content={"input": "x"})
    write(second, span("s2"))
    assert SpanRow.objects.count() == 2
    assert TraceRow.objects.count() == 1
    assert store.span_content(SpanRow.objects.get(span_id="s1")) == {"input": "x"}


def test_nothing_has_a_nul_character() -> None:
    """PostgreSQL refuses it in a query."""
    write(span())
    for values in ({"session": "a\0"}, {"key": "\0"}, {"service": "\0"}, {"text": "t\0"}):
        assert not TraceRow.objects.matching(**values), values
    assert len(TraceRow.objects.with_trace_ids(["\0", "t1"])) == 1
    assert len(SpanRow.objects.of_traces(["\0", "t1"])) == 1


def test_fields_of_later_requests_are_added_to_the_trace() -> None:
    start = time.time() - 100
    write(span("s1", started_at=start + 5))
    write(name="Workflow", session="talk")
    write(span("s2", started_at=start, ended_at=start + 50))
    row = TraceRow.objects.get()
    assert (row.name, row.session) == ("Workflow", "talk")
    assert row.started_at.timestamp() == pytest.approx(start)
    assert row.ended_at.timestamp() == pytest.approx(start + 50)


def test_the_service_of_a_trace_is_that_of_its_root() -> None:
    """Spans of several programs arrive in any order."""

    def service(name: str) -> dict[str, Any]:
        return {"attributes": {"service.name": name}}

    write(span("s2", parent_id="s1", **service("tool-server")))
    assert TraceRow.objects.get().service == "tool-server"
    write(span("s3", parent_id="s1", **service("other")), span("s1", **service("planner")))
    assert TraceRow.objects.get().service == "planner"
    write(span("s4", parent_id="s1", **service("tool-server")))
    write(span("s5"))
    assert TraceRow.objects.get().service == "planner"


def test_a_trace_with_a_failed_span_remains_failed() -> None:
    write(span("s1"))
    assert not TraceRow.objects.get().failed
    write(span("s2", error="no data"))
    write(span("s3"))
    assert TraceRow.objects.get().failed


def test_a_key_cannot_change_the_trace_of_another() -> None:
    write(span(name="own"), key_id=1, name="Own")
    write(span(name="foreign"), key_id=2, name="Foreign")
    assert TraceRow.objects.get(key_id=1).name == "Own"
    assert SpanRow.objects.get(key_id=1).name == "own"
    assert SpanRow.objects.count() == 2


def test_large_content_is_compressed_and_read_again() -> None:
    write(span(), content={"output": "y" * 9000})
    row = SpanRow.objects.get()
    assert len(row.content) < 1000
    assert store.span_content(row) == {"output": "y" * 9000}


def test_texts_that_a_database_rejects_are_cleaned() -> None:
    write(span(name="a\0b", error="\ud800", attributes={"x": "\0"}), name="n\0")
    row = SpanRow.objects.get()
    assert (row.name, row.error, row.attributes) == ("ab", "?", {"x": ""})


def test_a_clock_far_ahead_does_not_keep_a_span_forever() -> None:
    write(span(started_at=time.time() + 10**8))
    assert SpanRow.objects.get().started_at < timezone.now() + dt.timedelta(days=2)


def test_many_traces_in_one_request_are_stored() -> None:
    write(*[span(f"s{n}", f"t{n}") for n in range(900)])
    write(*[span(f"r{n}", f"t{n}") for n in range(900)], session="talk")
    assert SpanRow.objects.count() == 1800
    assert TraceRow.objects.of_session("talk").count() == 900


def test_a_request_that_failed_in_the_middle_is_completed_by_its_repetition(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_spans, "SPANS_PER_TRANSACTION", 2)
    spans = [span(f"s{n}") for n in range(5)]
    spans[3].attributes = {"x": object()}
    with pytest.raises(TypeError):
        write(*spans)
    assert SpanRow.objects.count() == 2
    spans[3].attributes = {}
    write(*spans)
    assert SpanRow.objects.count() == 5
    assert TraceRow.objects.count() == 1


def test_spans_expire_with_rows_and_content_with_bodies() -> None:
    store.set_options({"row_days": 30, "body_days": 7})
    now = time.time()
    for days in (1, 10, 40):
        old = span(f"s{days}", f"t{days}", started_at=now - days * 86_400)
        write(old, content={"input": "x"})
    store.prune()
    assert set(SpanRow.objects.values_list("span_id", "content_omitted")) == {
        ("s1", ""),
        ("s10", "expired"),
    }
    assert store.span_content(SpanRow.objects.get(span_id="s10")) == {}
    assert set(TraceRow.objects.values_list("trace_id", flat=True)) == {"t1", "t10"}
