"""Health checks: off by default, bounded, and they close a circuit without client requests."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx

from gateway.relay.run import health_checks
from gateway.relay.run.health_checks import HealthChecks, check, target_checks
from tests.relay.harness import Gateway, completion, gateway, provider, refusal, route, snapshot

A, B = provider("a"), provider("b", "anthropic_messages")
LABEL = "a/gpt-4.1"


def registry(**changes: Any) -> Any:
    return snapshot(route("m", A, **changes))


def test_no_target_is_checked_unless_a_route_enables_it() -> None:
    assert target_checks(registry()) == {}


def test_a_target_of_two_routes_is_checked_at_the_shorter_interval() -> None:
    actual_due_checks = target_checks(
        snapshot(
            route("slow", A, health_check_interval_s=60),
            route("quick", A, health_check_interval_s=20),
        )
    )
    assert {label: check.interval_s for label, check in actual_due_checks.items()} == {LABEL: 20}


async def run_due_checks(live: Gateway) -> None:
    (due,) = target_checks(live.runtime.snapshot).values()
    await check(live.runtime, due.route, due.target)


async def test_a_successful_health_check_closes_the_circuit(tmp_path: Path) -> None:
    async with gateway(
        tmp_path, registry(health_check_interval_s=10), a=lambda _: completion()
    ) as live:
        live.runtime.breaker.record_outcome(LABEL, "rate_limit", 60, 5.0)
        await run_due_checks(live)
        row = await live.record()
        assert live.runtime.health == {}
    assert (row.key_prefix, row.endpoint, row.outcome) == ("check", "check", "ok")
    assert row.cost_usd is not None and row.bodies is None


async def test_failed_health_checks_open_the_circuit(tmp_path: Path) -> None:
    async with gateway(
        tmp_path, registry(health_check_interval_s=10), a=lambda _: refusal(500)
    ) as live:
        for _ in range(3):
            await run_due_checks(live)
        assert live.runtime.health[LABEL].open_until > 0
        rows = await live.rows(3)
    assert {row.error_kind for row in rows} == {"upstream_error"}


async def test_each_target_is_checked_once_per_interval(tmp_path: Path) -> None:
    test_snapshot = snapshot(
        route("m", A, health_check_interval_s=30),
        route("n", B, model="claude-haiku-4-5", health_check_interval_s=30),
    )
    async with gateway(
        tmp_path, test_snapshot, a=lambda _: completion(), b=lambda _: refusal(500)
    ) as live:
        # As two processes of one machine would.
        checkers = [HealthChecks(live.runtime, tick_s=0.01) for _ in range(2)]
        await live.rows(2)
        await asyncio.sleep(0.1)
        for check in checkers:
            await check.stop()
    hosts = sorted(request.url.host for request in live.upstreams.requests)
    assert hosts == ["a.test", "b.test"]


async def test_concurrent_health_checks_are_limited(tmp_path: Path) -> None:
    gate, under_way, maximum = asyncio.Event(), 0, 0

    async def slow(_: httpx.Request) -> httpx.Response:
        nonlocal under_way, maximum
        under_way += 1
        maximum = max(maximum, under_way)
        await gate.wait()
        under_way -= 1
        return completion()

    names = "abcdefgh"
    test_snapshot = snapshot(*(route(n, provider(n), health_check_interval_s=30) for n in names))
    async with gateway(tmp_path, test_snapshot, **dict.fromkeys(names, slow)) as live:
        running = HealthChecks(live.runtime, tick_s=0.01)
        await asyncio.sleep(0.2)
        gate.set()
        await live.rows(len(names))
        await running.stop()
    assert maximum <= health_checks.MAX_PARALLEL_CHECKS
