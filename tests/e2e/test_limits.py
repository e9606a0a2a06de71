"""Limits and budgets over several worker processes under load, on each database."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from gateway.api.pages import MAX_PAGE
from gateway.edge.admission import public_prefix
from tests.e2e.stack import Gateway, litellm_config, strict_config
from tests.fakes import ScriptedResponse, StrictAnthropic, StrictDeepSeek, StrictOpenAI
from tests.redis_server import running_server
from tests.test_databases import POSTGRES, is_running
from tests.waits import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

WORKERS = 2
CLIENTS = 8
MODEL = "gpt-4o"
# About three seconds of a stream.
SLOW = {"messages": [{"role": "user", "content": "Take your time"}], "stream": True}
# One that is still under way when its worker is killed.
STREAM_REQUEST = {"messages": [{"role": "user", "content": "Hold the line"}], "stream": True}


class LimitedGateway(Gateway):
    """A gateway of two workers with its own database and possibly Redis."""

    def __init__(self, directory: Path, config: dict[str, Any], **environment: str) -> None:
        super().__init__(directory, config, workers=WORKERS)
        self.more = environment

    def environment(self) -> dict[str, str]:
        return {**super().environment(), **self.more}

    def wait_for_key(self, text: str) -> str:
        """Wait until every worker accepts the key; return the key."""
        # A few times over, so that each worker has been asked.
        wait_until(
            lambda: all(self.ask(text, model="nobody").status_code == 404 for _ in range(12))
        )
        return text

    def ask(self, key: str, client: httpx.Client | None = None, **more: Any) -> httpx.Response:
        body = {
            "model": MODEL,
            "messages": [{"role": "user", "content": "Count me"}],
            "max_tokens": 100,
            **more,
        }
        headers = {"authorization": f"Bearer {key}", "x-request-id": f"limit-{uuid.uuid4().hex}"}
        post = client.post if client is not None else httpx.post
        return post(f"{self.url}/v1/chat/completions", json=body, headers=headers, timeout=60)

    def send_concurrently(self, key: str, requests_per_client: int, **more: Any) -> Counter[int]:
        """Send requests with all clients at once; return the count of each status."""
        counts: Counter[int] = Counter()
        lock = threading.Lock()

        def send_requests() -> None:
            for _ in range(requests_per_client):
                status = self.ask(key, **more).status_code
                with lock:
                    counts[status] += 1

        threads = [threading.Thread(target=send_requests) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        return counts

    def rows(self, key: str) -> list[dict[str, Any]]:
        """Return the logged requests of a key."""
        self.wait_for_log()
        rows: list[dict[str, Any]] = []
        cursor: dict[str, int] = {}
        while True:
            page = self.api("/api/requests", key=public_prefix(key), limit=MAX_PAGE, **cursor)
            rows += page["items"]
            if page["next"] is None:
                return rows
            cursor = {"cursor": page["next"]}

    def tokens(self, key: str) -> int:
        """Return the logged tokens of the key's requests."""
        names = ["input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens"]
        return sum(row[name] or 0 for row in self.rows(key) for name in names)

    def spent(self, key: str) -> Decimal:
        """Return the logged cost of the key's requests."""
        return sum((Decimal(row["cost_usd"] or 0) for row in self.rows(key)), Decimal(0))


@pytest.fixture(params=["sqlite", "postgresql-redis"])
def gateway(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LimitedGateway]:
    with StrictOpenAI() as openai, StrictAnthropic() as anthropic, StrictDeepSeek() as deepseek:
        openai.script.on("Count me", ScriptedResponse(text="One."))
        openai.script.on("Take your time", ScriptedResponse(text="word " * 60, pace_s=0.05))
        openai.script.on("Hold the line", ScriptedResponse(text="word " * 60, pace_s=1))
        config = litellm_config(strict_config(openai, anthropic, deepseek))
        with database_environment(request.param, tmp_path) as environment:
            process = LimitedGateway(tmp_path, config, **environment).start()
            try:
                yield process
            finally:
                process.kill()


@contextmanager
def database_environment(kind: str, directory: Path) -> Iterator[dict[str, str]]:
    """Return the environment variables of the database and Redis."""
    if kind == "sqlite":
        yield {}
        return
    if "TEST_POSTGRES_URL" not in os.environ and not is_running():
        pytest.skip("no PostgreSQL on 127.0.0.1:5432; start one, or set TEST_POSTGRES_URL")
    name = f"limits_{uuid.uuid4().hex[:12]}"
    with running_server(directory) as redis, psycopg.connect(POSTGRES, autocommit=True) as database:
        database.execute(f'CREATE DATABASE "{name}"')
        try:
            base, _, _ = POSTGRES.rpartition("/")
            yield {"DATABASE_URL": f"{base}/{name}", "REDIS_URL": redis.url}
        finally:
            database.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.mark.wide(every=2)
def test_limits_and_budgets_apply_across_workers(gateway: LimitedGateway) -> None:
    """Requests, concurrency and money under load, then the death of a worker."""
    key = gateway.new_key(limits={"requests_per_hour": 60})
    count_by_status = gateway.send_concurrently(key, 15)
    assert count_by_status.keys() == {200, 429}
    assert 60 <= count_by_status[200] <= 60 + WORKERS - 1

    key = gateway.new_key(limits={"concurrency": 3})
    count_by_status = gateway.send_concurrently(key, 2, **SLOW)
    assert count_by_status[200] > 0
    assert count_by_status[429] > 0
    # Nothing is left reserved; another worker learns of it some 50 ms after the last response.
    wait_until(lambda: gateway.ask(key).status_code == 200, within_s=5)

    _check_budget(gateway)
    _check_death(gateway)


