"""Response headers that report the remaining amounts of limits, for each dialect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from gateway.framing.headers import Header
from gateway.routing.limits import BUCKETS, SLICES, UNITS, Metric, RuleCounter


def _header_names(template: str) -> dict[str, tuple[bytes, bytes, bytes]]:
    fields = ("limit", "remaining", "reset")
    return {
        metric: (
            template.format(metric=metric, field=fields[0]).encode(),
            template.format(metric=metric, field=fields[1]).encode(),
            template.format(metric=metric, field=fields[2]).encode(),
        )
        for metric in ("requests", "tokens")
    }


def _reset_timestamp(second: int, remaining_s: int) -> bytes:
    """A reset in Anthropic's format: a timestamp."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()


def _reset_duration(second: int, remaining_s: int) -> bytes:
    """A reset in OpenAI's format: a duration."""
    return format_duration(remaining_s).encode()


HeaderFormat = tuple[dict[str, tuple[bytes, bytes, bytes]], Callable[[int, int], bytes]]
_OPENAI: HeaderFormat = (_header_names("x-ratelimit-{field}-{metric}"), _reset_duration)
# Dialects with header names of their own; the others use OpenAI's.
_FORMAT_BY_DIALECT: dict[str, HeaderFormat] = {
    "anthropic_messages": (_header_names("anthropic-ratelimit-{metric}-{field}"), _reset_timestamp)
}

# Of a rule counter: its index in the counts, the maximum use besides the request itself, and its
# headers that do not change within a second: the limit, and its reset.
BoundHeaders = tuple[int, int, Header, Header]
# Of a metric: the name of the header for the remaining amount, and all rule counters of the metric.
MetricHeaders = tuple[bytes, tuple[BoundHeaders, ...]]


class LimitHeaders:
    """Renders the headers of rule counters; valid as long as `limits.current_windows` of them."""

    __slots__ = ("_counters_by_metric", "_headers_by_dialect", "_second", "_soft_counters")

    def __init__(self, rule_counters: Sequence[RuleCounter], now: float) -> None:
        # By metric: index of a counter in the counts, maximum use, its text, end of the window.
        self._counters_by_metric: dict[Metric, list[tuple[int, int, bytes, float]]] = {}
        for number, counter in enumerate(rule_counters):
            if span_s := counter.span_s:
                window_end = (now * SLICES // span_s + BUCKETS) * span_s / SLICES
                max_used = counter.limit - 1 if counter.metric == "requests" else counter.limit
                metric_counters = self._counters_by_metric.setdefault(counter.metric, [])
                metric_counters.append((2 * number, max_used, counter.limit_text, window_end))
        soft = ((2 * n, c) for n, c in enumerate(rule_counters) if c.rule.soft is not None)
        self._soft_counters = tuple(soft)
        self._second = 0
        # Headers of this second, by dialect: built by its first request.
        self._headers_by_dialect: dict[str, tuple[MetricHeaders, ...]] = {}

    def render(self, dialect: str, counts: Sequence[int], now: float) -> list[Header]:
        """The headers for a checked request: of each metric, those of the tightest counter.

        `counts` are those of `limits.check_limits`, of all rule counters or of the first of them.
        """
        second = int(now)
        if second != self._second:
            self._second = second
            self._headers_by_dialect.clear()
        metric_headers = self._headers_by_dialect.get(dialect)
        if metric_headers is None:
            metric_headers = self._headers_by_dialect[dialect] = self._build_headers(dialect, now)
        counts_length = len(counts)
        headers: list[Header] = []
        for remaining_name, candidates in metric_headers:
            tightest, min_remaining = None, 0
            for candidate in candidates:
                if (index := candidate[0]) < counts_length:
                    remaining = candidate[1] - counts[index] - counts[index + 1]
                    if tightest is None or remaining < min_remaining:
                        tightest, min_remaining = candidate, remaining
            if tightest is not None:
                remaining_header = (
                    remaining_name,
                    b"%d" % min_remaining if min_remaining > 0 else b"0",
                )
                headers += (tightest[2], remaining_header, tightest[3])
        if self._soft_counters:
            headers += self._warning_headers(counts)
        return headers

    def _build_headers(self, dialect: str, now: float) -> tuple[MetricHeaders, ...]:
        names, reset = _FORMAT_BY_DIALECT.get(dialect, _OPENAI)
        all_metrics = []
        for metric, rule_counters in self._counters_by_metric.items():
            limit_name, remaining_name, reset_name = names[metric]
            counter_headers = tuple(
                (
                    index,
                    max_used,
                    (limit_name, limit_text),
                    (reset_name, reset(int(window_end) + 1, int(window_end - now) + 1)),
                )
                for index, max_used, limit_text, window_end in rule_counters
            )
            all_metrics.append((remaining_name, counter_headers))
        return tuple(all_metrics)

    def _warning_headers(self, counts: Sequence[int]) -> list[Header]:
        """The header of budgets that have passed their soft limit, if there are any."""
        budget_counts = (
            (counts[n], counter) for n, counter in self._soft_counters if n < len(counts)
        )
        warnings = [
            _budget_warning(counter, spent_units)
            for spent_units, counter in budget_counts
            if spent_units >= (counter.rule.soft or 0)
        ]
        if not warnings:
            return []
        return [(b"x-dragoman-budget", ", ".join(warnings).encode("ascii", "replace"))]


def format_duration(seconds: int) -> str:
    """A duration in OpenAI's format: `1s`, `6m0s`, `1h0m5s`."""
    minutes, remaining_seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{remaining_seconds}s"
    return f"{minutes}m{remaining_seconds}s" if minutes else f"{remaining_seconds}s"


def _budget_warning(counter: RuleCounter, spent_units: int) -> str:
    rule = counter.rule
    share = spent_units * 100 // rule.limit if rule.limit else 100
    usd = f"{rule.limit / UNITS:.6f}".rstrip("0").rstrip(".")
    return f"{rule.owner.partition(':')[0]} {rule.span} {share}% of {usd} USD"
