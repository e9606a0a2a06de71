"""Circuit breakers: opened, half-open, closed; shared by the processes of a data directory."""

from __future__ import annotations

import asyncio
import fcntl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.relay.health.circuit_breaker import MAX_STATES, Breaker, TargetLatency
from gateway.relay.health.shared_circuit_breaker import POLL_S, RedisBreaker
from gateway.routing.circuit_breaker import DEFAULT_COOLDOWN_AFTER, TRIAL_S, CircuitState
from tests.redis_server import running_server
from tests.relay.harness import completion, gateway, provider, refusal, route, snapshot
from tests.waits import wait_until_async

CHAT = "/v1/chat/completions"
A, B = provider("a"), provider("b")
X = "p/x"


class Clock:
    """A clock that only moves when set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def breaker_pair(tmp_path: Path) -> tuple[Breaker, Breaker, Clock]:
    clock = Clock()
    path = tmp_path / "breaker" / "states"
    return Breaker(path, clock=clock), Breaker(path, clock=clock), clock


def record_failures(
    breaker: Breaker, label: str = X, times: int = DEFAULT_COOLDOWN_AFTER, kind: str = "timeout"
) -> None:
    for _ in range(times):
        breaker.record_outcome(label, kind, None, 5.0)


def test_failures_of_two_processes_count_together(tmp_path: Path) -> None:
    first, second, _ = breaker_pair(tmp_path)
    record_failures(first, times=DEFAULT_COOLDOWN_AFTER - 1)
    record_failures(second, times=1)
    first.refresh()
    assert first.states[X].open_until == second.states[X].open_until > 0


def test_a_success_in_any_process_resets_the_failures(tmp_path: Path) -> None:
    first, second, clock = breaker_pair(tmp_path)
    record_failures(first)
    second.refresh()
    clock.now += 6
    assert second.claim_trial(X)
    second.record_outcome(X, None, None, 0)
    first.refresh()
    assert first.states == second.states == {}


def test_one_request_probes_a_target_after_its_cooldown(tmp_path: Path) -> None:
    first, second, clock = breaker_pair(tmp_path)
    record_failures(first)
    clock.now += 6
    assert [first.claim_trial(X), second.claim_trial(X), first.claim_trial(X)] == [
        True,
        False,
        False,
    ]
    second.record_outcome(X, "timeout", None, 5.0)
    assert second.states[X].open_until > clock.now, "the first failure of a trial rests again"


def test_an_expired_probe_is_claimed_by_another_process(tmp_path: Path) -> None:
    first, second, clock = breaker_pair(tmp_path)
    record_failures(first)
    clock.now += 6
    assert first.claim_trial(X) and not second.claim_trial(X)
    clock.now += TRIAL_S
    assert second.claim_trial(X)


def test_a_probe_that_streams_admits_further_requests(tmp_path: Path) -> None:
    first, second, clock = breaker_pair(tmp_path)
    record_failures(first)
    clock.now += 6
    assert first.claim_trial(X)
    first.release_trial(X)
    assert second.claim_trial(X)


def test_a_client_error_ends_a_probe_without_other_effect(tmp_path: Path) -> None:
    first, second, clock = breaker_pair(tmp_path)
    record_failures(first)
    clock.now += 6
    assert first.claim_trial(X)
    first.record_outcome(X, "invalid_request", None, 5.0)
    assert second.claim_trial(X)


def test_names_of_clients_do_not_displace_the_states_of_other_processes(tmp_path: Path) -> None:
    """Clients can send any name of a provider's model, such as `openai/x1`, `openai/x2`."""
    first, second, _ = breaker_pair(tmp_path)
    name = "é" * 256
    for number in range(2 * MAX_STATES):
        record_failures(first, f"p/{number}{name}", times=1)
    record_failures(first)
    second.refresh()
    assert second.states[X].open_until > 0
    assert len(second.states) == MAX_STATES


def test_circuit_states_survive_a_restart(tmp_path: Path) -> None:
    first, _, clock = breaker_pair(tmp_path)
    record_failures(first)
    first.close()
    assert Breaker(tmp_path / "breaker" / "states", clock=clock).states[X].open_until > clock.now


def test_cooldowns_from_before_a_reboot_are_ignored(tmp_path: Path) -> None:
    first, _, clock = breaker_pair(tmp_path)
    record_failures(first)
    clock.now = 1.0
    second = Breaker(tmp_path / "breaker" / "states", clock=clock)
    second.record_outcome("p/y", "timeout", None, 5.0)
    assert list(second.states) == ["p/y"]


