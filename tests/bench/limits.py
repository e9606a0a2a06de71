"""CPU time that limits, budgets and cache lookups add to a request.

    uv run python -m tests.bench.limits            fails above 15 % more CPU time
    uv run python -m tests.bench.limits -n 30 -c 500

One gateway process answers the same load with and without these features, alternating in short
runs, so that other load on the machine affects all variants equally. Each round compares every
variant with the plain one; the reported ratio is the median of the rounds, for the thread of
the event loop and for the whole process, which also writes the log.
The key has one limit of each kind (requests and tokens per minute, concurrent requests, a
monthly budget) or every possible limit, none of which is ever reached. The route looks up each
request in the response cache, misses, and stores no response.
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

MAX_RATIO = 1.15
LOOP_US, PROCESS_US = attrgetter("loop_us"), attrgetter("process_us")
# Longer than the gateway needs to load a changed registry.
REGISTRY_RELOAD_S = 2.0
NEVER_REACHED = 10**9
LIMIT_OF_EACH_KIND = ("limit_rpm", "limit_tpm", "limit_concurrency", "budget_month_usd")
ALL_LIMITS = (
    *LIMIT_OF_EACH_KIND,
    *("limit_rph", "limit_rpd", "limit_tph", "limit_tpd"),
    *("budget_day_usd", "budget_week_usd", "budget_total_usd"),
)
# Concurrency, and the options of the fake provider.
LOAD = ("-c", "16", "-b", "n=20,d=0,s=5", "-t", "30", "-w", "0", "-U")

_CREATE_KEYS = """
import json
from gateway import store
from gateway.models import ApiKey
from gateway.store.documents import KINDS
routes = KINDS["routes"]
for name in ("mock", "mock-anthropic"):
    route = routes.read(routes.find(name))
    caches = {"same": {"dialects": "same", "max_bytes": 1}, "all": {"dialects": "all", "max_bytes": 1}}
    for suffix, cache in {"off": {}, **caches}.items():
        routes.write({**route, "name": f"{name}-{suffix}", "cache": cache}, None)
print(json.dumps([store.create_key(f"bench-{n}", **limits)[1] for n, limits in enumerate(%r)]))
"""


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """The key and the route of the measured requests.

    Attributes:
        key: index of the key; the first has no limits.
        cache: suffix of the route's name. No route has the name of the upstream model, so
            that renaming the model costs the same in every variant.
    """

    key: int = 0
    cache: str = "-off"


VARIANTS = {
    "plain": Variant(),
    "limits and budget": Variant(key=1),
    "every limit": Variant(key=2),
    "cache, same dialect": Variant(cache="-same"),
    "cache, all dialects": Variant(cache="-all"),
    "all, same dialect": Variant(key=1, cache="-same"),
    "all, all dialects": Variant(key=1, cache="-all"),
}
VARIANTS_WITH_GOAL = ("all, same dialect", "all, all dialects")
# Name -> dialect of the client and route: one pair is passthrough, one is translated.
DIALECT_PAIRS = {"chat": ("chat", "mock"), "messages>chat": ("messages", "mock")}


def create_routes_and_keys(stack: GatewayStack) -> list[str]:
    """Create the routes with response caches and the keys with limits; return the keys."""
    limits = [dict.fromkeys(names, NEVER_REACHED) for names in ((), LIMIT_OF_EACH_KIND, ALL_LIMITS)]
    process = subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", _CREATE_KEYS % (limits,)],
        cwd=programs.ROOT,
        env={**os.environ, "DRAGOMAN_DATA_DIR": str(stack.dragoman.folder / "data")},
        check=True,
        capture_output=True,
        text=True,
    )
    keys: list[str] = json.loads(process.stdout.strip().splitlines()[-1])
    time.sleep(REGISTRY_RELOAD_S)
    return keys


class CpuTime(msgspec.Struct, frozen=True):
    """CPU microseconds per request of the event loop and of the whole process."""

    loop_us: float
    process_us: float


# Dialect pair -> variant -> one value per round.
Costs = dict[str, dict[str, list[CpuTime]]]


def measure_cpu_time(stack: GatewayStack, pair: str, key: str, model: str, count: int) -> CpuTime:
    """Return the mean CPU time of the gateway for each of `count` requests."""
    client, _ = DIALECT_PAIRS[pair]
    command = [str(stack.folder / "load"), "-p", str(stack.dragoman.port), "-m", model, "-k", key]
    command += [*LOAD, "-N", str(count), *(["-A"] if client == "messages" else [])]
    assert stack.dragoman.process is not None
    pid = stack.dragoman.process.pid
    pids = meter.process_tree(pid)
    loop_s, process_s = meter.loop_s(pid), meter.cpu_s(pids)
    process = subprocess.run(
        programs.pin_to_core(command, 0), stdout=subprocess.PIPE, check=True, text=True
    )
    loop_s = meter.loop_s(pid) - loop_s
    stack.dragoman.settle()
    report = json.loads(process.stdout.splitlines()[-1])
    if report["ok"] != count:
        raise SystemExit(f"{report['ok']} of {count} requests were answered: {report}")
    process_s = meter.cpu_s(pids) - process_s
    return CpuTime(loop_s / count * 1e6, process_s / count * 1e6)


def measure_costs(stack: GatewayStack, rounds: int, count: int) -> Costs:
    """Return the CPU time of a request by dialect pair and variant.

    Each round starts with another variant; the first round is a warm-up.
    """
    keys = create_routes_and_keys(stack)
    costs: Costs = {pair: {name: [] for name in VARIANTS} for pair in DIALECT_PAIRS}
    for number in range(rounds + 1):
        first = number % len(VARIANTS)
        for pair, (_, model) in DIALECT_PAIRS.items():
            for name in (*VARIANTS, *VARIANTS)[first : first + len(VARIANTS)]:
                variant = VARIANTS[name]
                cost = measure_cpu_time(
                    stack, pair, keys[variant.key], model + variant.cache, count
                )
                if number:  # 0 is the warm-up
                    costs[pair][name].append(cost)
    return costs


def ratio(costs: dict[str, list[CpuTime]], name: str, field: Callable[[CpuTime], float]) -> float:
    """Return how many times the plain CPU time a variant takes: the median of the rounds."""
    pairs = zip(costs[name], costs["plain"], strict=True)
    return statistics.median(field(cost) / field(plain) for cost, plain in pairs)


def table(costs: Costs) -> list[str]:
    """Return a line per dialect pair and variant: event loop, then the whole process."""
    lines = []
    for pair, by_variant in costs.items():
        for name, cpu_times in by_variant.items():
            cells = (
                f"{statistics.median(map(field, cpu_times)):7.1f} us  x {ratio(by_variant, name, field):.3f}"
                for field in (LOOP_US, PROCESS_US)
            )
            lines.append(f"{pair:14} {name:20} {'   '.join(cells)}")
    return lines


def highest_ratio(costs: Costs) -> float:
    """Return the highest ratio of the variants that have a goal, for the whole process."""
    return max(
        ratio(by_variant, name, PROCESS_US)
        for by_variant in costs.values()
        for name in VARIANTS_WITH_GOAL
    )


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark and print its table; return 1 if the goal is missed, otherwise 0."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-n", "--rounds", type=int, default=15)
    parser.add_argument("-c", "--count", type=int, default=500)
    options = parser.parse_args(argv)
    with measure.running_stack() as stack:
        costs = measure_costs(stack, options.rounds, options.count)
    print("\n".join(table(costs)))
    return int(highest_ratio(costs) > MAX_RATIO)


if __name__ == "__main__":
    sys.exit(main())