def _check_budget(gateway: LimitedGateway) -> None:
    """Assert that a budget is used up, exceeded by at most one request per worker, and released."""
    free = gateway.new_key()
    assert gateway.ask(free).status_code == 200
    spent_usd = gateway.spent(free)
    assert spent_usd > 0
    # In all: a budget of a day would begin anew at midnight.
    key = gateway.new_key(budget={"total_usd": f"{(spent_usd * 40).normalize():f}"})
    counts: Counter[int] = Counter()
    for _ in range(20):
        counts += gateway.send_concurrently(key, 6)
        if gateway.ask(key).json().get("error", {}).get("code") == "insufficient_quota":
            break
    spent = gateway.spent(key)
    assert spent_usd * 40 <= spent <= spent_usd * (40 + WORKERS)
    assert gateway.ask(key).json()["error"]["code"] == "insufficient_quota"


def _check_death(gateway: LimitedGateway) -> None:
    """Assert that a worker killed during requests leaves no reservation."""
    key = gateway.new_key(limits={"concurrency": 4})
    threads = [
        threading.Thread(target=_retry_until_admitted, args=(gateway, key)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    wait_until(lambda: gateway.ask(key).status_code == 429)
    for pid in gateway.workers():
        os.kill(pid, signal.SIGKILL)
    for thread in threads:
        thread.join(60)

    def let_in() -> bool:
        """Return whether the key is admitted after reservations of dead processes are released."""
        with suppress(httpx.HTTPError):
            result = gateway.send_concurrently(key, 1).keys() <= {200, 429}
            return result and gateway.ask(key).status_code == 200
        return False

    wait_until(let_in, within_s=60)


@pytest.mark.wide(every=2)
def test_teams_projects_rotation_and_cut_streams_over_workers(gateway: LimitedGateway) -> None:
    """Shared limits are counted once across workers, and interrupted streams are counted."""
    _check_project(gateway)
    _check_rotation(gateway)
    _check_cut_streams(gateway)


def _check_project(gateway: LimitedGateway) -> None:
    """Assert the limits of a team with one key and a project with two, concurrently."""
    gateway.post("/api/teams", {"name": "blue", "limits": {"requests_per_hour": 50}})
    project = {"name": "app", "parent": "blue", "limits": {"requests_per_hour": 30}}
    gateway.post("/api/teams", project)
    keys = [gateway.new_key(team=team) for team in ("blue", "app", "app")]
    statuses_by_key: dict[str, Counter[int]] = {}

    def send(key: str) -> None:
        statuses_by_key[key] = gateway.send_concurrently(key, 5)

    threads = [threading.Thread(target=send, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(150)
    of_team, *of_project = (statuses_by_key[key][200] for key in keys)
    assert sum(of_project) <= 30 + WORKERS - 1
    assert 50 <= of_team + sum(of_project) <= 50 + WORKERS - 1


def _check_rotation(gateway: LimitedGateway) -> None:
    """Assert that the old and the new secret of a rotated key share the remaining limit."""
    old = gateway.new_key(name="rotated", limits={"requests_per_day": 6})
    assert [gateway.ask(old).status_code for _ in range(3)] == [200] * 3
    new = gateway.post("/api/keys/rotated/rotate?grace_s=3600")["key"]
    gateway.wait_for_key(new)
    responses = [gateway.ask(key) for key in (new, old, new, old, new)]
    assert [response.status_code for response in responses] == [200, 200, 200, 429, 429]
    remaining = [response.headers["x-ratelimit-remaining-requests"] for response in responses[:3]]
    assert remaining == ["2", "1", "0"]


def _check_cut_streams(gateway: LimitedGateway) -> None:
    """Assert that interrupted streams use exactly the tokens that the log has."""
    maximum = 10**9
    key = gateway.new_key(limits={"tokens_per_day": maximum, "concurrency": CLIENTS})

    def leave(after_s: float) -> None:
        body = {"model": MODEL, "max_tokens": 100, **SLOW}
        headers = {"authorization": f"Bearer {key}"}
        url = f"{gateway.url}/v1/chat/completions"
        with httpx.stream("POST", url, json=body, headers=headers, timeout=60) as response:
            assert response.status_code == 200
            deadline = time.monotonic() + after_s
            for _ in response.iter_raw():
                if time.monotonic() > deadline:
                    return

    threads = [threading.Thread(target=leave, args=(n / 10,)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    def agree() -> bool:
        """Return whether each token is counted once and nothing stays reserved."""
        used_tokens = gateway.tokens(key)
        remaining = int(gateway.ask(key).headers["x-ratelimit-remaining-tokens"])
        return used_tokens > 0 and remaining == maximum - used_tokens

    wait_until(agree)


def _retry_until_admitted(gateway: LimitedGateway, key: str) -> None:
    with suppress(httpx.HTTPError):
        while gateway.ask(key, **STREAM_REQUEST).status_code == 429:
            time.sleep(0.1)
