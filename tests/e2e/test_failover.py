"""The database stops responding: the gateway keeps serving, reports it, and recovers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from tests.e2e.nodes import Node, new_database
from tests.e2e.stack import litellm_config, strict_config
from tests.fakes import StrictAnthropic, StrictDeepSeek, StrictOpenAI
from tests.silent_proxy import SilentProxy
from tests.waits import until

pytestmark = pytest.mark.e2e

REQUESTS = 60


@pytest.fixture
def database() -> Iterator[str]:
    with new_database() as url:
        yield url


@pytest.fixture
def proxy(database: str) -> Iterator[SilentProxy]:
    place = urlsplit(database)
    silent_proxy = SilentProxy(place.hostname or "127.0.0.1", place.port or 5432)
    yield silent_proxy
    silent_proxy.close()


@pytest.fixture
def nodes(tmp_path: Path, database: str, proxy: SilentProxy) -> Iterator[tuple[Node, Node]]:
    """A node that reaches the database through the proxy, and a node that connects directly."""
    place = urlsplit(database)
    user = f"{place.netloc.rpartition('@')[0]}@" if "@" in place.netloc else ""
    proxied = place._replace(netloc=f"{user}127.0.0.1:{proxy.port}").geturl()
    with StrictOpenAI() as openai, StrictAnthropic() as anthropic, StrictDeepSeek() as deepseek:
        config = litellm_config(strict_config(openai, anthropic, deepseek))
        one = Node(tmp_path / "one", config, DATABASE_URL=proxied).start()
        other = Node(tmp_path / "other", config, DATABASE_URL=database).start()
        yield one, other
        one.kill()
        other.kill()


def request_status(node: Node, key: str = "") -> int:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
    headers = {"authorization": f"Bearer {key or node.key}"}
    url = f"{node.url}/v1/chat/completions"
    return httpx.post(url, json=body, headers=headers).status_code


def readiness(node: Node) -> tuple[int, list[str]]:
    answer = httpx.get(f"{node.url}/health/ready")
    return answer.status_code, answer.json()["reasons"]


def rows(database: str) -> int:
    with psycopg.connect(database) as connection:
        row = connection.execute("SELECT count(*) FROM gateway_requestlog").fetchone()
    assert row is not None
    return int(row[0])


def new_key(node: Node) -> str:
    headers = {"authorization": f"Bearer {node.key}"}
    response = httpx.post(f"{node.url}/api/keys", json={"name": "new"}, headers=headers)
    return str(response.json()["key"])


def test_silent_connections_are_replaced(
    nodes: tuple[Node, Node],
    proxy: SilentProxy,
    database: str,
) -> None:
    one, other = nodes
    assert [request_status(one) for _ in range(5)] == [200] * 5
    until(lambda: rows(database) == 5)
    proxy.fail_over()
    began = time.monotonic()
    key = new_key(other)
    assert {request_status(one) for _ in range(REQUESTS)} == {200}
    headers = {"authorization": f"Bearer {one.key}"}
    started_at = time.monotonic()
    assert httpx.get(f"{one.url}/api/keys", headers=headers).status_code == 200
    api_s = time.monotonic() - started_at
    until(lambda: request_status(one, key) == 200)
    change_s = time.monotonic() - began
    until(lambda: rows(database) >= 5 + REQUESTS)
    rows_s = time.monotonic() - began
    figures = {"rows_s": rows_s, "change_s": change_s, "api_s": api_s}
    print({name: round(seconds, 1) for name, seconds in figures.items()})
    # It was never for as long as the 25 s, but a busy machine may take its time.
    assert max(figures.values()) < 20, figures
    until(lambda: readiness(one) == (200, []))


@pytest.mark.wide(every=0)
def test_a_lost_database_is_reported_and_a_node_starts_without_it(
    nodes: tuple[Node, Node], proxy: SilentProxy, database: str
) -> None:
    one, _ = nodes
    assert request_status(one) == 200
    until(lambda: (one.data_dir / "last-registry").exists())
    assert one.key.encode() not in (one.data_dir / "last-registry").read_bytes()
    proxy.go_silent()
    until(lambda: "database_unavailable" in readiness(one)[1])
    assert request_status(one) == 200
    headers = {"authorization": f"Bearer {one.key}"}
    started_at = time.monotonic()
    assert httpx.get(f"{one.url}/api/keys", headers=headers).status_code == 503
    assert time.monotonic() - started_at < 20
    one.kill()
    one.start(ready=False)
    assert "the database is unavailable" in one.output
    assert request_status(one) == 200
    status, reasons = readiness(one)
    assert status == 200
    assert {"database_unavailable", "registry_stored"} <= set(reasons)
    before = rows(database)
    proxy.speak()
    until(lambda: readiness(one) == (200, []))
    until(lambda: rows(database) > before)
    assert request_status(one, new_key(one)) == 200
