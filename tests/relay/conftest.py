"""What holds for all tests of the relay."""

from __future__ import annotations

import pytest

from gateway.relay.cache import backend as cache_backend
from gateway.relay.health import shared_circuit_breaker
from gateway.relay.limits import redis_client


@pytest.fixture(autouse=True)
def _redis_may_be_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine it answers late; that it is away is for a test to bring about."""
    for module in (redis_client, shared_circuit_breaker):
        monkeypatch.setattr(module, "TIMEOUT_S", 20.0)


@pytest.fixture(autouse=True)
def _write_each_response_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not in batches."""
    monkeypatch.setattr(cache_backend, "FLUSH_S", 0.01)
