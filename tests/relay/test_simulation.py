"""Simulation and live traffic agree, over random routes, clients, failures and clocks."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.routing.active_hours import DAYS
from gateway.routing.candidates import ERROR_CLASSES
from gateway.routing.circuit_breaker import CircuitState
from gateway.routing.latency import LatencyStats
from gateway.routing.snapshot import Route, RouteStep, Snapshot, Target, model_of
from gateway.routing.strategies import STRATEGIES
from gateway.simulate.dry_run import SIMULATED_FAILURES, RoutingState, build_call, dry_run
from tests.relay.harness import completion, gateway, provider, refusal, snapshot

CHAT = "/v1/chat/completions"
NAMES = "abcd"
PROVIDERS = {name: provider(name) for name in NAMES}
CODES = {"context_length": "context_length_exceeded", "content_policy": "content_filter"}

tags = st.lists(st.sampled_from(["paid", "free", "default"]), max_size=2, unique=True).map(tuple)
classes = st.lists(st.sampled_from(list(ERROR_CLASSES)), max_size=2, unique=True).map(tuple)
during = st.one_of(
    st.just(""),
    st.builds(
        "{}-{} {:02}:00-{:02}:30 {}".format,
        st.sampled_from(DAYS),
        st.sampled_from(DAYS),
        st.integers(0, 23),
        st.integers(0, 23),
        st.sampled_from(["UTC", "Asia/Tokyo", "America/New_York"]),
    ),
)


@st.composite
def targets(draw: Any) -> Target:
    owner = PROVIDERS[draw(st.sampled_from(NAMES))]
    return Target(
        id=draw(st.integers(1, 9)),
        model=model_of(owner, "gpt-4.1"),
        weight=draw(st.sampled_from([0.0, 1.0, 3.0])),
        order=draw(st.integers(1, 3)),
        tags=draw(st.one_of(st.just(()), tags)),
        variant=draw(st.sampled_from(["", "x", "y"])),
    )


@st.composite
def steps(draw: Any, order: int) -> RouteStep:
    return RouteStep(
        order=order,
        strategy=draw(st.sampled_from(list(STRATEGIES))),
        fallback_on=draw(classes),
        excludes=draw(st.sampled_from([(), ("tools",)])),
        max_context=draw(st.sampled_from([None, 20, 5000])),
        require_capabilities=draw(st.booleans()),
        tags=draw(st.one_of(st.just(()), tags)),
        active_hours=draw(during),
    )


@st.composite
def routes(draw: Any, name: str) -> Route:
    stepped = draw(st.booleans())
    return Route(
        id=1,
        name=name,
        targets=tuple(draw(st.lists(targets(), min_size=1, max_size=4))),
        strategy=draw(st.sampled_from(list(STRATEGIES))),
        steps=tuple(draw(steps(order)) for order in (1, 2, 3)) if stepped else (),
        retries=draw(st.integers(0, 1)),
        retry_before_fallback=draw(st.booleans()),
        retries_by_kind=draw(
            st.dictionaries(st.sampled_from(list(ERROR_CLASSES)), st.integers(0, 2), max_size=2)
        ),
        backoff_s=0.0,
        require_capabilities=draw(st.booleans()),
        tag_match=draw(st.sampled_from(["any", "all"])),
        cooldown_s=5.0,
    )


@st.composite
def registries(draw: Any) -> Snapshot:
    main = msgspec.structs.replace(
        draw(routes("m")),
        fallbacks=draw(st.sampled_from([(), ("spare",), ("spare", "other")])),
        fallbacks_by_kind=draw(
            st.dictionaries(st.sampled_from(list(ERROR_CLASSES)), st.just(("other",)), max_size=2)
        ),
    )
    return snapshot(main, draw(routes("spare")), draw(routes("other")))


request_fields = st.fixed_dictionaries(
    {},
    optional={
        "prompt_cache_key": st.sampled_from(["s1", "s2", "s3"]),
        "metadata": st.just({"tags": ["paid"]}),
        "tools": st.just([{"type": "function", "function": {"name": "f", "parameters": {}}}]),
        "user": st.just("u" * 200),
    },
)
resting = st.dictionaries(
    st.sampled_from(NAMES),
    st.tuples(st.sampled_from([-10.0, 30.0]), st.sampled_from(["timeout", "rate_limit"])),
    max_size=3,
)
latency_stats = st.dictionaries(
    st.sampled_from(NAMES), st.tuples(st.floats(1, 9000), st.integers(0, 9000)), max_size=4
)


def upstream(failure: str | None) -> Any:
    def respond(_: httpx.Request) -> httpx.Response | Exception:
        if failure is None:
            return completion()
        if failure == "timeout":
            return httpx.ReadTimeout("no response")
        if failure in CODES:
            error = {"message": "no", "type": "x", "param": None, "code": CODES[failure]}
            return httpx.Response(400, json={"error": error})
        return refusal(SIMULATED_FAILURES[failure] or 500, "pretended")

    return respond


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    registry=registries(),
    fields=request_fields,
    key_tags=st.sampled_from([(), ("free",)]),
    failing=st.dictionaries(
        st.sampled_from(NAMES), st.sampled_from(list(SIMULATED_FAILURES)), max_size=4
    ),
    rests=resting,
    read=latency_stats,
    seed=st.integers(0, 10_000),
)
def test_simulation_and_live_traffic_choose_the_same_targets(
    registry: Snapshot,
    fields: dict[str, Any],
    key_tags: tuple[str, ...],
    failing: dict[str, str],
    rests: dict[str, tuple[float, str]],
    read: dict[str, tuple[float, int]],
    seed: int,
) -> None:
    keys = {d: msgspec.structs.replace(k, tags=key_tags) for d, k in registry.keys.items()}
    registry = msgspec.structs.replace(registry, keys=keys)
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}

    async def compare() -> None:
        with tempfile.TemporaryDirectory() as directory:
            upstreams = {name: upstream(failing.get(name)) for name in NAMES}
            async with gateway(Path(directory), registry, **upstreams) as live:
                now = time.monotonic()
                for name, (cooldown_s, kind) in rests.items():
                    live.runtime.health[f"{name}/gpt-4.1"] = CircuitState(3, now + cooldown_s, kind)
                for name, (first, tokens) in read.items():
                    live.runtime.latency.stats[f"{name}/gpt-4.1"] = LatencyStats(
                        first, 1, now, tokens
                    )
                health, simulated_health = (
                    dict(live.runtime.health),
                    dict(live.runtime.latency.stats),
                )
                random.seed(seed)
                reply = await live.post(CHAT, body)
                row = await live.record()
            stage = RoutingState(
                snapshot=registry,
                health=health,
                latency_by_target=simulated_health,
                now=now,
                draw=random.Random(seed).random,
                simulated_failures={
                    f"{name}/gpt-4.1": failure for name, failure in failing.items()
                },
                key=next(iter(registry.keys.values())),
                time_of_day=row.started_at,
            )
            run = dry_run(stage, build_call(registry, "openai_chat", body), registry.routes["m"])
        simulated = [(t.candidate.target.model.label, t.outcome == "skipped") for t in run.targets]
        assert simulated == [(a.target, a.skipped is not None) for a in row.attempts]
        reasons = [
            t.reason for t in run.targets if t.outcome == "skipped" and "rests" not in t.reason
        ]
        assert reasons == [
            a.skipped for a in row.attempts if a.skipped and "rests" not in a.skipped
        ]
        kinds = [t.error.kind for t in run.targets if t.error is not None]
        assert kinds == [a.error_kind for a in row.attempts if a.error_kind]
        assert (run.chosen is not None) == (reply.status == 200)
        if run.chosen is not None:
            assert row.variant == run.chosen.target.variant

    asyncio.run(compare())
