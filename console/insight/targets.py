"""Health of each target: hourly sums, and the circuit breaker of this process."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from django.core.paginator import Page, Paginator
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.charts import hour_level
from console.error_labels import error_label
from console.insight.time_ranges import hour_starts
from console.templatetags.ui import count
from gateway import store
from gateway.models import LatencyHour, Provider, RequestLog, TargetHour
from gateway.relay.runtime import Runtime
from gateway.routing.circuit_breaker import FAULTS, CircuitState, is_half_open
from gateway.routing.snapshot import Snapshot
from gateway.usage_querysets import quantile

HOURS = 24
# Rows of the log that are searched for the last error of each target.
RECENT_ROWS = 500
# Limits of the search for failures that are older.
_MAX_MISSING, _MAX_HOURS, _MAX_ROWS_PER_HOUR = 20, 3, 3000
_COLUMNS = ("pk", "started_at", "attempts")
# A provider is unhealthy at this share of failed calls in the last two hours, a target is failing
# at it in the newest of these hours that have MIN_ATTEMPTS calls. Above DEGRADED_SHARE it is
# degraded. Fewer calls prove no more than that: a circuit breaker also waits for the third failure.
UNHEALTHY_SHARE, MIN_ATTEMPTS = 0.5, 3
DEGRADED_SHARE = 0.1
TargetName = tuple[str, str]
# Sums of attempts, such as `attempts` and `failures`, by hour.
HourCounts = Mapping[dt.datetime, Mapping[str, int]]

# Error kind -> label and tone of a failing target; other kinds are "Failing".
_FAILING_LABELS: dict[str, tuple[str | Promise, str]] = {
    "rate_limit": (gettext_lazy("Rate limited"), "warn"),
    "quota": (gettext_lazy("Out of quota"), "bad"),
    "upstream_auth": (gettext_lazy("Credential rejected"), "bad"),
    "timeout": (gettext_lazy("Timing out"), "bad"),
    "overloaded": (gettext_lazy("Overloaded"), "warn"),
}


class Failure(msgspec.Struct, frozen=True):
    """The last failed call of a target; `kind` is the label of its `error_kind`."""

    pk: int
    failed_at: dt.datetime
    error_kind: str
    kind: str
    message: str
    status: int | None


class TargetHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One target.

    Attributes:
        state: `cooldown`, `failing` (its newest calls in the last two hours failed, or it has not
            answered since its cooldown), `degraded` (some of its newest calls failed, or all of
            fewer than MIN_ATTEMPTS or of an earlier hour), `ok`, or `quiet` if it was not called.
        cooldown_remaining_s: seconds until it is tried again.
        reason: the error kind of the cooldown or failure.
        cells: one per hour, oldest first.
        routes: names of its routes; empty if it is only called directly.
    """

    provider: str
    model: str
    preset: str
    state: str
    cooldown_remaining_s: int = 0
    reason: str = ""
    attempts: int = 0
    failed: int = 0
    ttft_p50: float | None = None
    ttft_p95: float | None = None
    duration_p50: float | None = None
    cells: tuple[dict[str, str], ...] = ()
    routes: tuple[str, ...] = ()
    error: Failure | None = None

    @property
    def label(self) -> str:
        """`provider/model`."""
        return f"{self.provider}/{self.model}"

    @property
    def failing(self) -> tuple[str | Promise, str]:
        """Label and tone while it fails."""
        return _FAILING_LABELS.get(self.reason, (_("Failing"), "bad"))

    @property
    def error_rate(self) -> float | None:
        """Share of calls that failed through the target's fault."""
        return self.failed / self.attempts if self.attempts else None


def circuit_states(runtime: Runtime | None) -> Mapping[str, CircuitState]:
    """Circuit breaker states of this process; empty before its first request."""
    return dict(runtime.health) if runtime is not None else {}


def registry_snapshot(runtime: Runtime | None) -> Snapshot:
    """The registry that this process uses."""
    return runtime.snapshot if runtime is not None else store.current_snapshot()


