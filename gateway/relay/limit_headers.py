"""What is left of limits, in the headers that clients of each dialect read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from gateway.routing.limits import BUCKETS, SLICES, UNITS, Bound, What

Header = tuple[bytes, bytes]


def _named(template: str) -> dict[str, tuple[bytes, bytes, bytes]]:
    fields = ("limit", "remaining", "reset")
    return {
        what: (
            template.format(what=what, field=fields[0]).encode(),
            template.format(what=what, field=fields[1]).encode(),
            template.format(what=what, field=fields[2]).encode(),
        )
        for what in ("requests", "tokens")
    }


def _until(second: int, left: int) -> bytes:
    """A reset as Anthropic writes it: when."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()


def _in(second: int, left: int) -> bytes:
    """A reset as OpenAI writes it: in what time."""
    return duration(left).encode()


Names = tuple[dict[str, tuple[bytes, bytes, bytes]], Callable[[int, int], bytes]]
_OPENAI: Names = (_named("x-ratelimit-{field}-{what}"), _in)
# Dialects with names of their own; the others have OpenAI's.
_NAMES: dict[str, Names] = {
    "anthropic_messages": (_named("anthropic-ratelimit-{what}-{field}"), _until)
}

# Of a bound: its place among the counts, the most there may be beside the request itself, and
# its headers that do not change within a second: the limit, and when it is as if unused.
Head = tuple[int, int, Header, Header]
# Of a kind of bounds: the name of the header that tells what is left, and all of that kind.
Kind = tuple[bytes, tuple[Head, ...]]


class Heads:
    """What the headers of some bounds are made of, good for so long as `limits.lines` are."""

    __slots__ = ("_kinds", "_second", "_soft", "_told")

    def __init__(self, bounds: Sequence[Bound], now: float) -> None:
        # By what is counted: the place of a bound, its most, the same as told, when it ends.
        self._kinds: dict[What, list[tuple[int, int, bytes, float]]] = {}
        for number, bound in enumerate(bounds):
            if span_s := bound.span_s:
                ends = (now * SLICES // span_s + BUCKETS) * span_s / SLICES
                most = bound.most - 1 if bound.what == "requests" else bound.most
                of_kind = self._kinds.setdefault(bound.what, [])
                of_kind.append((2 * number, most, bound.told, ends))
        soft = ((2 * n, b) for n, b in enumerate(bounds) if b.rule.soft is not None)
        self._soft = tuple(soft)
        self._second = 0
        # Those of this second, by dialect: one request in many makes them.
        self._told: dict[str, tuple[Kind, ...]] = {}

    def of(self, dialect: str, counts: Sequence[int], now: float) -> list[Header]:
        """The headers for a request that was looked at: of each kind, what ends first.

        `counts` are those of `limits.look`, of all bounds or of the first of them.
        """
        second = int(now)
        if second != self._second:
            self._second = second
            self._told.clear()
        told = self._told.get(dialect)
        if told is None:
            told = self._told[dialect] = self._made(dialect, now)
        looked = len(counts)
        found: list[Header] = []
        for left_name, nearest in told:
            head, least = None, 0
            for one in nearest:
                if (place := one[0]) < looked:
                    left = one[1] - counts[place] - counts[place + 1]
                    if head is None or left < least:
                        head, least = one, left
            if head is not None:
                left_header = left_name, b"%d" % least if least > 0 else b"0"
                found += (head[2], left_header, head[3])
        if self._soft:
            found += self._warnings(counts)
        return found

    def _made(self, dialect: str, now: float) -> tuple[Kind, ...]:
        names, reset = _NAMES.get(dialect, _OPENAI)
        kinds = []
        for what, found in self._kinds.items():
            limit_name, left_name, reset_name = names[what]
            nearest = tuple(
                (
                    place,
                    most,
                    (limit_name, told),
                    (reset_name, reset(int(ends) + 1, int(ends - now) + 1)),
                )
                for place, most, told, ends in found
            )
            kinds.append((left_name, nearest))
        return tuple(kinds)

    def _warnings(self, counts: Sequence[int]) -> list[Header]:
        """The header of budgets that are nearly spent, if any is."""
        spent = ((counts[at], bound) for at, bound in self._soft if at < len(counts))
        warnings = [_spent(bound, used) for used, bound in spent if used >= (bound.rule.soft or 0)]
        if not warnings:
            return []
        return [(b"x-dragoman-budget", ", ".join(warnings).encode("ascii", "replace"))]


def duration(seconds: int) -> str:
    """A time as OpenAI writes it: `1s`, `6m0s`, `1h0m5s`."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _spent(bound: Bound, used: int) -> str:
    rule = bound.rule
    share = used * 100 // rule.most if rule.most else 100
    usd = f"{rule.most / UNITS:.6f}".rstrip("0").rstrip(".")
    return f"{rule.owner.partition(':')[0]} {rule.span} {share}% of {usd} USD"
