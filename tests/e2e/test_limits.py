"""Limits and budgets over several worker processes under real load, on each database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
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

from tests.e2e.rig import ROOT, Gateway, configured, strict_config
from tests.fakes import Say, StrictAnthropic, StrictDeepSeek, StrictOpenAI
from tests.redis_server import running
from tests.test_databases import POSTGRES, answers

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

WORKERS = 2
CLIENTS = 8
MODEL = "gpt-4o"
# About three seconds of a stream.
SLOW = {"messages": [{"role": "user", "content": "Take your time"}], "stream": True}


class Limited(Gateway):
    """A gateway of two workers, on a database and maybe a Redis of its own."""

    def __init__(self, directory: Path, config: dict[str, Any], **environment: str) -> None:
        super().__init__(directory, config, workers=WORKERS)
        self.more = environment

    def environment(self) -> dict[str, str]:
        return {**super().environment(), **self.more}

    def run(self, code: str) -> str:
        """Python with the models at hand; what it prints."""
        done = subprocess.run(
            [sys.executable, "manage.py", "shell", "--no-imports", "-c", code],
            cwd=ROOT,
            env={**self.environment(), "DRAGOMAN_DATA_DIR": str(self.data_dir)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def new_key(self, **limits: Any) -> str:
        code = f"from decimal import Decimal; from gateway import store; print(store.make_key('e2e', **{limits!r})[1])"
        made = self.run(code)
        ends = time.monotonic() + 10
        while time.monotonic() < ends:  # until every worker knows it, a few times over
            if all(self.ask(made, model="nobody").status_code == 404 for _ in range(12)):
                return made
            time.sleep(0.1)
        raise AssertionError("the key is not known")

    def ask(self, key: str, client: httpx.Client | None = None, **more: Any) -> httpx.Response:
        body = {
            "model": MODEL,
            "messages": [{"role": "user", "content": "Count me"}],
            "max_tokens": 100,
            **more,
        }
        headers = {"authorization": f"Bearer {key}", "x-request-id": f"limit-{uuid.uuid4().hex}"}
        post = client.post if client is not None else httpx.post
        return post(f"{self.url}/v1/chat/completions", json=body, headers=headers, timeout=20)

    def storm(self, key: str, each: int, **more: Any) -> Counter[int]:
        """All clients at once, each on connections of its own; statuses by how often."""
        found: Counter[int] = Counter()
        lock = threading.Lock()

        def one() -> None:
            for _ in range(each):
                status = self.ask(key, **more).status_code
                with lock:
                    found[status] += 1

        threads = [threading.Thread(target=one) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        return found

    def spent(self, key: str) -> Decimal:
        """The cost of all the key's requests, as the log has them."""
        code = (
            "from gateway.models import RequestLog; from gateway import store;"
            "from gateway.models import ApiKey; from django.db.models import Sum;"
            f"row = ApiKey.objects.get(digest=store.digest({key!r}));"
            "print(RequestLog.objects.filter(key_id=row.pk).aggregate(s=Sum('cost_usd'))['s'] or 0)"
        )
        time.sleep(1)  # the journal is written
        return Decimal(self.run(code))


@pytest.fixture(params=["sqlite", "postgresql-redis"])
def gateway(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Limited]:
    with StrictOpenAI() as openai, StrictAnthropic() as anthropic, StrictDeepSeek() as deepseek:
        openai.script.on("Count me", Say(text="One."))
        openai.script.on("Take your time", Say(text="word " * 60, pace_s=0.05))
        config = configured(strict_config(openai, anthropic, deepseek))
        with surroundings(request.param, tmp_path) as environment:
            made = Limited(tmp_path, config, **environment).start()
            try:
                yield made
            finally:
                made.kill()


@contextmanager
def surroundings(kind: str, directory: Path) -> Iterator[dict[str, str]]:
    """The environment's part that says which database, and whether there is a Redis."""
    if kind == "sqlite":
        yield {}
        return
    if "TEST_POSTGRES_URL" not in os.environ and not answers():
        pytest.skip("no PostgreSQL on 127.0.0.1:5432; start one, or set TEST_POSTGRES_URL")
    name = f"limits_{uuid.uuid4().hex[:12]}"
    with running(directory) as redis, psycopg.connect(POSTGRES, autocommit=True) as database:
        database.execute(f'CREATE DATABASE "{name}"')
        try:
            base, _, _ = POSTGRES.rpartition("/")
            yield {"DATABASE_URL": f"{base}/{name}", "REDIS_URL": redis.url}
        finally:
            database.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def test_limits_and_budgets_hold_over_workers(gateway: Limited) -> None:
    """Requests, concurrency and money under load; then the death of a worker."""
    key = gateway.new_key(limit_rph=60)
    found = gateway.storm(key, 15)
    assert found.keys() == {200, 429}
    assert 60 <= found[200] <= 60 + WORKERS - 1

    key = gateway.new_key(limit_concurrency=3)
    found = gateway.storm(key, 2, **SLOW)
    assert found[200] > 0
    assert found[429] > 0
    assert gateway.ask(key).status_code == 200, "nothing is left reserved"

    _check_budget(gateway)
    _check_death(gateway)


def _check_budget(gateway: Limited) -> None:
    """Spent to the end, passed by no more than one request for each worker, and not stuck."""
    free = gateway.new_key()
    assert gateway.ask(free).status_code == 200
    each = gateway.spent(free)
    assert each > 0
    key = gateway.new_key(budget_day_usd=str(each * 40))
    found: Counter[int] = Counter()
    for _ in range(20):
        found += gateway.storm(key, 6)
        if gateway.ask(key).json().get("error", {}).get("code") == "insufficient_quota":
            break
    spent = gateway.spent(key)
    assert each * 40 <= spent <= each * (40 + WORKERS)
    assert gateway.ask(key).json()["error"]["code"] == "insufficient_quota"


def _check_death(gateway: Limited) -> None:
    """A worker that is killed amid requests leaves nothing reserved."""
    key = gateway.new_key(limit_concurrency=4)
    held = [threading.Thread(target=_tried, args=(gateway, key)) for _ in range(4)]
    for thread in held:
        thread.start()
    time.sleep(0.8)
    assert gateway.ask(key).status_code == 429
    for pid in gateway.workers():
        os.kill(pid, signal.SIGKILL)
    for thread in held:
        thread.join(30)
    ends = time.monotonic() + 20
    while time.monotonic() < ends:
        try:
            if gateway.storm(key, 1).keys() <= {200, 429} and gateway.ask(key).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.3)
    raise AssertionError("the key is kept out by requests of processes that are dead")


def _tried(gateway: Limited, key: str) -> None:
    with suppress(httpx.HTTPError):
        gateway.ask(key, **SLOW)
