"""What holds for all tests of the relay."""

from __future__ import annotations

import pytest

from gateway.relay import cache_shelf, redis_wire, shared_breaker


@pytest.fixture(autouse=True)
def _redis_may_be_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine it answers late; that it is away is for a test to bring about."""
    for module in (redis_wire, shared_breaker):
        monkeypatch.setattr(module, "TIMEOUT_S", 20.0)


@pytest.fixture(autouse=True)
def _answers_are_kept_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not in batches."""
    monkeypatch.setattr(cache_shelf, "FLUSH_S", 0.01)
