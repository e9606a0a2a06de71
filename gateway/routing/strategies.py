"""In which order a route's targets are tried: pure, so a test can repeat a draw.

A strategy is a function in STRATEGIES; `now` and `draw` are arguments. All of them
keep the groups of `Target.order`: a group is used up before the next one starts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

from gateway.routing.snapshot import Target

# Unix or monotonic seconds; a source of numbers in [0, 1).
Draw = Callable[[], float]
Strategy = Callable[[Sequence[Target], float, Draw], list[Target]]


def ordered(targets: Sequence[Target], now: float, draw: Draw) -> list[Target]:
    """The targets by `order`, equals as they stand in the route."""
    return sorted(targets, key=_order)


def weighted(targets: Sequence[Target], now: float, draw: Draw) -> list[Target]:
    """The targets by `order`, equals drawn by `weight` without replacement.

    The first of a group gets `weight / sum` of the traffic, the rest follow as its
    fallbacks in the same manner. A weight of 0 is a target for emergencies: it comes
    after all others of its group.
    """
    found: list[Target] = []
    for _, group in groupby(sorted(targets, key=_order), key=_order):
        found += _drawn(list(group), draw)
    return found


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


STRATEGIES: dict[str, Strategy] = {"ordered": ordered, "weighted": weighted}
