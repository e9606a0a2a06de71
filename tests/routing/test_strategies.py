"""Target order: complete, groups kept, weights respected, draws reproducible."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.profile import Price
from gateway.routing.latency import LatencyStats
from gateway.routing.snapshot import Model, Provider, Target
from gateway.routing.strategies import (
    EXPLORATION_SHARE,
    STRATEGIES,
    StrategyContext,
    order_targets,
)

PROVIDER = Provider(id=1, name="p", preset="custom", dialect="openai_chat", base_url="http://x")


def target(id_: int, *, order: int = 1, weight: float = 1.0) -> Target:
    """Return a target identified by its id."""
    model = Model(id=id_, provider=PROVIDER, name=f"m{id_}")
    return Target(id=id_, model=model, order=order, weight=weight)


def seeded(seed: int = 1) -> Callable[[], float]:
    """Return a deterministic random source."""
    return random.Random(seed).random


def ids(targets: list[Target]) -> list[int]:
    return [item.id for item in targets]


def test_ordered_sorts_by_order_and_is_stable() -> None:
    route = (target(1, order=2), target(2), target(3), target(4, order=0))
    assert ids(order_targets("ordered", route, StrategyContext(0.0, seeded()))) == [4, 2, 3, 1]


def test_weighted_does_not_mix_groups() -> None:
    route = (target(1, order=2, weight=100), target(2, weight=0.01), target(3, weight=0.01))
    assert ids(order_targets("weighted", route, StrategyContext(0.0, seeded())))[-1] == 1


@pytest.mark.parametrize(("point", "first"), [(0.0, 1), (0.249, 1), (0.25, 2), (0.999, 2)])
def test_a_draw_falls_into_a_targets_share(point: float, first: int) -> None:
    route = (target(1, weight=1), target(2, weight=3))
    assert ids(order_targets("weighted", route, StrategyContext(0.0, lambda: point)))[0] == first


def test_a_target_with_weight_zero_is_last() -> None:
    route = (target(1, weight=0), target(2, weight=1))
    assert ids(order_targets("weighted", route, StrategyContext(0.0, seeded()))) == [2, 1]


def test_traffic_converges_to_the_weights() -> None:
    route = (target(1, weight=1), target(2, weight=2), target(3, weight=7))
    draw = seeded()
    firsts = Counter(
        order_targets("weighted", route, StrategyContext(0.0, draw))[0].id for _ in range(20_000)
    )
    shares = [firsts[id_] / 20_000 for id_ in (1, 2, 3)]
    assert shares == pytest.approx([0.1, 0.2, 0.7], abs=0.02)


def test_fallbacks_follow_their_weights_too() -> None:
    route = (target(1, weight=1), target(2, weight=3), target(3, weight=6))
    draw = seeded()
    seconds = Counter(
        order[1].id
        for order in (
            order_targets("weighted", route, StrategyContext(0.0, draw)) for _ in range(20_000)
        )
        if order[0].id == 3
    )
    assert seconds[2] / (seconds[1] + seconds[2]) == pytest.approx(0.75, abs=0.02)


routes = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([0.0, 0.5, 1.0, 10.0])), max_size=8
).map(lambda rows: [target(i, order=o, weight=w) for i, (o, w) in enumerate(rows)])


@pytest.mark.parametrize("name", STRATEGIES)
@given(route=routes, seed=st.integers(0, 10_000))
def test_every_strategy_orders_each_target_once(name: str, route: list[Target], seed: int) -> None:
    targets = order_targets(name, route, StrategyContext(0.0, seeded(seed)))
    assert sorted(ids(targets)) == sorted(ids(route))


@pytest.mark.parametrize("name", STRATEGIES)
@given(route=routes, seed=st.integers(0, 10_000))
def test_strategies_never_mix_order_groups(name: str, route: list[Target], seed: int) -> None:
    orders = [item.order for item in order_targets(name, route, StrategyContext(0.0, seeded(seed)))]
    assert orders == sorted(orders)


@pytest.mark.parametrize("name", STRATEGIES)
@given(route=routes, seed=st.integers(0, 10_000))
def test_equal_draws_produce_equal_orders(name: str, route: list[Target], seed: int) -> None:
    once, second = (
        order_targets(name, route, StrategyContext(0.0, seeded(seed))) for _ in range(2)
    )
    assert once == second


def test_fastest_orders_by_measured_latency() -> None:
    route = (target(1), target(2), target(3))
    latency_by_target = {
        "p/m1": LatencyStats(900.0),
        "p/m2": LatencyStats(100.0),
        "p/m3": LatencyStats(500.0),
    }
    assert ids(
        order_targets("fastest", route, StrategyContext(0.0, lambda: 0.9, latency_by_target))
    ) == [
        2,
        3,
        1,
    ]


def test_fastest_tries_what_was_never_measured_first() -> None:
    route = (target(1), target(2))
    assert ids(
        order_targets(
            "fastest", route, StrategyContext(0.0, lambda: 0.9, {"p/m1": LatencyStats(1.0)})
        )
    ) == [
        2,
        1,
    ]


def test_fastest_occasionally_tries_other_targets() -> None:
    route = (target(1), target(2), target(3))
    latency_by_target = {
        "p/m1": LatencyStats(900.0),
        "p/m2": LatencyStats(100.0),
        "p/m3": LatencyStats(500.0),
    }
    draw = seeded()
    firsts = Counter(
        order_targets("fastest", route, StrategyContext(0.0, draw, latency_by_target))[0].id
        for _ in range(20_000)
    )
    assert firsts[2] / 20_000 == pytest.approx(1 - EXPLORATION_SHARE, abs=0.01)
    assert firsts[1] and firsts[3]


def test_cheapest_orders_by_price_with_unknown_last() -> None:
    def priced(id_: int, *prices: int | None) -> Target:
        input_, output = (None if p is None else Decimal(p) for p in prices)
        price = Price(input=input_, output=output)
        model = Model(id=id_, provider=PROVIDER, name=f"m{id_}", price=price)
        return Target(id=id_, model=model)

    route = (priced(1, None, 1), priced(2, 3, 15), priced(3, 1, 2), priced(4, 0, 0))
    assert ids(order_targets("cheapest", route, StrategyContext(0.0, seeded()))) == [4, 3, 2, 1]