def target_healths(
    runtime: Runtime | None, registry: Snapshot, count: int = HOURS
) -> list[TargetHealth]:
    """All targets of routes and all called targets, unhealthy ones first."""
    return list(find_target_healths(runtime, registry, count=count))


def find_target_healths(
    runtime: Runtime | None,
    registry: Snapshot,
    text: str = "",
    page_rows: int | None = None,
    page_number: str | int | None = 1,
    count: int = HOURS,
) -> Page[Any]:
    """A page of the targets whose name contains all words of a text, as in `target_healths`.

    Without `page_rows`, it has all of them: most of the work is that for each row.
    """
    starts = hour_starts(count)
    since = starts[0]
    calls = TargetHour.objects.between(since).by_target_and_hour()
    circuit_state_by_label, routes = circuit_states(runtime), _routes_by_target(registry)
    words = text.lower().split()
    order = {"cooldown": 0, "failing": 1, "degraded": 2, "ok": 3, "quiet": 4}
    selected = []
    for provider, model in {*calls, *routes}:
        label, by_hour = f"{provider}/{model}", calls.get((provider, model), {})
        if all(word in label.lower() for word in words):
            health_state = _target_state(circuit_state_by_label.get(label), by_hour)
            position = (order[health_state], -_attempts(by_hour), label)
            selected.append((*position, (provider, model), health_state))
    selected.sort()
    pages = Paginator(selected, page_rows or max(len(selected), 1)).get_page(page_number)
    names = {name for *_, name, _ in pages}
    latencies = LatencyHour.objects.between(since)
    if page_rows is not None:
        latencies = latencies.filter(model__in={model for _provider, model in names})
    ttft = latencies.of_measure("first_token").by_target()
    durations = latencies.of_measure("total").by_target()
    failures = _add_older_failures(
        last_failures(), {name: hours for name, hours in calls.items() if name in names}
    )
    presets = dict(Provider.objects.values_list("name", "preset"))
    uncalled_cells = {begin: _hour_cell(begin, None) for begin in starts}
    healths = []
    for _order, _calls, label, target, health_state in pages:
        provider, model = target
        by_hour = calls.get(target, {})
        state = circuit_state_by_label.get(label)
        remaining_s = max(0.0, state.open_until - time.monotonic()) if state else 0.0
        error = failures.get(target)
        error_kind = state.kind if state and state.kind else error.error_kind if error else ""
        healths.append(
            TargetHealth(
                provider=provider,
                model=model,
                preset=presets.get(provider, provider),
                state=health_state,
                cooldown_remaining_s=int(remaining_s + 0.999),
                reason=error_kind,
                attempts=_attempts(by_hour),
                failed=sum(sums["failures"] for sums in by_hour.values()),
                ttft_p50=quantile(ttft.get(target, {}), 0.5),
                ttft_p95=quantile(ttft.get(target, {}), 0.95),
                duration_p50=quantile(durations.get(target, {}), 0.5),
                cells=tuple(
                    _hour_cell(begin, by_hour[begin]) if begin in by_hour else cell
                    for begin, cell in uncalled_cells.items()
                ),
                routes=routes.get(target, ()),
                error=error,
            )
        )
    return Page(healths, pages.number, pages.paginator)


def _attempts(by_hour: HourCounts) -> int:
    return sum(sums["attempts"] for sums in by_hour.values())


def _routes_by_target(registry: Snapshot) -> dict[TargetName, tuple[str, ...]]:
    routes_by_target: dict[TargetName, tuple[str, ...]] = {}
    for route in registry.routes.values():
        for target in route.targets:
            name = (target.model.provider.name, target.model.name)
            if "*" not in target.model.name and route.name not in routes_by_target.get(name, ()):
                routes_by_target[name] = (*routes_by_target.get(name, ()), route.name)
    return routes_by_target


