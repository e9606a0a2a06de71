"""A gateway with a full disk keeps serving, reports it, and loses no log row."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.stack import Gateway, litellm_config, strict_config
from tests.fakes import ScriptedResponse, StrictAnthropic, StrictDeepSeek, StrictOpenAI
from tests.small_disk import SmallDisk, small_disk
from tests.waits import wait_until

pytestmark = pytest.mark.e2e

REQUESTS = 200


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 48) as created_small_disk:
        yield created_small_disk


@pytest.fixture
def gateway(tmp_path: Path, disk: SmallDisk) -> Iterator[Gateway]:
    with StrictOpenAI() as openai, StrictAnthropic() as anthropic, StrictDeepSeek() as deepseek:
        anthropic.script.on("Under load", ScriptedResponse(text="Yes. " * 400))
        config = litellm_config(strict_config(openai, anthropic, deepseek))
        started = Gateway(tmp_path, config)
        started.data_dir = disk.path / "data"
        yield started
        started.kill()


def send_requests(gateway: Gateway, number: int) -> list[str]:
    """Send `number` requests and return the ids of the answered ones."""
    headers = {"authorization": f"Bearer {gateway.key}"}
    messages = [{"role": "user", "content": "Under load"}]
    body = {"model": "claude-sonnet-4-5", "messages": messages}
    answered_ids = []
    with httpx.Client(base_url=gateway.url, headers=headers) as client:
        for n in range(number):
            id_header = {"x-request-id": f"full-{n}"}
            response = client.post("/v1/chat/completions", json=body, headers=id_header)
            assert response.status_code == 200, response.text
            answered_ids.append(id_header["x-request-id"])
    return answered_ids


def readiness(gateway: Gateway) -> tuple[int, list[str]]:
    response = httpx.get(f"{gateway.url}/health/ready")
    return response.status_code, response.json()["reasons"]


@pytest.mark.parametrize("ended_by", ["SIGKILL", "SIGTERM"])
@pytest.mark.wide(every=2)
def test_requests_during_a_full_disk_are_logged_afterwards(
    disk: SmallDisk, gateway: Gateway, ended_by: str
) -> None:
    gateway.start()
    assert readiness(gateway) == (200, [])
    send_requests(gateway, 1)
    gateway.wait_for_log()
    disk.fill()
    answered_ids = send_requests(gateway, REQUESTS)
    wait_until(lambda: "log_writes_failing" in readiness(gateway)[1])
    gateway.stop() if ended_by == "SIGTERM" else gateway.kill()
    disk.free()
    gateway.start()
    wait_until(lambda: readiness(gateway) == (200, []))
    gateway.wait_for_log()
    with httpx.Client(base_url=gateway.url) as client:
        headers = {"authorization": f"Bearer {gateway.key}"}
        responses = [client.get(f"/api/requests/{id_}", headers=headers) for id_ in answered_ids]
    failed_urls = [response.url for response in responses if response.status_code != 200]
    assert not failed_urls, f"{len(failed_urls)} of {len(answered_ids)} are lost"


def test_a_first_start_on_a_full_disk_reports_the_cause(disk: SmallDisk, gateway: Gateway) -> None:
    gateway.data_dir.mkdir(mode=0o700)
    disk.fill()
    with pytest.raises(RuntimeError, match="No space left|disk is full"):
        gateway.start()
    assert gateway.status not in (None, 0)
    assert "Traceback" not in gateway.output


def test_a_later_start_on_a_full_disk_serves_and_reports_the_cause(
    disk: SmallDisk, gateway: Gateway
) -> None:
    gateway.start()
    gateway.stop()
    disk.fill()
    gateway.start(ready=False)
    wait_until(lambda: "log_disk_full" in readiness(gateway)[1])
    send_requests(gateway, 3)
    wait_until(lambda: readiness(gateway)[0] == 503)
    disk.free()
    wait_until(lambda: readiness(gateway) == (200, []))
    assert gateway.row("full-2")["status"] == 200


def test_a_later_start_on_a_read_only_disk_serves_and_reports_the_cause(
    disk: SmallDisk, gateway: Gateway
) -> None:
    gateway.start()
    wait_until(lambda: (gateway.data_dir / "last-registry").exists())
    gateway.stop()
    disk.make_read_only()
    gateway.start(ready=False)
    send_requests(gateway, 3)
    wait_until(lambda: readiness(gateway)[0] == 503)
    assert "log_not_on_disk" in readiness(gateway)[1]
    assert "Read-only file system" in gateway.output
    assert "Traceback" not in gateway.output


def test_a_later_start_on_a_locked_database_serves(disk: SmallDisk, gateway: Gateway) -> None:
    gateway.start()
    wait_until(lambda: (gateway.data_dir / "last-registry").exists())
    gateway.stop()
    path = gateway.data_dir / "dragoman.sqlite3"
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    gateway.start(ready=False)
    assert "the database is unavailable (database is locked)" in gateway.output
    send_requests(gateway, 3)
    blocker.close()
    assert gateway.row("full-2")["status"] == 200
