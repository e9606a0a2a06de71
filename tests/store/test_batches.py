"""Batch costs in the database: counted once, for the key that created the batch."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from gateway import store
from gateway.accounting.spend import spend
from gateway.models import ApiKey, ProviderResource, RequestLog, Team, UsageHour
from gateway.relay.exchange.log_record import LogRecord
from gateway.routing.limits import UNITS, Budget
from gateway.routing.snapshot import Snapshot
from tests.store.test_both_databases import POSTGRES, ROOT, postgres

__all__ = ["postgres"]


def row(batch: str, key_id: int, name: str = "r", **values: Any) -> LogRecord:
    fields: dict[str, Any] = {
        "id": f"{name}-{batch}",
        "started_at": time.time(),
        "endpoint": "batch",
        "key_id": key_id or None,
        "provider": "up",
        "model": "gpt-4.1",
        "status": 200,
        "input_tokens": 10,
        "output_tokens": 5,
        "cost_usd": Decimal("0.01"),
        "charged_usd": Decimal("0.02"),
        "upstream_id": batch,
    }
    return LogRecord(**(fields | values))


def settle(batch: str = "batch_1", owner: int = 1, name: str = "r") -> list[LogRecord]:
    return store.settle_batch("up", batch, owner, lambda key: [row(batch, key, name)])


@pytest.mark.django_db
def test_a_batch_is_counted_once() -> None:
    store.remember_owner("up", 5, ["batch_1"])
    assert [record.key_id for record in settle(name="a")] == [5], "the key that made it pays"
    assert settle(name="b") == []
    assert settle("batch_2", owner=9)[0].key_id == 9
    assert settle("batch_3", owner=0)[0].key_id is None
    assert RequestLog.objects.count() == UsageHour.objects.totals().requests == 3


@pytest.mark.django_db
def test_the_same_id_at_another_provider_is_another_batch() -> None:
    settle()
    assert store.settle_batch("else", "batch_1", 1, lambda key: [row("x", key, "else")])


@pytest.mark.django_db
def test_a_batch_whose_rows_fail_can_be_settled_again() -> None:
    def broken(key: int) -> list[LogRecord]:
        raise OSError("the registry is gone")

    with pytest.raises(OSError, match="registry"):
        store.settle_batch("up", "batch_1", 1, broken)
    assert len(settle()) == 1


@pytest.mark.django_db
def test_a_file_is_known_as_the_results_of_a_batch() -> None:
    store.remember_owner("up", 1, ["file-out", "file-in"])
    store.record_results_file("up", "file-out", "batch_1", 1)
    store.record_results_file("up", "file-out", "batch_1", 1)
    store.record_results_file("up", "file-of-nobody", "batch_2", 0)
    batches = [store.batch_of("up", f"file-{name}") for name in ("out", "in", "of-nobody", "else")]
    assert batches == ["batch_1", "", "batch_2", ""]
    assert store.batch_of("else", "file-out") == ""
    assert ProviderResource.objects.filter(upstream_id="file-out").count() == 1


@pytest.mark.django_db
def test_budgets_and_usage_reports_include_batch_costs() -> None:
    team = Team.objects.create(name="t", budget_total_usd=1)
    key = ApiKey.objects.create(name="k", prefix="sk-k", digest=b"k", team=team)
    settle(owner=key.pk)
    snapshot = store.load_snapshot()
    assert isinstance(snapshot, Snapshot)
    now = timezone.now()
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    assert (f"team:{team.pk}/usd/total", 1, UNITS // 50) in store.recorded_spend(snapshot, now)
    (line,) = spend(day - dt.timedelta(days=1), now + dt.timedelta(days=1), ("team", "key"))
    assert (line["team"], line["key"], line["charged_usd"]) == ("t", "k", Decimal("0.02"))
    assert Budget().total_usd is None


def race_results(url: str, data_dir: Path) -> dict[str, Any]:
    environment = {**os.environ, "DRAGOMAN_DATA_DIR": str(data_dir), "PYTHONPATH": str(ROOT)}
    environment.pop("DATABASE_URL", None)
    if url:
        environment["DATABASE_URL"] = url
    run = subprocess.run(
        [sys.executable, "-m", "tests.store.racing"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return dict(json.loads(run.stdout))


def check(outcome: dict[str, Any]) -> None:
    from tests.store.racing import BATCHES, PROCESSES

    assert outcome["ends"] == [0] * PROCESSES
    # Every second one had been made with the key 7; of the others who settles says whose.
    expected = sorted([f"batch_{n}", 3 if n % 2 else 7] for n in range(BATCHES))
    assert outcome["rows"] == expected
    assert outcome["units"] == BATCHES * UNITS // 100


@pytest.mark.timeout(120)
def test_of_several_processes_on_sqlite_one_counts_each_batch(tmp_path: Path) -> None:
    check(race_results("", tmp_path))


@pytest.mark.postgres
@pytest.mark.timeout(120)
def test_of_several_processes_on_postgresql_one_counts_each_batch(
    postgres: str, tmp_path: Path
) -> None:
    check(race_results(postgres or POSTGRES, tmp_path))


@pytest.mark.django_db
def test_guardrails_of_a_file_include_those_of_every_owner() -> None:
    store.remember_owner("openai", 1, ["file-in"])
    store.record_guardrails("openai", 1, "file-in", ["b", "a"])
    store.record_guardrails("openai", 2, "file-in", ["c"])
    store.record_guardrails("openai", 0, "file-out", ["a"])
    store.remember_owner("openai", 1, ["file-other"])
    ids = ["file-in", "file-out", "file-other", "none"]
    assert store.guardrails_of("openai", ids) == {"file-in": ["a", "b", "c"], "file-out": ["a"]}
    assert store.guardrails_of("together", ids) == {}
    assert store.owned_ids("openai", 1, ids) == {"file-in", "file-other"}
