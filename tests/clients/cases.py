"""Pytest parameters of every client, upstream and scenario."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients.client import Client
from tests.clients.running import scenarios_of
from tests.clients.table import CLIENTS
from tests.clients.upstreams import UPSTREAMS


def cases(*, heavy: bool) -> list[Any]:
    """Return the parameters; known failures are expected to fail."""
    return [
        _case(name, client, upstream, scenario)
        for name, client in CLIENTS.items()
        if client.heavy == heavy
        for upstream in client.upstreams
        for scenario in expected_results_of(client, upstream)
    ]


def expected_results_of(client: Client, upstream: str) -> tuple[str, ...]:
    """Return the scenarios, and "memory" if reasoning must be returned."""
    scenarios = scenarios_of(client, upstream)
    if "thinking" in scenarios and UPSTREAMS[upstream].state is not None:
        return (*scenarios, "memory")
    return scenarios


def _case(name: str, client: Client, upstream: str, scenario: str) -> Any:
    reason = client.known_failures.get(f"{upstream} {scenario}")
    marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
    upstream_id = upstream.replace(" ", "_")
    return pytest.param(
        name, upstream, scenario, id=f"{name}-{upstream_id}-{scenario}", marks=marks
    )
