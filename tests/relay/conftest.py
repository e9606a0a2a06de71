"""Fixtures of all relay tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.relay.cache import backend as cache_backend
from gateway.relay.health import shared_circuit_breaker
from gateway.relay.limits import redis_client
from tests.redis_server import RedisServer, running_server


@pytest.fixture(autouse=True)
def _redis_may_be_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise Redis timeouts for busy machines; tests that need an outage cause it themselves."""
    for module in (redis_client, shared_circuit_breaker):
        monkeypatch.setattr(module, "TIMEOUT_S", 20.0)


@pytest.fixture(autouse=True)
def _write_each_response_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write responses immediately instead of in batches."""
    monkeypatch.setattr(cache_backend, "FLUSH_S", 0.01)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis server of the test."""
    with running_server(tmp_path) as server:
        yield server
