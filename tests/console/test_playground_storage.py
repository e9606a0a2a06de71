"""Stored playground data: runs, presets, votes and daily spend."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from console.models import PlaygroundPreset, PlaygroundRun, Vote
from console.playground import budget, history, run_store, scoreboard
from console.playground.column_stats import fastest_column, spread
from console.playground.events import (
    EventLog,
    compress_frames,
    decode_events,
    decompress_frames,
    encode_event,
)
from console.playground.plan_parser import parse
from gateway.models import RequestLog
from gateway.relay.exchange.log_record import HEDGE_LOSER

pytestmark = pytest.mark.django_db

# These runs are stored, but call no model.
NOT_STARTED: Any = None


@pytest.fixture
def admin_user() -> User:
    return User.objects.create_superuser("ada", password="correct horse battery")


@pytest.fixture
def viewer_user() -> User:
    return User.objects.create_user("vic", password="correct horse battery")


def document(prompt: str = "Hello") -> dict[str, Any]:
    columns = [{"id": "A", "model": "one"}, {"id": "B", "model": "two"}]
    return {"columns": columns, "messages": [{"role": "user", "content": prompt}]}


def create_run(user: User, prompt: str = "Hello") -> PlaygroundRun:
    body = document(prompt)
    run = run_store.create_run(NOT_STARTED, user, parse(body), body)
    return PlaygroundRun.objects.get(uuid=UUID(run.id))


def log_spend(usd: str, session: str, **more: Any) -> None:
    values = {"started_at": timezone.now(), "key_prefix": "playground", **more}
    RequestLog.objects.create(request_id=session, session=session, cost_usd=Decimal(usd), **values)


# --- runs -----------------------------------------------------------------------------------


def test_a_run_is_listed_by_its_last_question(admin_user: User) -> None:
    row = create_run(admin_user, "  Why is\n the sky " + "blue " * 100)
    assert row.title.startswith("Why is the sky blue")
    assert len(row.title) <= 120
    assert row.summary == {"models": ["one", "two"]}


def test_a_finished_run_is_read_as_it_was_emitted(admin_user: User) -> None:
    body = document()
    run = run_store.create_run(NOT_STARTED, admin_user, parse(body), body)
    run.emit("start", {"col": "A", "n": 0, "model": "one"})
    run.emit("delta", {"col": "A", "n": 0, "kind": "text", "text": "Hi\n\nthere"})
    run.summary = {"columns": []}
    run_store.DatabaseRunStore().save(run)
    row = PlaygroundRun.objects.get(uuid=UUID(run.id))
    assert row.ended_at is not None
    (result,) = run_store.results_of(row).of_column("A")
    assert (result.model, result.text) == ("one", "Hi\n\nthere")
    assert [kind for kind, _ in decode_events(decompress_frames(bytes(row.events)))][-1] == "done"


def test_a_stop_request_reaches_the_process_of_the_run(admin_user: User) -> None:
    body = document()
    run = run_store.create_run(NOT_STARTED, admin_user, parse(body), body)
    assert run_store.DatabaseRunStore().stops(run) == []
    for column in ("A", "A", "*"):
        PlaygroundRun.objects.request_stop(UUID(run.id), column)
    assert run_store.DatabaseRunStore().stops(run) == ["A", "*"]


def test_a_run_without_heartbeat_is_interrupted(admin_user: User) -> None:
    body = document()
    run = run_store.create_run(NOT_STARTED, admin_user, parse(body), body)
    long_ago = timezone.now() - dt.timedelta(minutes=5)
    PlaygroundRun.objects.update(created_at=long_ago)

    def status() -> str:
        return str(history.page(admin_user, None)()["runs"][0]["status"])

    assert status() == "Interrupted"
    run_store.DatabaseRunStore().stops(run)
    assert status() == "Running"
    PlaygroundRun.objects.update(heartbeat_at=long_ago)
    assert status() == "Interrupted"
    before_the_clock_was_set_back = timezone.now() + dt.timedelta(hours=1)
    PlaygroundRun.objects.update(heartbeat_at=before_the_clock_was_set_back)
    assert status() == "Interrupted"


def test_the_events_of_a_run_that_died_with_its_process_end(
    admin_user: User, client: Client
) -> None:
    body = document()
    run = run_store.create_run(NOT_STARTED, admin_user, parse(body), body)
    PlaygroundRun.objects.update(created_at=timezone.now() - dt.timedelta(minutes=5))
    client.force_login(admin_user)
    response = client.get(f"/console/playground/runs/{run.id}/events?after=7")

    async def read() -> bytes:
        return b"".join([part async for part in response.streaming_content])

    text = async_to_sync(read)().decode()
    assert "event: done" in text
    assert '"interrupted":true' in text.replace(" ", "")


def test_only_the_newest_runs_of_a_user_are_stored(admin_user: User, viewer_user: User) -> None:
    other = create_run(viewer_user)
    run_ids = [create_run(admin_user, str(number)).pk for number in range(5)]
    assert PlaygroundRun.objects.prune(admin_user.pk, kept_runs=3) == 2
    assert list(
        PlaygroundRun.objects.visible_to(admin_user).listed().values_list("pk", flat=True)
    ) == [
        *reversed(run_ids[2:]),
        other.pk,
    ]
    assert PlaygroundRun.objects.prune(admin_user.pk, kept_runs=3) == 0


def test_a_list_reads_neither_documents_nor_events(admin_user: User) -> None:
    create_run(admin_user)
    row = PlaygroundRun.objects.visible_to(admin_user).listed().get()
    assert row.get_deferred_fields() == {"document", "events"}


def test_a_stored_stream_round_trips_and_a_damaged_one_raises() -> None:
    frames = [encode_event(n, "delta", {"text": "line\n\nline ☃"}) for n in range(1, 4)]
    blob = compress_frames(frames)
    assert decompress_frames(blob) == frames
    assert decompress_frames(b"") == []
    for damaged in (blob[:-4], b"\0" + blob, blob[:10]):
        with pytest.raises(ValueError, match="stored run"):
            decompress_frames(damaged)


def test_a_stream_too_large_to_store_is_cut_at_an_event_boundary(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frames = [encode_event(n, "delta", {"text": "x" * 100}) for n in range(1, 10)]
    monkeypatch.setattr("console.playground.events.MAX_STORED_BYTES", 5 * len(frames[0]))
    assert decompress_frames(compress_frames(frames)) == frames[:5]


async def test_followers_receive_every_event_once_and_the_end() -> None:
    log = EventLog()
    log.add("run", {"id": "x"})
    events_stream = log.follow()
    assert b"event: run" in await anext(events_stream)
    log.add("start", {})
    log.add("end", {})
    frames = await anext(events_stream)
    assert frames.count(b"event: ") == 2
    log.close()
    assert [part async for part in events_stream] == []


# --- presets --------------------------------------------------------------------------------


def test_preset_versions_are_numbered_by_user_and_name(admin_user: User, viewer_user: User) -> None:
    keep = PlaygroundPreset.objects.save_version
    saved_versions = [
        keep(user, name, {}) for user in (admin_user, viewer_user) for name in ("x", "x", "y")
    ]
    assert [(p.owner_id == admin_user.pk, p.name, p.version) for p in saved_versions] == [
        (True, "x", 1),
        (True, "x", 2),
        (True, "y", 1),
        (False, "x", 1),
        (False, "x", 2),
        (False, "y", 1),
    ]
    newest = PlaygroundPreset.objects.owned_by(admin_user).newest()
    assert [(p.name, p.version) for p in newest] == [("x", 2), ("y", 1)]


# --- votes ----------------------------------------------------------------------------------


def vote(models: str, winner: str = "", *, tie: bool = False) -> Vote:
    return Vote(candidates=models.split(), winner=winner, tie=tie)


def test_a_vote_for_the_winner_raises_its_rating_and_all_bad_changes_none() -> None:
    a, b, c = scoreboard.table([vote("a b c", "a"), vote("a b", "a"), vote("b c")])
    assert [(r["model"], r["votes"], r["wins"], r["losses"], r["bad"]) for r in (a, b, c)] == [
        ("a", 2, 2, 0, 0),
        ("c", 2, 0, 1, 1),
        ("b", 3, 0, 2, 1),
    ]
    assert a["win_rate"] == 1.0
    assert a["rating"] > 1000 > b["rating"] >= c["rating"]


def test_a_tie_of_equals_leaves_their_ratings() -> None:
    rows = scoreboard.table([vote("a b", tie=True)])
    assert {row["rating"] for row in rows} == {1000}
    assert {row["win_rate"] for row in rows} == {0.5}


# --- money ----------------------------------------------------------------------------------


def test_spend_counts_for_its_user_and_day(admin_user: User, viewer_user: User) -> None:
    yesterday = timezone.now() - dt.timedelta(days=1, minutes=1)
    prefix = budget.session_prefix(admin_user.pk)
    log_spend("1.5", prefix + "run-1-A")
    log_spend("0.25", prefix + "run-1-B", outcome="client_closed")
    # A replay on a route that asked a second target: both are paid.
    loser = {"target": "p/m", "provider": "p", "model": "m", "dialect": "openai_chat"}
    loser |= {"error_kind": HEDGE_LOSER, "cost_usd": "0.5"}
    log_spend("0.75", prefix + "replay", key_prefix="replay", attempts=[loser])
    log_spend("9", prefix + "run-0-A", started_at=yesterday)
    log_spend("9", prefix + "run-2-A", key_prefix="sk-dgm-x")
    log_spend("2", budget.session_prefix(viewer_user.pk) + "run-3-A")
    log_spend("2", f"playground-{admin_user.pk}0-run-4-A")
    assert budget.spent_usd(admin_user.pk) == Decimal("3")
    assert budget.remaining_usd(admin_user.pk) == Decimal("2")
    assert budget.remaining_usd(viewer_user.pk) == Decimal(3)


def test_spend_above_the_limit_leaves_zero(admin_user: User) -> None:
    log_spend("7", budget.session_prefix(admin_user.pk) + "run-1-A")
    assert budget.remaining_usd(admin_user.pk) == 0
    assert "$5" in budget.budget_exceeded_message()


# --- medians --------------------------------------------------------------------------------


def test_the_spread_ignores_unknown_values() -> None:
    value_spread = spread([3, None, 1, 2, 10])
    assert value_spread == {"median": 2.5, "min": 1, "max": 10, "q1": 1.75, "q3": 4.75, "count": 4}
    assert spread([None]) is None
    assert spread([4.0]) == {
        "median": 4.0,
        "min": 4.0,
        "max": 4.0,
        "q1": 4.0,
        "q3": 4.0,
        "count": 1,
    }


def test_a_single_or_tied_response_is_not_marked_fastest() -> None:
    def column(col: str, value: float | None) -> dict[str, Any]:
        return {"col": col, "total_ms": None if value is None else {"median": value}}

    assert fastest_column([column("A", 5), column("B", 3), column("C", None)], "total_ms") == "B"
    assert fastest_column([column("A", 5)], "total_ms") is None
    assert fastest_column([column("A", 5), column("B", 5)], "total_ms") is None
