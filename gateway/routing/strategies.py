"""The order in which a route's targets are tried: pure, so a test can repeat a draw.

A strategy is a function in STRATEGIES; its inputs are one value, its `StrategyContext`. All
strategies respect the groups of `Target.order`, also known as priorities: every target of a
group is tried before the next group.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby

import msgspec

from gateway.routing.latency import NO_LATENCY, LatencyByTarget, recent_tokens
from gateway.routing.snapshot import Target

# A source of numbers in [0, 1).
Draw = Callable[[], float]
# Share of requests that test whether another target has become faster.
EXPLORATION_SHARE = 0.05
# Prompts are longer than responses: about three input tokens per output token.
_INPUT_PER_OUTPUT = 3


class StrategyContext(msgspec.Struct, frozen=True):
    """Inputs of a strategy.

    Attributes:
        now: unix or monotonic seconds.
        draw: source of random numbers.
        latency_by_target: recent latency, by `provider/model`.
        session: id shared by the requests of one conversation; empty if unknown.
        caller: the key of the request; empty if there is none.
        route: its name, so that two routes distribute the same sessions differently.
        busy: requests in progress at each target, by `provider/model`.
    """

    now: float
    draw: Draw
    latency_by_target: LatencyByTarget = NO_LATENCY
    session: str = ""
    caller: str = ""
    route: str = ""
    busy: Mapping[str, int] = {}


# Targets of the same `order`, in the route's order -> in the order to try them.
Strategy = Callable[[list[Target], StrategyContext], list[Target]]


def order_targets(
    strategy: str, targets: Sequence[Target], context: StrategyContext
) -> list[Target]:
    """All targets in the order to try them: by `order`, within a group by the strategy."""
    strategy_function = STRATEGIES[strategy]
    return [
        target
        for group in _groups_by_order(targets)
        for target in strategy_function(group, context)
    ]


def ordered(group: list[Target], context: StrategyContext) -> list[Target]:
    """Targets in the route's order."""
    return group


def weighted(group: list[Target], context: StrategyContext) -> list[Target]:
    """Targets in random order by `weight`, drawn without replacement.

    The first gets `weight / sum` of the traffic, and the others follow as its fallbacks,
    drawn the same way. A target with weight 0 is a last resort, after all others.
    """
    return _draw_by_weight(group, context.draw)


def fastest(group: list[Target], context: StrategyContext) -> list[Target]:
    """Targets by time to the first token, shortest first.

    A target without measurements comes first. A share of requests (EXPLORATION_SHARE) starts with
    another target than the fastest, to notice when it has recovered.
    """
    draw = context.draw
    ordered_targets = sorted(group, key=lambda target: _first_ms(target, context.latency_by_target))
    if len(ordered_targets) > 1 and draw() < EXPLORATION_SHARE:
        ordered_targets.insert(0, ordered_targets.pop(1 + int(draw() * (len(ordered_targets) - 1))))
    return ordered_targets


def cheapest(group: list[Target], context: StrategyContext) -> list[Target]:
    """Targets by price; those of unknown price last."""
    return sorted(group, key=mixed_price)


def least_busy(group: list[Target], context: StrategyContext) -> list[Target]:
    """Targets by requests in progress for each unit of `weight`.

    Equally busy targets are drawn by weight; a weight of 0 comes last.
    """
    busy = context.busy
    return _by_load_per_weight(group, context, lambda target: busy.get(target.model.label, 0))


def least_used(group: list[Target], context: StrategyContext) -> list[Target]:
    """Targets by tokens of the last minute for each unit of `weight`."""
    return _by_load_per_weight(group, context, lambda target: _recent_tokens(target, context))


def sticky(group: list[Target], context: StrategyContext) -> list[Target]:
    """The same target first for all requests of a session.

    Weighted rendezvous hashing: workers agree without communicating, an unavailable target
    moves only its own sessions, and they return with it. Requests without a session are
    drawn by weight.
    """
    return _by_hash(group, context, context.session)


def split(group: list[Target], context: StrategyContext) -> list[Target]:
    """Targets for an A/B test: consistent by session, else by key, else drawn by weight."""
    return _by_hash(group, context, context.session or context.caller)


def _by_hash(group: list[Target], context: StrategyContext, session_or_caller: str) -> list[Target]:
    if not session_or_caller:
        return weighted(group, context)
    hash_key = f"{context.route}\0{session_or_caller}"
    return sorted(group, key=lambda target: _rendezvous_distance(target, hash_key))


def _rendezvous_distance(target: Target, session_or_caller: str) -> float:
    """Exponentially distributed by `weight`: each target is nearest with its share."""
    if target.weight <= 0:
        return math.inf
    text = f"{session_or_caller}\0{target.model.label}\0{target.variant}"
    digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
    point = (int.from_bytes(digest, "big") + 0.5) / 2**64
    return -math.log(point) / target.weight


def _by_load_per_weight(
    group: list[Target], context: StrategyContext, load: Callable[[Target], float]
) -> list[Target]:
    loads = {id(target): _load_per_weight(load(target), target.weight) for target in group}
    return sorted(_draw_by_weight(group, context.draw), key=lambda target: loads[id(target)])


def _load_per_weight(load: float, weight: float) -> float:
    return load / weight if weight > 0 else math.inf


def _recent_tokens(target: Target, context: StrategyContext) -> float:
    stats = context.latency_by_target.get(target.model.label)
    return recent_tokens(stats, context.now) if stats is not None else 0.0


def mixed_price(target: Target) -> float:
    """US dollars per million tokens of a usual mix of input and output; inf if unknown."""
    price = target.model.price
    if price.input is None or price.output is None:
        return math.inf
    input_and_output = _INPUT_PER_OUTPUT * float(price.input) + float(price.output)
    return input_and_output / (_INPUT_PER_OUTPUT + 1)


def _first_ms(target: Target, latency_by_target: LatencyByTarget) -> float:
    stats = latency_by_target.get(target.model.label)
    return stats.first_ms if stats is not None else -1.0


def _groups_by_order(targets: Sequence[Target]) -> Iterator[list[Target]]:
    for _, group in groupby(sorted(targets, key=_order_of), key=_order_of):
        yield list(group)


def _order_of(target: Target) -> int:
    return target.order


def _draw_by_weight(group: list[Target], draw: Draw) -> list[Target]:
    """The group in random order by weight; draws once for each position but the last."""
    remaining_targets = [target for target in group if target.weight > 0]
    zero_weight = [target for target in group if target.weight <= 0]
    ordered_targets: list[Target] = []
    while len(remaining_targets) > 1:
        point = draw() * sum(target.weight for target in remaining_targets)
        ordered_targets.append(remaining_targets.pop(_index_of_draw(remaining_targets, point)))
    return [*ordered_targets, *remaining_targets, *zero_weight]


def _index_of_draw(targets: list[Target], point: float) -> int:
    """The index of the target whose share of the weights contains `point`."""
    for index, target in enumerate(targets):
        point -= target.weight
        if point < 0:
            return index
    return len(targets) - 1


STRATEGIES: dict[str, Strategy] = {
    "ordered": ordered,
    "weighted": weighted,
    "fastest": fastest,
    "cheapest": cheapest,
    "least_busy": least_busy,
    "least_used": least_used,
    "sticky": sticky,
    "split": split,
}
