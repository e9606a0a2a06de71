"""How each target does: its hours from the roll-ups, its rest from this process's health."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping

import msgspec
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.charts import level
from console.insight.spans import hours
from gateway import store
from gateway.models import PaceHour, Provider, RequestLog, TargetHour
from gateway.relay import runtime
from gateway.routing.health import State, half_open
from gateway.routing.snapshot import Snapshot
from gateway.store.usage import FAULTS
from gateway.usage_querysets import quantile

HOURS = 24
# Rows of the log that are looked through for the last error of each target.
RECENT_ROWS = 500
# A provider is called unhealthy at this share of failed calls in the last two hours, a
# target in the newest hours that have so many calls; less than that is degraded.
SICK_SHARE, SICK_TRIES = 0.5, 3
WEAK_SHARE = 0.1
Target = tuple[str, str]

_KINDS: dict[str, str | Promise] = {
    "rate_limit": gettext_lazy("rate limit"),
    "quota": gettext_lazy("out of quota"),
    "upstream_auth": gettext_lazy("credential refused"),
    "upstream_error": gettext_lazy("upstream error"),
    "timeout": gettext_lazy("timeout"),
    "overloaded": gettext_lazy("overloaded"),
    "malformed_output": gettext_lazy("malformed output"),
}

# What a target is that fails by this kind, and the tone of it; others are just failing.
_FAILING: dict[str, tuple[str | Promise, str]] = {
    "rate_limit": (gettext_lazy("Rate limited"), "warn"),
    "quota": (gettext_lazy("Out of quota"), "bad"),
    "upstream_auth": (gettext_lazy("Credential refused"), "bad"),
    "timeout": (gettext_lazy("Timing out"), "bad"),
    "overloaded": (gettext_lazy("Overloaded"), "warn"),
}


class Failure(msgspec.Struct, frozen=True):
    """The last call of a target that failed; `fault` is its error kind, `kind` says it."""

    pk: int
    at: dt.datetime
    fault: str
    kind: str
    words: str
    status: int | None


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """One target.

    Attributes:
        state: `resting`, `failing` (its newest calls failed, or it has not answered since its
            rest), `degraded` (some of them did), `ok`, or `quiet` where it was not called.
        left_s: seconds until it is tried again.
        reason: the error kind that made it rest or fail.
        cells: one an hour, oldest first, for the strip.
        routes: names of the routes it serves; empty if it is called by its own name.
    """

    provider: str
    model: str
    preset: str
    state: str
    left_s: int = 0
    reason: str = ""
    tries: int = 0
    failed: int = 0
    first_p50: float | None = None
    first_p95: float | None = None
    whole_p50: float | None = None
    cells: tuple[dict[str, str], ...] = ()
    routes: tuple[str, ...] = ()
    error: Failure | None = None

    @property
    def label(self) -> str:
        """`provider/model`."""
        return f"{self.provider}/{self.model}"

    @property
    def failing(self) -> tuple[str | Promise, str]:
        """What to call it while it fails, and the tone of that."""
        return _FAILING.get(self.reason, (_("Failing"), "bad"))

    @property
    def error_rate(self) -> float | None:
        """The share of its calls that failed by its fault."""
        return self.failed / self.tries if self.tries else None


def states() -> Mapping[str, State]:
    """The states of this process; empty before its first request."""
    running = runtime.current()
    return dict(running.health) if running is not None else {}


def snapshot() -> Snapshot:
    """The registry that this process uses."""
    running = runtime.current()
    return running.snapshot if running is not None else store.load_snapshot()


def healths(registry: Snapshot, count: int = HOURS) -> list[Health]:
    """All targets of routes, and what else was called; those in trouble first."""
    begins = hours(count)
    since = begins[0]
    calls = TargetHour.objects.between(since).by_target_and_hour()
    first = PaceHour.objects.between(since).measured("first").by_target()
    whole = PaceHour.objects.between(since).measured("whole").by_target()
    known, failures, routes = states(), last_failures(), _routes(registry)
    presets = dict(Provider.objects.values_list("name", "preset"))
    found = []
    for provider, model in {*calls, *routes}:
        target = (provider, model)
        by_hour = calls.get(target, {})
        tries = sum(sums["tries"] for sums in by_hour.values())
        state = known.get(f"{provider}/{model}")
        left = max(0.0, state.until - time.monotonic()) if state else 0.0
        error = failures.get(target)
        fault = state.kind if state and state.kind else error.fault if error else ""
        found.append(
            Health(
                provider=provider,
                model=model,
                preset=presets.get(provider, provider),
                state=_state(state, by_hour),
                left_s=int(left + 0.999),
                reason=fault,
                tries=tries,
                failed=sum(sums["failed"] for sums in by_hour.values()),
                first_p50=quantile(first.get(target, {}), 0.5),
                first_p95=quantile(first.get(target, {}), 0.95),
                whole_p50=quantile(whole.get(target, {}), 0.5),
                cells=tuple(_cell(begin, by_hour.get(begin)) for begin in begins),
                routes=routes.get(target, ()),
                error=error,
            )
        )
    order = {"resting": 0, "failing": 1, "degraded": 2, "ok": 3, "quiet": 4}
    return sorted(found, key=lambda row: (order[row.state], -row.tries, row.label))


def _routes(registry: Snapshot) -> dict[Target, tuple[str, ...]]:
    found: dict[Target, tuple[str, ...]] = {}
    for route in registry.routes.values():
        for target in route.targets:
            name = (target.model.provider.name, target.model.name)
            if "*" not in target.model.name and route.name not in found.get(name, ()):
                found[name] = (*found.get(name, ()), route.name)
    return found


def _state(state: State | None, by_hour: Mapping[dt.datetime, Mapping[str, int]]) -> str:
    now = time.monotonic()
    if state is not None and state.until > now:
        return "resting"
    if state is not None and (state.failures or half_open(state, now)):
        return "failing"
    tries, failed = _newest(by_hour)
    share = failed / tries if tries else 0.0
    enough = tries >= SICK_TRIES
    if share == 1 or (enough and share >= SICK_SHARE):
        return "failing"
    if enough and share >= WEAK_SHARE:
        return "degraded"
    return "ok" if tries or state is not None else "quiet"


def _newest(by_hour: Mapping[dt.datetime, Mapping[str, int]]) -> tuple[int, int]:
    """Calls and failures of the newest hours that together have enough to go by."""
    tries = failed = 0
    for hour in sorted(by_hour, reverse=True):
        if tries >= SICK_TRIES:
            break
        tries += by_hour[hour]["tries"]
        failed += by_hour[hour]["failed"]
    return tries, failed


def _cell(begin: dt.datetime, sums: dict[str, int] | None) -> dict[str, str]:
    hour = f"{timezone.localtime(begin):%H:%M}"
    if not sums or not sums["tries"]:
        return {"level": "", "label": _("%(hour)s: not called") % {"hour": hour}}
    calls = ngettext("%(n)d call", "%(n)d calls", sums["tries"]) % {"n": sums["tries"]}
    words = _("%(hour)s: %(calls)s, %(failed)d failed")
    return {
        "level": level(sums["tries"], sums["failed"]),
        "label": words % {"hour": hour, "calls": calls, "failed": sums["failed"]},
    }


def last_failures() -> dict[Target, Failure]:
    """The newest call of each target that failed by its fault, whoever answered then."""
    columns = ("pk", "started_at", "attempts")
    found: dict[Target, Failure] = {}
    recent = RequestLog.objects.newest(RECENT_ROWS).values_list(*columns)
    older = RequestLog.objects.failed().newest(RECENT_ROWS).values_list(*columns)
    for pk, at, attempts in (*recent, *older):
        for attempt in attempts:
            name = (attempt.get("provider", ""), attempt.get("model", ""))
            kind = attempt.get("error_kind")
            if kind in FAULTS and name not in found:
                found[name] = Failure(
                    pk=pk,
                    at=at,
                    fault=kind,
                    kind=str(_KINDS.get(kind, kind)),
                    words=attempt.get("error") or "",
                    status=attempt.get("status"),
                )
    return found


class Summary(msgspec.Struct, frozen=True):
    """How many providers are well, for the sidebar."""

    healthy: int
    total: int
    sick: tuple[str, ...]

    @property
    def level(self) -> str:
        """`ok`, `warn`, `bad`; empty without any provider."""
        if not self.total:
            return ""
        if not self.sick:
            return "ok"
        return "warn" if self.healthy else "bad"

    @property
    def words(self) -> str:
        """A line for people."""
        if not self.total:
            return _("No providers yet")
        return ngettext(
            "%(healthy)d of %(total)d provider healthy",
            "%(healthy)d of %(total)d providers healthy",
            self.total,
        ) % {"healthy": self.healthy, "total": self.total}


def summary(registry: Snapshot) -> Summary:
    """Providers, without those a target of which rests or that mostly fail just now."""
    now = time.monotonic()
    sick = {label.partition("/")[0] for label, state in states().items() if state.until > now}
    sums: dict[str, list[int]] = {}
    for (provider, _model), row in TargetHour.objects.between(hours(2)[0]).by_target().items():
        held = sums.setdefault(provider, [0, 0])
        held[0] += row["tries"]
        held[1] += row["failed"]
    for provider, (tries, failed) in sums.items():
        if tries >= SICK_TRIES and failed / tries >= SICK_SHARE:
            sick.add(provider)
    names = set(registry.providers)
    return Summary(len(names - sick), len(names), tuple(sorted(names & sick)))


def reset(label: str) -> bool:
    """End a target's rest in this process; False if nothing was known of it."""
    running = runtime.current()
    return running is not None and running.breaker.forget(label)
