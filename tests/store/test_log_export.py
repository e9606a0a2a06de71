"""The exported request log: files by day, in a folder or on S3, and failures."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from gateway import store
from gateway.alerts.conditions import _log_export_conditions
from gateway.config import environment
from gateway.log_export import batches, exporter
from gateway.log_export.destination import Destination, ExportError
from gateway.models import LogExport, RequestLog
from gateway.store.alert_thresholds import AlertThresholds
from tests.ports import free_port
from tests.store.factories import STARTED, logged_exchange, make_record
from tests.store.test_both_databases import POSTGRES, ROOT, postgres

__all__ = ["postgres"]

pytestmark = pytest.mark.django_db
DAY_S = 86_400


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """Return all rows below a folder in the order of the file names."""
    bodies = []
    for path in sorted(folder.rglob("*.jsonl.gz")):
        bodies += [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    return bodies


def export(folder: Path, *, bodies: bool = False) -> int:
    return exporter.export_complete_rows(Destination(folder.as_uri()), bodies=bodies)


def test_rows_are_written_once_by_day(tmp_path: Path) -> None:
    late_values = {
        "started_at": STARTED + DAY_S,
        "charged_usd": Decimal("0.0123456789"),
        "tags": ["a"],
    }
    store.write([make_record("req_1"), make_record("req_2", **late_values)])
    assert export(tmp_path) == 2
    store.write([make_record("req_3")])
    assert export(tmp_path) == 1
    assert export(tmp_path) == 0
    first, second, third = RequestLog.objects.order_by("pk")
    day, next_day = (row.started_at.date() for row in (first, second))
    names = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.gz"))
    file_name = f"requests-{1:012}-{second.pk:012}.jsonl.gz"
    alone = f"requests-{third.pk:012}-{third.pk:012}.jsonl.gz"
    assert names == sorted(
        [f"date={day}/{file_name}", f"date={next_day}/{file_name}", f"date={day}/{alone}"]
    )
    rows = {row["request_id"]: row for row in read_rows(tmp_path)}
    assert rows.keys() == {"req_1", "req_2", "req_3"}
    assert rows["req_2"]["charged_usd"] == 0.0123456789
    assert rows["req_2"]["tags"] == ["a"]
    assert dt.datetime.fromisoformat(rows["req_1"]["started_at"]) == first.started_at
    assert "bodies" not in rows["req_1"]


def test_bodies_are_exported_only_if_requested(tmp_path: Path) -> None:
    store.write([logged_exchange("a secret plan", "yes", id="req_1"), make_record("req_2")])
    export(tmp_path, bodies=True)
    with_bodies, without = read_rows(tmp_path)
    assert "a secret plan" in with_bodies["bodies"]["client_request"]
    assert without["bodies"] is None


def test_a_large_log_becomes_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_ROWS", 2)
    store.write([make_record(f"req_{number}") for number in range(5)])
    assert export(tmp_path) == 5
    assert len(list(tmp_path.rglob("*.gz"))) == 3
    monkeypatch.setattr(batches, "MAX_BYTES", 1)
    store.write([make_record("req_6"), make_record("req_7")])
    assert export(tmp_path) == 2
    assert len(list(tmp_path.rglob("*.gz"))) == 5
    assert len({row["id"] for row in read_rows(tmp_path)}) == 7


def test_an_interrupted_batch_is_written_again_under_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of the batch is stored: later rows do not change it."""
    late_values = {"started_at": STARTED + DAY_S}
    store.write([make_record("req_1"), make_record("req_2", **late_values)])
    written: list[str] = []
    write = Destination.write

    def fail_at_the_second(self: Destination, path: str, content: bytes) -> None:
        if written:
            raise ExportError("the disk is full")
        written.append(path)
        write(self, path, content)

    with monkeypatch.context() as broken:
        broken.setattr(Destination, "write", fail_at_the_second)
        with pytest.raises(ExportError):
            export(tmp_path)
    store.write([make_record("req_3")])
    assert export(tmp_path) == 3
    assert sorted(row["request_id"] for row in read_rows(tmp_path)) == ["req_1", "req_2", "req_3"]