def _target_state(state: CircuitState | None, by_hour: HourCounts) -> str:
    now = time.monotonic()
    if state is not None and state.open_until > now:
        return "cooldown"
    failures_in_a_row = state.consecutive_failures if state is not None else 0
    if failures_in_a_row >= MIN_ATTEMPTS or is_half_open(state, now):
        return "failing"
    since = _recent_start()
    if is_failing(*_newest_counts({hour: by_hour[hour] for hour in by_hour if hour >= since})):
        return "failing"
    attempts, failed_count = _newest_counts(by_hour)
    share = failed_count / attempts if attempts else 0.0
    has_enough = attempts >= MIN_ATTEMPTS
    if failures_in_a_row or share == 1 or (has_enough and share >= DEGRADED_SHARE):
        return "degraded"
    return "ok" if attempts or state is not None else "quiet"


def _newest_counts(by_hour: HourCounts) -> tuple[int, int]:
    """Calls and failures of the newest hours that have MIN_ATTEMPTS calls together."""
    attempts = failures = 0
    for hour in sorted(by_hour, reverse=True):
        if attempts >= MIN_ATTEMPTS:
            break
        attempts += by_hour[hour]["attempts"]
        failures += by_hour[hour]["failures"]
    return attempts, failures


def _hour_cell(begin: dt.datetime, sums: dict[str, int] | None) -> dict[str, str]:
    hour = f"{timezone.localtime(begin):%H:%M}"
    if not sums or not sums["attempts"]:
        return {"level": "", "label": _("%(hour)s: not called") % {"hour": hour}}
    calls = ngettext("%s call", "%s calls", sums["attempts"]) % count(sums["attempts"])
    label = _("%(hour)s: %(calls)s, %(failed)s failed")
    return {
        "level": hour_level(sums["attempts"], sums["failures"]),
        "label": label % {"hour": hour, "calls": calls, "failed": count(sums["failures"])},
    }


def last_failures() -> dict[TargetName, Failure]:
    """The newest call of each target that failed through its fault."""
    recent_rows = RequestLog.objects.newest(RECENT_ROWS).values_list(*_COLUMNS)
    older_rows = RequestLog.objects.failed().newest(RECENT_ROWS).values_list(*_COLUMNS)
    failures: dict[TargetName, Failure] = {}
    _collect_failures(failures, (*recent_rows, *older_rows))
    return failures


def _add_older_failures(
    failures: dict[TargetName, Failure],
    calls: Mapping[TargetName, Mapping[dt.datetime, Mapping[str, int]]],
) -> dict[TargetName, Failure]:
    """Add failures of targets that are older than the newest rows.

    Searches rows that ended at the target first, then the hours of its last failures.
    """
    targets_without_error = [name for name in _last_failed_hours(calls) if name not in failures]
    for provider, model in targets_without_error[:_MAX_MISSING]:
        target_rows = RequestLog.objects.column_in("model", [model]).column_in(
            "provider", [provider]
        )
        _collect_failures(failures, target_rows.failed().newest(1).values_list(*_COLUMNS))
    begins = {hour for name, hour in _last_failed_hours(calls).items() if name not in failures}
    for begin in sorted(begins, reverse=True)[:_MAX_HOURS]:
        rows = RequestLog.objects.started_between(begin, begin + dt.timedelta(hours=1))
        _collect_failures(failures, rows.newest(_MAX_ROWS_PER_HOUR).values_list(*_COLUMNS))
    return failures


def _last_failed_hours(
    calls: Mapping[TargetName, Mapping[dt.datetime, Mapping[str, int]]],
) -> dict[TargetName, dt.datetime]:
    """The newest hour with a failure of each target that has one."""
    failed_hours = {
        name: [h for h, sums in hours_of_target.items() if sums["failures"]]
        for name, hours_of_target in calls.items()
    }
    return {
        name: max(hours_of_target)
        for name, hours_of_target in failed_hours.items()
        if hours_of_target
    }


