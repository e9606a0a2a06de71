"""Shutdown: not ready before the listener closes, and workers end with their supervisor."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import httpx
import pytest

from tests.e2e.test_up import _is_worker, children, failed_start, running_up
from tests.waits import wait_until

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(("workers", "number"), [("1", signal.SIGHUP), ("2", signal.SIGTERM)])
def test_a_draining_gateway_answers_but_is_not_ready(
    tmp_path: Path, workers: str, number: signal.Signals
) -> None:
    """A closed terminal (SIGHUP) ends one process as SIGTERM does; `test_kill` has SIGTERM."""
    with running_up(tmp_path / "data", "--workers", workers, DRAGOMAN_DRAIN_WAIT="60") as gateway:
        with httpx.Client(base_url=gateway.base) as client:
            assert client.get("/health/ready").headers.get("connection") != "close"
            gateway.process.send_signal(number)
            wait_until(lambda: client.get("/health/ready").status_code == 503)
            # Workers are told one after the other.
            wait_until(lambda: client.get("/health/readiness").status_code == 503)
        response = gateway.chat(gateway.key)
        assert (response.status_code, response.headers["connection"]) == (200, "close")
        page = httpx.get(f"{gateway.base}/docs")
        assert (page.status_code, page.headers["connection"]) == (200, "close")
        assert gateway.end() == 0  # a second signal ends the wait


def test_workers_end_with_their_supervisor(tmp_path: Path) -> None:
    with running_up(tmp_path / "data", "--workers", "2") as gateway:
        workers = [pid for pid in children(gateway.process.pid) if _is_worker(pid)]
        assert len(workers) == 2
        os.kill(gateway.process.pid, signal.SIGKILL)
        gateway.process.wait(10)
        wait_until(lambda: not any(_runs(pid) for pid in workers))
        with socket.socket() as second:
            second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            second.bind(("127.0.0.1", int(gateway.base.rpartition(":")[2])))


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_forwarded_headers_are_used_only_from_a_trusted_proxy(tmp_path: Path) -> None:
    headers = {"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "https"}
    with running_up(tmp_path / "data", DRAGOMAN_TRUSTED_PROXIES="127.0.0.2, 10.0.0.0/8") as gateway:
        for proxy, is_trusted in (("127.0.0.2", True), ("127.0.0.1", False)):
            through = httpx.HTTPTransport(local_address=proxy)
            with httpx.Client(transport=through, base_url=gateway.base, headers=headers) as client:
                response = client.get("/docs")
                assert ("strict-transport-security" in response.headers) is is_trusted
                # Metrics are open to this machine, and not to whom a proxy brings.
                assert client.get("/metrics").status_code == (401 if is_trusted else 200)
        assert gateway.end() == 0


def test_an_invalid_trusted_proxy_address_is_named_at_startup(tmp_path: Path) -> None:
    status, output = failed_start(tmp_path / "data", DRAGOMAN_TRUSTED_PROXIES="nginx")
    assert status == 1
    assert "DRAGOMAN_TRUSTED_PROXIES: must contain IP addresses or networks" in output
