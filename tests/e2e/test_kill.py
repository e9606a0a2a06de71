"""A killed process loses no answered request."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from gateway.management.start.restarts import MAX_DEATHS
from tests.e2e.stack import Gateway, litellm_config, strict_config
from tests.fakes import ScriptedResponse, StrictAnthropic, StrictDeepSeek, StrictOpenAI
from tests.waits import wait_until

pytestmark = pytest.mark.e2e

CLIENTS = 6
# How many requests are answered before and after something is killed.
RESPONSES_EACH = 100


def send_requests(
    gateway: Gateway, finished: threading.Event, answered_ids: list[str], stream: bool
) -> None:
    """Send requests until stopped; record the ids of complete responses."""
    headers = {"authorization": f"Bearer {gateway.key}"}
    body = {
        "model": "claude-sonnet-4-5",
        "messages": [{"role": "user", "content": "Under load"}],
        "stream": stream,
    }
    with httpx.Client(base_url=gateway.url, headers=headers, timeout=30) as client:
        while not finished.is_set():
            id_ = f"kill-{uuid.uuid4().hex}"
            try:
                response = client.post(
                    "/v1/chat/completions", json=body, headers={"x-request-id": id_}
                )
            except httpx.HTTPError:
                continue
            is_complete = (
                response.text.endswith("data: [DONE]\n\n") if stream else bool(response.json())
            )
            if response.status_code == 200 and is_complete:
                answered_ids.append(id_)


def find_logged_ids(gateway: Gateway, texts: list[str]) -> set[str]:
    """Return which of these ids the log has."""
    values = set()
    headers = {"authorization": f"Bearer {gateway.key}"}
    with httpx.Client(base_url=gateway.url, headers=headers, timeout=30) as client:
        for id_ in texts:
            if client.get(f"/api/requests/{id_}").status_code == 200:
                values.add(id_)
    return values


def missing_log_ids(gateway: Gateway, answered_ids: list[str]) -> set[str]:
    """Return the answered requests that neither the log nor a journal has."""
    gateway.wait_for_log()
    return set(answered_ids) - find_logged_ids(gateway, answered_ids)


@contextmanager
def background_clients(gateway: Gateway) -> Iterator[list[str]]:
    """Send requests in the background; yield the ids of complete responses, and stop."""
    answered_ids: list[str] = []
    finished = threading.Event()
    threads = [
        threading.Thread(
            target=send_requests, args=(gateway, finished, answered_ids, number % 2 == 0)
        )
        for number in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    try:
        yield answered_ids
    finally:
        finished.set()
        for thread in threads:
            thread.join(60)


@pytest.fixture
def upstreams() -> Iterator[tuple[StrictOpenAI, StrictAnthropic, StrictDeepSeek]]:
    with StrictOpenAI() as openai, StrictAnthropic() as anthropic, StrictDeepSeek() as deepseek:
        anthropic.script.on("Under load", ScriptedResponse(text="Yes."))
        openai.script.on("Finish this", ScriptedResponse(text="word " * 40, pace_s=0.02))
        yield openai, anthropic, deepseek


def test_every_answered_request_is_in_the_log_after_a_kill(
    tmp_path: Path, upstreams: tuple[StrictOpenAI, StrictAnthropic, StrictDeepSeek]
) -> None:
    gateway = Gateway(tmp_path, litellm_config(strict_config(*upstreams))).start()
    try:
        with background_clients(gateway) as answered_ids:
            wait_until(lambda: len(answered_ids) >= RESPONSES_EACH)
            gateway.kill()
        gateway.start()
        missing_ids = missing_log_ids(gateway, answered_ids)
        assert not missing_ids, f"{len(missing_ids)} of {len(answered_ids)} are lost"
    finally:
        gateway.kill()


def test_a_killed_worker_is_replaced_without_losing_log_rows(
    tmp_path: Path, upstreams: tuple[StrictOpenAI, StrictAnthropic, StrictDeepSeek]
) -> None:
    gateway = Gateway(tmp_path, litellm_config(strict_config(*upstreams)), workers=2).start()
    try:
        with background_clients(gateway) as answered_ids:
            wait_until(lambda: len(answered_ids) >= RESPONSES_EACH)
            before = gateway.workers()
            os.kill(before[0], signal.SIGKILL)
            maximum = len(answered_ids) + RESPONSES_EACH
            wait_until(lambda: len(answered_ids) >= maximum)
            wait_until(
                lambda: before[0] not in (now := gateway.workers()) and len(now) == len(before)
            )
        line = f"a worker process died pid={before[0]} exit_code=-9"
        wait_until(lambda: line in gateway.output)
        missing_ids = missing_log_ids(gateway, answered_ids)
        assert not missing_ids, f"{len(missing_ids)} of {len(answered_ids)} are lost"
    finally:
        gateway.kill()


@pytest.mark.wide(every=0)
def test_a_worker_stalled_for_seconds_is_not_replaced(
    tmp_path: Path, upstreams: tuple[StrictOpenAI, StrictAnthropic, StrictDeepSeek]
) -> None:
    """A busy machine takes seconds to import the program, before which no worker answers."""
    gateway = Gateway(tmp_path, litellm_config(strict_config(*upstreams)), workers=2).start()
    try:
        before = gateway.workers()
        os.kill(before[0], signal.SIGSTOP)
        time.sleep(8)  # uvicorn kills a worker that does not answer for 5 seconds
        os.kill(before[0], signal.SIGCONT)
        time.sleep(1)  # two checks of the supervisor
        assert gateway.workers() == before
        assert "a worker process died" not in gateway.output
    finally:
        gateway.kill()


@pytest.mark.wide(every=0)
def test_repeatedly_crashing_workers_end_the_server(
    tmp_path: Path, upstreams: tuple[StrictOpenAI, StrictAnthropic, StrictDeepSeek]
) -> None:
    gateway = Gateway(tmp_path, litellm_config(strict_config(*upstreams)), workers=2).start()
    reasons: set[str] = set()

    def killed_until_it_ends() -> bool:
        for pid in gateway.workers()[1:] if not reasons else gateway.workers():
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(httpx.HTTPError):
            reasons.update(httpx.get(f"{gateway.url}/health/ready", timeout=2).json()["reasons"])
        return gateway.status is not None

    try:
        wait_until(killed_until_it_ends, within_s=120)
        assert gateway.status == 3
        assert "workers_missing" in reasons
        assert gateway.output.count("a worker process died") == MAX_DEATHS
        assert "the gateway stops: 10 workers died within 5 minutes" in gateway.output
    finally:
        gateway.kill()


def test_running_streams_finish_at_sigterm(
    tmp_path: Path, upstreams: tuple[StrictOpenAI, StrictAnthropic, StrictDeepSeek]
) -> None:
    gateway = Gateway(tmp_path, litellm_config(strict_config(*upstreams))).start()
    stopped: list[int] = []
    try:
        headers = {"authorization": f"Bearer {gateway.key}"}
        body = {
            "model": "gpt-4o",
            "messages": [{"role": "user", "content": "Finish this"}],
            "stream": True,
        }
        url = f"{gateway.url}/v1/chat/completions"
        with httpx.stream("POST", url, json=body, headers=headers, timeout=30) as response:
            pieces = response.iter_text()
            text = next(pieces)
            stopping = threading.Thread(target=lambda: stopped.append(gateway.stop()))
            stopping.start()
            text += "".join(pieces)
        stopping.join(60)
        assert text.endswith("data: [DONE]\n\n")
        # uvicorn ends itself by the signal that it was sent, once it has drained.
        assert stopped in ([0], [-signal.SIGTERM])
    finally:
        gateway.kill()