def _collect_failures(
    failures: dict[TargetName, Failure], rows: Iterable[tuple[int, dt.datetime, Any]]
) -> None:
    """Add failed attempts from rows (newest first) for targets without one."""
    for pk, started_at, attempts in rows:
        for attempt in attempts:
            name = (attempt.get("provider", ""), attempt.get("model", ""))
            error_kind = attempt.get("error_kind")
            if error_kind in FAULTS and name not in failures:
                failures[name] = Failure(
                    pk=pk,
                    failed_at=started_at,
                    error_kind=error_kind,
                    kind=error_label(error_kind),
                    message=attempt.get("error") or "",
                    status=attempt.get("status"),
                )


class HealthSummary(msgspec.Struct, frozen=True):
    """Number of healthy providers and failing targets, for the sidebar."""

    healthy: int
    total: int
    unhealthy: tuple[str, ...]
    failing: int = 0

    @property
    def level(self) -> str:
        """`ok`, `warn`, `bad`; empty without any provider."""
        if not self.total:
            return ""
        if not self.unhealthy:
            return "warn" if self.failing else "ok"
        return "warn" if self.healthy else "bad"

    @property
    def message(self) -> str:
        """One-line summary."""
        if not self.total:
            return _("No providers yet")
        providers = ngettext(
            "%(healthy)d of %(total)d provider healthy",
            "%(healthy)d of %(total)d providers healthy",
            self.total,
        ) % {"healthy": self.healthy, "total": self.total}
        if not self.failing:
            return providers
        targets = ngettext("%(n)d target failing", "%(n)d targets failing", self.failing)
        return f"{providers}, {targets % {'n': self.failing}}"


def recent_attempts() -> Mapping[TargetName, HourCounts]:
    """`attempts` and `failures` at each target in this hour and the one before, by hour."""
    return TargetHour.objects.between(_recent_start()).by_target_and_hour()


def _recent_start() -> dt.datetime:
    return hour_starts(2)[0]


def sum_by_provider(attempts: Mapping[TargetName, HourCounts]) -> dict[str, tuple[int, int]]:
    """Provider -> its targets' attempts, and how many of them failed."""
    sums: dict[str, tuple[int, int]] = {}
    for (provider, _model), by_hour in attempts.items():
        total, failed = sums.get(provider, (0, 0))
        failed += sum(counts["failures"] for counts in by_hour.values())
        sums[provider] = total + _attempts(by_hour), failed
    return sums


def is_failing(attempts: int, failures: int) -> bool:
    """Whether enough attempts failed to call a provider or target failing."""
    return attempts >= MIN_ATTEMPTS and failures / attempts >= UNHEALTHY_SHARE


def failing_targets(
    runtime: Runtime | None, attempts: Mapping[TargetName, HourCounts]
) -> list[TargetName]:
    """Targets in the state `failing`, by their recent attempts and their circuit breakers."""
    circuit_state_by_label = circuit_states(runtime)
    called = {tuple(label.split("/", 1)) for label in circuit_state_by_label if "/" in label}
    return [
        (provider, model)
        for provider, model in {*attempts, *called}
        if model
        and _target_state(
            circuit_state_by_label.get(f"{provider}/{model}"), attempts.get((provider, model), {})
        )
        == "failing"
    ]


def health_summary(runtime: Runtime | None, registry: Snapshot) -> HealthSummary:
    """Healthy providers: without a target in cooldown, and below UNHEALTHY_SHARE of failures."""
    now = time.monotonic()
    unhealthy = {
        label.partition("/")[0]
        for label, state in circuit_states(runtime).items()
        if state.open_until > now
    }
    attempts = recent_attempts()
    sums = sum_by_provider(attempts)
    unhealthy.update(name for name, counts in sums.items() if is_failing(*counts))
    names = set(registry.providers)
    failing = sum(provider in names for provider, _model in failing_targets(runtime, attempts))
    return HealthSummary(
        len(names - unhealthy), len(names), tuple(sorted(names & unhealthy)), failing
    )


def reset_cooldown(runtime: Runtime | None, label: str) -> bool:
    """End a target's cooldown in this process; False if it has no state."""
    return runtime is not None and runtime.run_in_loop(lambda: runtime.breaker.reset(label))
