"""What is left of limits, in the headers that clients of each dialect read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache

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


@lru_cache(maxsize=256)
def _until(second: int, left: int) -> bytes:
    """A reset as Anthropic writes it: when."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()


@lru_cache(maxsize=256)
def _in(second: int, left: int) -> bytes:
    """A reset as OpenAI writes it: in what time."""
    return duration(left).encode()


Names = tuple[dict[str, tuple[bytes, bytes, bytes]], Callable[[int, int], bytes]]
_OPENAI: Names = (_named("x-ratelimit-{field}-{what}"), _in)
# Dialects with names of their own; the others have OpenAI's.
_NAMES: dict[str, Names] = {
    "anthropic_messages": (_named("anthropic-ratelimit-{what}-{field}"), _until)
}


# Of a bound: its place among the counts, the most there may be beside the request itself, the
# same as clients are told, and when all that is counted now has left its window.
Head = tuple[int, int, bytes, float]
# Those of each kind, and the bounds that warn with their places.
Heads = tuple[tuple[tuple[What, tuple[Head, ...]], ...], tuple[tuple[int, Bound], ...]]


def heads(bounds: Sequence[Bound], now: float) -> Heads:
    """What headers are made of, the same for so long as `limits.lines` are."""
    kinds: dict[What, list[Head]] = {}
    for number, bound in enumerate(bounds):
        if span_s := bound.span_s:
            ends = (now * SLICES // span_s + BUCKETS) * span_s / SLICES
            most = bound.most - 1 if bound.what == "requests" else bound.most
            kinds.setdefault(bound.what, []).append((2 * number, most, bound.told, ends))
    soft = tuple((2 * n, bound) for n, bound in enumerate(bounds) if bound.rule.soft is not None)
    return tuple((what, tuple(found)) for what, found in kinds.items()), soft


def of(dialect: str, told: Heads, counts: Sequence[int], now: float) -> list[Header]:
    """The headers for a request that was looked at: of each kind, what ends first.

    `counts` are those of `limits.look`, of all bounds or of the first of them.
    """
    names, reset = _NAMES.get(dialect, _OPENAI)
    looked = len(counts)
    found: list[Header] = []
    for what, nearest in told[0]:
        least, head = 0, None
        for one in nearest:
            if (place := one[0]) < looked:
                left = one[1] - counts[place] - counts[place + 1]
                if head is None or left < least:
                    least, head = left, one
        if head is not None:
            limit_name, left_name, reset_name = names[what]
            ends = head[3]
            found += (
                (limit_name, head[2]),
                (left_name, b"%d" % least if least > 0 else b"0"),
                (reset_name, reset(int(ends) + 1, int(ends - now) + 1)),
            )
    if told[1]:
        spent = ((counts[at], bound) for at, bound in told[1] if at < looked)
        warnings = [_spent(bound, used) for used, bound in spent if used >= (bound.rule.soft or 0)]
        if warnings:
            found.append((b"x-dragoman-budget", ", ".join(warnings).encode("ascii", "replace")))
    return found


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
