"""Every client on every upstream in every scenario, as pytest's parameters."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients.running import scenarios_of
from tests.clients.table import CLIENTS, Client
from tests.clients.upstreams import UPSTREAMS


def cases(*, heavy: bool) -> list[Any]:
    """One for each client, upstream and scenario; known failures are expected to fail."""
    return [
        _case(name, client, upstream, scenario)
        for name, client in CLIENTS.items()
        if client.heavy == heavy
        for upstream in client.upstreams
        for scenario in expected_results_of(client, upstream)
    ]


def expected_results_of(client: Client, upstream: str) -> tuple[str, ...]:
    """The scenarios, and "memory" where reasoning must come back."""
    scenarios = scenarios_of(client, upstream)
    if "thinking" in scenarios and UPSTREAMS[upstream].state is not None:
        return (*scenarios, "memory")
    return scenarios


def _case(name: str, client: Client, upstream: str, scenario: str) -> Any:
    reason = client.known.get(f"{upstream} {scenario}")
    marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
    spoken = upstream.replace(" ", "_")
    return pytest.param(name, upstream, scenario, id=f"{name}-{spoken}-{scenario}", marks=marks)
