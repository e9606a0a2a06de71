"""In which order a route's targets are tried: pure, so a test can repeat a draw.

A strategy is a function in STRATEGIES; `now`, `draw` and the readings are arguments. All
of them keep the groups of `Target.order`: a group is used up before the next one starts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Protocol

from gateway.routing.readings import NONE, Readings
from gateway.routing.snapshot import Target

# A source of numbers in [0, 1).
Draw = Callable[[], float]
# One request in twenty finds out whether another target has become faster.
EXPLORED = 0.05
# Prompts are longer than answers: about three tokens in for one out.
_IN_PER_OUT = 3


class Strategy(Protocol):
    """A row of STRATEGIES."""

    def __call__(
        self, targets: Sequence[Target], now: float, draw: Draw, readings: Readings = NONE
    ) -> list[Target]:
        """All targets in the order to try them; `now` is unix or monotonic seconds."""


def ordered(
    targets: Sequence[Target], now: float, draw: Draw, readings: Readings = NONE
) -> list[Target]:
    """The targets by `order`, equals as they stand in the route."""
    return sorted(targets, key=_order)


def weighted(
    targets: Sequence[Target], now: float, draw: Draw, readings: Readings = NONE
) -> list[Target]:
    """The targets by `order`, equals drawn by `weight` without replacement.

    The first of a group gets `weight / sum` of the traffic, the rest follow as its
    fallbacks in the same manner. A weight of 0 is a target for emergencies: it comes
    after all others of its group.
    """
    found: list[Target] = []
    for group in _groups(targets):
        found += _drawn(group, draw)
    return found


def fastest(
    targets: Sequence[Target], now: float, draw: Draw, readings: Readings = NONE
) -> list[Target]:
    """The targets by `order`, equals by their time to the first token, shortest first.

    One that was never measured comes first, and now and then (EXPLORED) another one than
    the fastest does: else nobody would learn that it has recovered.
    """
    found: list[Target] = []
    for group in _groups(targets):
        group.sort(key=lambda target: _first_ms(target, readings))
        if len(group) > 1 and draw() < EXPLORED:
            group.insert(0, group.pop(1 + int(draw() * (len(group) - 1))))
        found += group
    return found


def cheapest(
    targets: Sequence[Target], now: float, draw: Draw, readings: Readings = NONE
) -> list[Target]:
    """The targets by `order`, equals by price; those of unknown price last."""
    found: list[Target] = []
    for group in _groups(targets):
        found += sorted(group, key=mixed_price)
    return found


def mixed_price(target: Target) -> float:
    """US dollars per million tokens of a usual mix of input and output; inf if unknown."""
    price = target.model.price
    if price.input is None or price.output is None:
        return math.inf
    return (_IN_PER_OUT * float(price.input) + float(price.output)) / (_IN_PER_OUT + 1)


def _first_ms(target: Target, readings: Readings) -> float:
    reading = readings.get(target.model.label)
    return reading.first_ms if reading is not None else -1.0


def _groups(targets: Sequence[Target]) -> Iterator[list[Target]]:
    for _, group in groupby(sorted(targets, key=_order), key=_order):
        yield list(group)


def _order(target: Target) -> int:
    return target.order


def _drawn(group: list[Target], draw: Draw) -> list[Target]:
    """The group in drawn order; one draw for each place that is open."""
    left = [target for target in group if target.weight > 0]
    spares = [target for target in group if target.weight <= 0]
    found: list[Target] = []
    while len(left) > 1:
        point = draw() * sum(target.weight for target in left)
        found.append(left.pop(_at(left, point)))
    return [*found, *left, *spares]


def _at(targets: list[Target], point: float) -> int:
    """The index of the target whose share of the weights holds `point`."""
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
}