def test_a_failure_is_stored_and_raises_an_alert(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store.write([make_record("req_1")])
    with pytest.raises(ExportError):
        export(tmp_path / "file" / "folder")
    destination = Destination((tmp_path / "gone").as_uri())
    (tmp_path / "gone").rmdir()
    (tmp_path / "gone").write_text("a file")
    for _ in range(2):
        with pytest.raises(ExportError):
            exporter.export_complete_rows(destination, bodies=False)
    state = LogExport.objects.get()
    assert state.error
    assert (state.exported_id, state.lease_until) == (0, None)
    thresholds, now = AlertThresholds(), timezone.now()
    later = now + dt.timedelta(minutes=thresholds.log_export_minutes, seconds=1)
    assert list(_log_export_conditions(now, thresholds)) == []
    (condition,) = _log_export_conditions(later, thresholds)
    assert "no export has succeeded" in condition.message
    (tmp_path / "gone").unlink()
    assert export(tmp_path / "gone") == 1
    assert list(_log_export_conditions(later, thresholds)) == []


def test_one_process_exports_at_a_time(tmp_path: Path) -> None:
    store.write([make_record("req_1")])
    LogExport.objects.create(pk=1, lease_until=timezone.now() + exporter.LEASE)
    assert export(tmp_path) == 0
    LogExport.objects.update(lease_until=timezone.now() - dt.timedelta(seconds=1))
    assert export(tmp_path) == 1


def test_a_killed_export_is_continued_after_the_clock_was_set_back(tmp_path: Path) -> None:
    store.write([make_record("req_1")])
    LogExport.objects.create(pk=1, lease_until=timezone.now() + dt.timedelta(days=365))
    assert export(tmp_path) == 1


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A bucket `logs` on a local S3 server."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", free_port(), verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test-secret",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket="logs")
    yield client
    client.close()
    server.stop()


def test_rows_reach_an_s3_server(bucket: Any) -> None:
    store.write([make_record("req_1")])
    assert exporter.export_complete_rows(Destination("s3://logs/dragoman"), bodies=False) == 1
    (item,) = bucket.list_objects_v2(Bucket="logs")["Contents"]
    assert item["Key"].startswith("dragoman/date=")
    content = bucket.get_object(Bucket="logs", Key=item["Key"])["Body"].read()
    assert json.loads(gzip.decompress(content))["request_id"] == "req_1"
    with pytest.raises(ExportError) as error:
        Destination("s3://nowhere").write("a", b"a")
    assert "NoSuchBucket" in str(error.value) or "404" in str(error.value)
    assert "test-secret" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("/var/log", "must begin with"),
        ("http://host/x", "must begin with"),
        ("file://relative", "absolute folder"),
        ("s3://", "must name a bucket"),
        ("s3://key:secret@bucket", "must not contain a credential"),
    ],
)
def test_an_invalid_export_destination_stops_the_start(url: str, reason: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=reason) as error:
        environment.parse_variable("DRAGOMAN_LOG_EXPORT_URL", url, environment.object_storage_url)
    assert "secret" not in str(error.value)


LOWER_ID_LATER = """
import os, sys, threading, time
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway.config.settings")
import django
from django.conf import settings
settings.DATABASES["default"]["TEST"] = {"NAME": f"test_export_{os.getpid()}"}
django.setup()
from django.db import connections, transaction
from django.test.utils import setup_databases, teardown_databases
old = setup_databases(verbosity=0, interactive=False)
try:
    from django.utils import timezone
    from gateway.log_export import exporter
    from gateway.log_export.destination import Destination
    from gateway.models import RequestLog
    def add(request_id):
        RequestLog.objects.create(request_id=request_id, started_at=timezone.now())
    destination = Destination(sys.argv[1])
    begun, end = threading.Event(), threading.Event()
    def slow():
        with transaction.atomic():
            add("req_slow")
            begun.set()
            end.wait(30)
        connections.close_all()
    thread = threading.Thread(target=slow)
    thread.start()
    begun.wait(30)
    add("req_fast")
    counts = [exporter.export_complete_rows(destination, bodies=False) for _ in range(3)]
    end.set()
    thread.join()
    # Transactions of other databases on the server also hold the rows back, until they end.
    until = time.monotonic() + 60
    while sum(counts) < 2 and time.monotonic() < until:
        counts.append(exporter.export_complete_rows(destination, bodies=False))
        time.sleep(0.05)
    print(counts)
finally:
    connections.close_all()
    teardown_databases(old, verbosity=0)
"""


@pytest.mark.postgres
def test_a_lower_id_that_becomes_visible_later_is_not_skipped(
    postgres: str, tmp_path: Path
) -> None:
    environ = {
        **os.environ,
        "DATABASE_URL": POSTGRES,
        "DRAGOMAN_DATA_DIR": str(tmp_path / "data"),
        "PYTHONPATH": str(ROOT),
    }
    folder = tmp_path / "log"
    run = subprocess.run(
        [sys.executable, "-c", LOWER_ID_LATER, folder.as_uri()],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert sum(json.loads(run.stdout)) == 2
    assert json.loads(run.stdout)[:3] == [0, 0, 0]
    assert {row["request_id"] for row in read_rows(folder)} == {"req_slow", "req_fast"}
