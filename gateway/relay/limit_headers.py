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


def of(dialect: str, bounds: Sequence[Bound], counts: Sequence[int], now: float) -> list[Header]:
    """The headers for a request that was looked at: of each kind, what ends first.

    `counts` are those of `limits.look`.
    """
    nearest: dict[What, tuple[int, Bound]] = {}
    warnings: list[str] = []
    at = 0
    for bound in bounds[: len(counts) // 2]:
        used = counts[at]
        if bound.span_s:
            # The request itself is one of those that it is told of.
            what = bound.what
            left = bound.most - used - (1 if what == "requests" else counts[at + 1])
            held = nearest.get(what)
            if held is None or left < held[0]:
                nearest[what] = left, bound
        elif bound.rule.soft is not None and used >= bound.rule.soft:
            warnings.append(_spent(bound, used))
        at += 2
    names, reset = _NAMES.get(dialect, _OPENAI)
    found: list[Header] = []
    for what, (left, bound) in nearest.items():
        limit_name, left_name, reset_name = names[what]
        span_s = bound.span_s
        # When all that is counted now has left the window.
        ends = (now * SLICES // span_s + BUCKETS) * span_s / SLICES
        found += (
            (limit_name, bound.told),
            (left_name, b"%d" % left if left > 0 else b"0"),
            (reset_name, reset(int(ends) + 1, int(ends - now) + 1)),
        )
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
