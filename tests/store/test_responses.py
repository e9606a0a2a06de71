"""Stored responses in the database: idempotent, private to their owner, deletable."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from django.utils import timezone

from gateway import store
from gateway.models import StoredResponse as ResponseRow
from gateway.relay.exchange.log_record import LogRecord
from gateway.relay.exchange.stored_response import StoredResponse
from gateway.store.retention import prune

pytestmark = pytest.mark.django_db


def stored_response(**changes: Any) -> StoredResponse:
    base = StoredResponse(
        id="resp_1",
        owner="key:1",
        created_at=time.time(),
        input=b'"hello"',
        response=b'{"id":"resp_1","output":[]}',
    )
    return msgspec.structs.replace(base, **changes)


def make_record(**changes: Any) -> LogRecord:
    return LogRecord(id="req_1", started_at=time.time(), **changes)


def test_a_response_is_written_with_the_log_and_can_be_read() -> None:
    stored = stored_response(
        previous_items=b"[]",
        provider="p",
        native_provider="m",
        response=b'{"x":"' + b"y" * 5000 + b'"}',
    )
    store.write([make_record(stored_response=stored)])
    response = store.load_response("key:1", "resp_1")
    assert response is not None
    assert msgspec.structs.replace(
        response, created_at=0, heartbeat_at=0
    ) == msgspec.structs.replace(stored, created_at=0, heartbeat_at=0)
    assert abs(response.created_at - stored.created_at) < 0.01


def test_a_replay_of_the_journal_changes_nothing() -> None:
    rows = [make_record(stored_response=stored_response())]
    store.write(rows)
    store.write(rows)
    assert ResponseRow.objects.count() == 1


def test_an_id_belongs_to_its_owner() -> None:
    store.save_response(stored_response())
    store.save_response(stored_response(owner="team:1", input=b'"other"'))
    assert store.load_response("key:2", "resp_1") is None
    stored = store.load_response("team:1", "resp_1")
    assert stored is not None
    assert stored.input == b'"other"'


def test_an_id_that_an_upstream_uses_twice_is_the_newest() -> None:
    store.write(
        [
            make_record(stored_response=stored_response()),
            make_record(stored_response=stored_response(input=b'"second"')),
        ]
    )
    stored = store.load_response("key:1", "resp_1")
    assert stored is not None
    assert stored.input == b'"second"'


def test_a_deleted_response_is_not_written_again() -> None:
    store.save_response(stored_response(deleted=True))
    store.write([make_record(stored_response=stored_response())])
    stored = store.load_response("key:1", "resp_1")
    assert stored is not None
    assert stored.deleted
    assert not stored.response


def test_a_cancelled_response_stays_cancelled_and_can_be_deleted() -> None:
    store.save_response(stored_response(status="in_progress"))
    store.cancel_response("key:1", "resp_1")
    assert store.refresh_heartbeats([("key:1", "resp_1")]) == ["resp_1"]
    store.save_response(stored_response(status="completed"))
    stored = store.load_response("key:1", "resp_1")
    assert stored is not None
    assert stored.status == "cancelled"
    store.save_response(stored_response(deleted=True))
    stored = store.load_response("key:1", "resp_1")
    assert stored is not None
    assert stored.deleted


def test_a_finished_response_cannot_be_cancelled() -> None:
    store.save_response(stored_response())
    store.cancel_response("key:1", "resp_1")
    assert store.refresh_heartbeats([("key:1", "resp_1")]) == []
    stored = store.load_response("key:1", "resp_1")
    assert stored is not None
    assert stored.status == "completed"


def test_a_heartbeat_updates_a_background_response() -> None:
    long_ago = time.time() - 1000
    store.save_response(stored_response(status="in_progress", heartbeat_at=long_ago))
    assert store.refresh_heartbeats([("key:1", "resp_1")]) == []
    stored = store.load_response("key:1", "resp_1")
    assert stored is not None
    assert time.time() - stored.heartbeat_at < 60


def test_expired_responses_are_pruned() -> None:
    store.save_response(stored_response())
    store.save_response(stored_response(id="resp_old", created_at=time.time() - 400 * 86400))
    prune()
    assert list(ResponseRow.objects.values_list("response_id", flat=True)) == ["resp_1"]


def test_a_rejected_response_row_does_not_affect_others() -> None:
    bad = stored_response(id="resp_bad", status="x" * 30 + "\0")
    store.write(
        [
            make_record(stored_response=bad),
            LogRecord(id="req_2", started_at=time.time(), stored_response=stored_response()),
        ]
    )
    assert store.load_response("key:1", "resp_1") is not None


def test_times_of_stored_responses_are_timezone_aware() -> None:
    store.save_response(stored_response())
    response_row = ResponseRow.objects.get()
    assert abs((timezone.now() - response_row.created_at).total_seconds()) < 5
