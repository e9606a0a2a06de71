"""What limits, budgets and the look for a kept answer cost: CPU time of one gateway.

    uv run python -m tests.bench.limits            at most 15 % more CPU time with all of them
    uv run python -m tests.bench.limits -n 30 -c 500

One gateway process answers the same load with and without them, in short turns, so that
whatever else the machine does falls on all alike. Each round compares them with the turn
without, and what counts is the median of the rounds: of the event loop's thread, and of the
whole process, which writes the log's rows as well.
The key has a limit of each kind (requests and tokens a minute, requests at a time, a budget a
month) that is never reached, or every limit that it can have; the route looks for an answer
to each question, finds none and keeps none.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from operator import attrgetter

import msgspec

from tests.bench import measure, meter, programs
from tests.bench.measure import GatewayStack

MOST = 1.15
LOOP, WHOLE = attrgetter("loop"), attrgetter("whole")
# Longer than a process takes to see that the registry has changed.
SETTLE_S = 2.0
ROOMY = 10**9
EACH_KIND = ("limit_rpm", "limit_tpm", "limit_concurrency", "budget_month_usd")
EVERY = (
    *EACH_KIND,
    *("limit_rph", "limit_rpd", "limit_tph", "limit_tpd"),
    *("budget_day_usd", "budget_week_usd", "budget_total_usd"),
)
# At a time; and the answer that the fake provider gives.
LOAD = ("-c", "16", "-b", "n=20,d=0,s=5", "-t", "30", "-w", "0", "-U")

_CREATE_KEYS = """
import json
from gateway import store
from gateway.models import ApiKey
from gateway.store.documents import KINDS
routes = KINDS["routes"]
for name in ("mock", "mock-anthropic"):
    found = routes.read(routes.find(name))
    kept = {"own": {"dialects": "own", "max_bytes": 1}, "all": {"dialects": "all", "max_bytes": 1}}
    for suffix, cache in {"off": {}, **kept}.items():
        routes.write({**found, "name": f"{name}-{suffix}", "cache": cache}, None)
print(json.dumps([store.create_key(f"bench-{n}", **x)[1] for n, x in enumerate(%r)]))
"""


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """What a turn asks: by which of the keys, and which of the routes.

    None of the routes is called as the upstream's model is: its name costs all of them alike.
    """

    key: int = 0
    cache: str = "-off"


VARIANTS = {
    "without": Variant(),
    "limits and budget": Variant(key=1),
    "every limit": Variant(key=2),
    "cache, own form": Variant(cache="-own"),
    "cache, all forms": Variant(cache="-all"),
    "all, own form": Variant(key=1, cache="-own"),
    "all, all forms": Variant(key=1, cache="-all"),
}
TARGET_SERIES = ("all, own form", "all, all forms")
# A client's dialect, and the fake provider's: what passes through, and what is translated.
DIALECT_PAIRS = {"chat": ("chat", "mock"), "messages>chat": ("messages", "mock")}


def create_routes_and_keys(stack: GatewayStack) -> list[str]:
    """Make the routes that look for answers, and the keys."""
    limits = [dict.fromkeys(names, ROOMY) for names in ((), EACH_KIND, EVERY)]
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", _CREATE_KEYS % (limits,)],
        cwd=programs.ROOT,
        env={**os.environ, "DRAGOMAN_DATA_DIR": str(stack.dragoman.folder / "data")},
        check=True,
        capture_output=True,
        text=True,
    )
    keys: list[str] = json.loads(done.stdout.strip().splitlines()[-1])
    time.sleep(SETTLE_S)
    return keys


class CpuTime(msgspec.Struct, frozen=True):
    """CPU microseconds for each request: of the event loop, and of the whole process."""

    loop: float
    whole: float


# By lane and way: one for each round.
Costs = dict[str, dict[str, list[CpuTime]]]


def measure_cpu_time(stack: GatewayStack, pair: str, key: str, model: str, count: int) -> CpuTime:
    """What each of `count` requests costs the gateway."""
    client, _ = DIALECT_PAIRS[pair]
    command = [str(stack.folder / "load"), "-p", str(stack.dragoman.port), "-m", model, "-k", key]
    command += [*LOAD, "-N", str(count), *(["-A"] if client == "messages" else [])]
    assert stack.dragoman.process is not None
    pid = stack.dragoman.process.pid
    pids = meter.family(pid)
    loop, whole = meter.loop_s(pid), meter.cpu_s(pids)
    done = subprocess.run(
        programs.pinned(command, 0), stdout=subprocess.PIPE, check=True, text=True
    )
    loop = meter.loop_s(pid) - loop
    stack.dragoman.settle()
    body = json.loads(done.stdout.splitlines()[-1])
    if body["ok"] != count:
        raise SystemExit(f"{body['ok']} of {count} requests were answered: {body}")
    return CpuTime(loop / count * 1e6, (meter.cpu_s(pids) - whole) / count * 1e6)


def measure_costs(stack: GatewayStack, rounds: int, count: int) -> Costs:
    """What a request costs, by lane and way. Each round begins with another way."""
    keys = create_routes_and_keys(stack)
    by_names_by_lane: Costs = {pair: {name: [] for name in VARIANTS} for pair in DIALECT_PAIRS}
    for number in range(rounds + 1):
        first = number % len(VARIANTS)
        for pair, (_, model) in DIALECT_PAIRS.items():
            for name in (*VARIANTS, *VARIANTS)[first : first + len(VARIANTS)]:
                variant = VARIANTS[name]
                cost = measure_cpu_time(
                    stack, pair, keys[variant.key], model + variant.cache, count
                )
                if number:  # the first is practice
                    by_names_by_lane[pair][name].append(cost)
    return by_names_by_lane


def ratio(costs: dict[str, list[CpuTime]], name: str, of: Callable[[CpuTime], float]) -> float:
    """How many times what a way costs without: the median of the rounds."""
    pairs = zip(costs[name], costs["without"], strict=True)
    return statistics.median(of(cost) / of(base) for cost, base in pairs)


def table(actual_costs: Costs) -> list[str]:
    """A line for each lane and way: event loop, then the whole process."""
    lines = []
    for pair, costs in actual_costs.items():
        for name, each in costs.items():
            cells = (
                f"{statistics.median(map(of, each)):7.1f} us  x {ratio(costs, name, of):.3f}"
                for of in (LOOP, WHOLE)
            )
            lines.append(f"{pair:14} {name:20} {'   '.join(cells)}")
    return lines


def worst(actual_costs: Costs) -> float:
    """The highest ratio of all of them to without, over the lanes and forms.

    Of the whole process, by which all other goals in CPU time go.
    """
    return max(
        ratio(costs, name, WHOLE) for costs in actual_costs.values() for name in TARGET_SERIES
    )


def main(argv: list[str] | None = None) -> int:
    """Run it; the exit status is 1 where they cost more than they may."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-n", "--rounds", type=int, default=15)
    parser.add_argument("-c", "--count", type=int, default=500)
    options = parser.parse_args(argv)
    with measure.running_stack() as stack:
        actual_measured = measure_costs(stack, options.rounds, options.count)
    print("\n".join(table(actual_measured)))
    return int(worst(actual_measured) > MOST)


if __name__ == "__main__":
    sys.exit(main())