@pytest.mark.parametrize("garbage", [b"{", b"\xff" * 40, b'{"states":[]}'])
def test_a_truncated_state_file_is_treated_as_empty(tmp_path: Path, garbage: bytes) -> None:
    first, second, _ = breaker_pair(tmp_path)
    record_failures(first)
    with (tmp_path / "breaker" / "states").open("r+b") as file:
        file.seek(16)
        file.write(garbage)
    second.refresh()
    record_failures(second)
    first.refresh()
    assert first.states == second.states


def test_the_breaker_works_without_shared_state(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    for breaker in (Breaker(), Breaker(blocked / "states")):
        record_failures(breaker)
        assert breaker.states[X].open_until > 0
        assert breaker.reset(X) and not breaker.reset(X)


def test_a_probe_claim_belongs_to_one_process_until_it_expires(tmp_path: Path) -> None:
    first, second, clock = breaker_pair(tmp_path)
    assert [first.claim("c", 10), second.claim("c", 10), first.claim("c", 10)] == [
        True,
        False,
        False,
    ]
    clock.now += 11
    assert second.claim("c", 10)


def test_changes_during_a_file_lock_are_shared_later(tmp_path: Path) -> None:
    first, second, clock = breaker_pair(tmp_path)
    record_failures(second)
    with (tmp_path / "breaker" / "states").open() as locked_file:
        fcntl.flock(locked_file, fcntl.LOCK_EX)
        record_failures(first, "p/y")
        assert first.claim("c", 10)
        assert "p/y" in first.states, "it goes on by itself"
        second.refresh()
        assert "p/y" not in second.states
    first.refresh()
    second.refresh()
    assert first.states == second.states
    assert sorted(second.states) == ["p/x", "p/y"]
    assert not second.claim("c", 10)


def test_pending_changes_are_shared_before_the_process_ends(tmp_path: Path) -> None:
    first, second, _ = breaker_pair(tmp_path)
    with (tmp_path / "breaker" / "states").open() as locked_file:
        fcntl.flock(locked_file, fcntl.LOCK_EX)
        record_failures(first)
    first.close()
    second.refresh()
    assert X in second.states


_OTHER = """
import sys
from pathlib import Path
from gateway.relay.health.circuit_breaker import Breaker
breaker = Breaker(Path(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    breaker.record_outcome("p/x", "timeout", None, 60.0, failures=100_000)
breaker.close()
"""


def test_no_failure_of_several_processes_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "states"
    command = [sys.executable, "-c", _OTHER, str(path), "400"]
    workers = [subprocess.Popen(command, cwd=Path(__file__).parents[2]) for _ in range(3)]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    assert Breaker(path).states[X].consecutive_failures == 1200


# Live


def chat_request() -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


async def test_after_a_cooldown_one_request_probes_and_others_use_another_target(
    tmp_path: Path,
) -> None:
    gate = asyncio.Event()
    responses: list[Any] = [refusal(429)]

    async def first(_: httpx.Request) -> httpx.Response:
        if responses:
            return responses.pop()
        await gate.wait()
        return completion("back")

    registry = snapshot(route("m", A, B, cooldown_s=0.2))
    async with gateway(tmp_path, registry, a=first, b=lambda _: completion("b")) as live:
        await live.post(CHAT, chat_request())
        await asyncio.sleep(0.25)
        before = len(live.upstreams.requests)
        trial = asyncio.create_task(live.post(CHAT, chat_request()))
        await wait_until_async(lambda: len(live.upstreams.requests) > before)
        others = [await live.post(CHAT, chat_request()) for _ in range(3)]
        gate.set()
        assert b"back" in (await trial).body
        assert b"back" in (await live.post(CHAT, chat_request())).body
        rows = await live.rows(6)
    assert all(b'"b"' in reply.body for reply in others)
    assert "another request is testing it" in (rows[1].attempts[0].skipped or "")
    assert live.runtime.health == {}


@pytest.mark.parametrize(("failures", "calls"), [(1, 1), (3, 3), (5, 5)])
async def test_a_route_sets_after_how_many_failures_a_cooldown_begins(
    tmp_path: Path, failures: int, calls: int
) -> None:
    registry = snapshot(route("m", A, B, cooldown_after=failures, cooldown_s=60))
    async with gateway(
        tmp_path, registry, a=lambda _: refusal(500), b=lambda _: completion()
    ) as live:
        for _ in range(7):
            await live.post(CHAT, chat_request())
    hosts = [request.url.host for request in live.upstreams.requests]
    assert hosts.count("a.test") == calls


async def test_a_route_may_allow_several_rate_limits_before_a_cooldown(tmp_path: Path) -> None:
    registry = snapshot(route("m", A, B, cooldown_after_by_kind={"rate_limit": 3}, cooldown_s=60))
    async with gateway(
        tmp_path, registry, a=lambda _: refusal(429), b=lambda _: completion()
    ) as live:
        for _ in range(6):
            await live.post(CHAT, chat_request())
    assert [request.url.host for request in live.upstreams.requests].count("a.test") == 3


async def test_a_client_disconnect_is_no_failure_of_the_target(tmp_path: Path) -> None:
    async def slow(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(30)
        return completion()

    async with gateway(tmp_path, snapshot(route("m", A)), a=slow) as live:
        live.runtime.breaker.record_outcome("a/gpt-4.1", "timeout", None, 5.0)
        await live.post(CHAT, chat_request(), disconnect_once=lambda _: live.upstreams.requests)
        await live.record()
        assert live.runtime.health["a/gpt-4.1"].consecutive_failures == 1


# Several machines


@pytest.mark.redis
async def test_a_circuit_opened_on_one_machine_is_open_on_all(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        first, second = (RedisBreaker(tmp_path / name, server.url) for name in ("one", "two"))
        first.start()
        second.start()
        try:
            first.record_outcome(X, "rate_limit", 1, 3.0)
            await wait_until_async(lambda: X in second.states)
            assert second.states[X].open_until == pytest.approx(first.states[X].open_until, abs=1.0)
            await asyncio.sleep(max(0.0, first.states[X].open_until - time.monotonic()) + 0.05)
            tried = await asyncio.gather(first.allow_request(X), second.allow_request(X))
            assert sorted(tried) == [False, True]
            winner, other = (first, second) if tried[0] else (second, first)
            winner.record_outcome(X, None, None, 0)
            await wait_until_async(lambda: X not in other.states)
        finally:
            await first.stop()
            await second.stop()


@pytest.mark.redis
async def test_without_redis_each_machine_uses_its_own_state(tmp_path: Path) -> None:
    alone = RedisBreaker(tmp_path / "one", "redis://127.0.0.1:1/0")
    alone.start()
    try:
        alone.record_outcome(X, "rate_limit", None, 0.05)
        await asyncio.sleep(POLL_S + 0.2)
        assert await alone.allow_request(X)
        assert isinstance(alone.states[X], CircuitState)
    finally:
        await alone.stop()


def test_the_latency_average_follows_measurements() -> None:
    latency = TargetLatency()
    latency.record("p/m", 100.0)
    for _ in range(50):
        latency.record("p/m", 500.0)
    assert latency.stats["p/m"].first_ms == pytest.approx(500.0, abs=1)
    assert latency.stats["p/m"].count == 51


def test_an_immediate_failure_does_not_make_a_target_fast() -> None:
    latency = TargetLatency()
    latency.record("p/m", 100.0)
    latency.record_failure("p/m", 2.0)
    assert latency.stats["p/m"].first_ms > 1000


@pytest.mark.parametrize(
    "body",
    [
        {"code": "no permission", "error": "Content violates usage guidelines. Failed check: X"},
        {"error": {"code": 403, "message": 'Your input was flagged for "harassment".'}},
    ],
    ids=["xai", "openrouter"],
)
async def test_content_that_a_provider_refuses_opens_no_circuit(
    tmp_path: Path, body: dict[str, Any]
) -> None:
    """One user's content must not take the provider from all others."""
    replies = [httpx.Response(403, json=body), completion()]
    registry = snapshot(route("m", A, B))
    responses = {"a": lambda _: replies.pop(0), "b": lambda _: completion("other")}
    async with gateway(tmp_path, registry, **responses) as gw:
        await gw.post(CHAT, chat_request())
        record = await gw.record()
        following = await gw.post(CHAT, chat_request())
    assert record.error_kind == "content_policy"
    assert following.json()["choices"][0]["message"]["content"] == "hello"


def test_a_file_that_cannot_be_written_is_one_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    breaker = Breaker(tmp_path / "file" / "states")
    record_failures(breaker)
    assert X in breaker.states
    assert "this process uses its own: " in caplog.text
    assert "Traceback" not in caplog.text
