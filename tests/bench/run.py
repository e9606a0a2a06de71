"""Measure the gateway against nginx and print a table.

    uv run python -m tests.bench.run             all shapes, three rounds: five minutes
    uv run python -m tests.bench.run --check     the same; exit status 1 where a goal is missed
    uv run python -m tests.bench.run -s unary-16,stream-10ms -n 1

What is compared is CPU time for each answer or chunk, of the program's own processes: that
holds on a busy machine, where rates do not. Each round runs nginx and the gateway one after
the other, and the ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator

import msgspec

from tests.bench import measure, programs
from tests.bench.measure import GatewayStack, Result
from tests.bench.scenarios import DIALECT_PAIRS, SHAPES, DialectPair, Goal, Shape, goals

# shape -> lane -> what -> one value for each round
Values = dict[str, dict[str, dict[str, list[float]]]]
COLUMNS = {
    "nginx_us": "nginx us",
    "cpu_us": "us",
    "cpu_ratio": "x nginx",
    "total_ms": "p50 ms",
    "added_ms": "added ms",
    "first_added_ms": "first text added ms",
    "chunk_added_ms": "chunk p99 added ms",
    "kb_each": "kB each",
}


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How much to measure."""

    shapes: tuple[str, ...] = tuple(SHAPES)
    rounds: int = 3
    secs: float = 3.0
    leaves: int = 5


class Report(msgspec.Struct, frozen=True):
    """All values of a run, and what failed."""

    values: Values
    failures: list[str]

    def median(self, shape: str, pair: str, what: str) -> float | None:
        """The middle one of the rounds."""
        seconds = self.values.get(shape, {}).get(pair, {}).get(what)
        return statistics.median(seconds) if seconds else None


def measure_shapes(stack: GatewayStack, options: Options) -> Report:
    """Run everything."""
    values: Values = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    report = Report(values, [])
    values["start"]["all"] = {"seconds": [stack.start_s], "idle_mb": [stack.idle_mb]}
    for _ in range(options.rounds):
        for name in options.shapes:
            _round(stack, SHAPES[name], options, report)
    for pair in DIALECT_PAIRS.values() if options.leaves else ():
        for name, stream in (("leave-stream", True), ("leave-unary", False)):
            took = [measure.leave(stack, pair, stream=stream) for _ in range(options.leaves)]
            values[name][pair.name]["seconds"] = took
    return report


def _round(stack: GatewayStack, shape: Shape, options: Options, report: Report) -> None:
    pairs = [pair for pair in DIALECT_PAIRS.values() if not shape.pairs or pair.name in shape.pairs]
    for client in dict.fromkeys(pair.client for pair in pairs):
        mine = [pair for pair in pairs if pair.client == client]
        secs = options.secs
        direct = (
            measure.load(stack, stack.fake_provider, shape, mine[0], secs=secs)
            if shape.direct
            else None
        )
        nginx = measure.load(stack, stack.nginx, shape, mine[0], secs=secs)
        for pair in mine:
            result = measure.load(stack, stack.dragoman, shape, pair, secs=secs)
            for name, value in _values(shape, result, nginx, direct):
                report.values[shape.name][pair.name][name].append(value)
            report.failures.extend(_failures(shape, pair, nginx, result))


def _values(
    shape: Shape, result: Result, nginx: Result, direct: Result | None
) -> Iterator[tuple[str, float]]:
    yield "nginx_us", nginx.cpu_us
    yield "cpu_us", result.cpu_us
    yield "cpu_ratio", result.cpu_us / max(nginx.cpu_us, 0.001)
    if shape.ramp_s:
        yield "kb_each", (result.peak_kb - result.idle_kb) / max(result.peak_open, 1)
    if shape.unit == "ok" or shape.direct:
        yield "total_ms", result.total_ms
    if direct is not None:
        yield "added_ms", result.total_ms - direct.total_ms
    if direct is not None and shape.unit == "chunks":
        yield "first_added_ms", result.first_ms - direct.first_ms
        yield "chunk_added_ms", result.chunk99_ms - direct.chunk99_ms


def _failures(shape: Shape, pair: DialectPair, nginx: Result, result: Result) -> Iterator[str]:
    for who, results in (("nginx", nginx), ("dragoman", result)):
        if results.failed:
            yield f"{shape.name} {pair.name} {who}: {results.failed}"


def table(report: Report) -> Iterator[str]:
    """The shapes as a Markdown table."""
    yield "| shape | lane | " + " | ".join(COLUMNS.values()) + " |"
    yield "|---|---" + "|--:" * len(COLUMNS) + "|"
    for shape in SHAPES:
        for pair in report.values.get(shape, {}):
            cells = [report.median(shape, pair, column) for column in COLUMNS]
            texts = ["" if cell is None else f"{cell:.3g}" for cell in cells]
            yield f"| {shape} | {pair} | " + " | ".join(texts) + " |"


def goal_results(report: Report) -> Iterator[tuple[bool, str]]:
    """Each goal that was measured: whether it is met, and the worst lane's value."""
    for goal in goals():
        pairs = [name for name in report.values.get(goal.shape, {}) if _goal_applies(goal, name)]
        medians_by_lane = {pair: report.median(goal.shape, pair, goal.what) for pair in pairs}
        known = {pair: value for pair, value in medians_by_lane.items() if value is not None}
        if known:
            pair, value = max(known.items(), key=lambda item: item[1])
            line = f"{goal.shape} {goal.what} ({pair}): {value:.3g} of at most {goal.maximum:g}"
            yield value <= goal.maximum, f"{line} {goal.unit}"


def _goal_applies(goal: Goal, pair: str) -> bool:
    return goal.translated is None or DIALECT_PAIRS[pair].translated == goal.translated


def main(argv: list[str] | None = None) -> int:
    """Run it; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-s", "--shapes", default=",".join(SHAPES), help=", ".join(SHAPES))
    parser.add_argument("-n", "--rounds", type=int, default=3)
    parser.add_argument("-t", "--secs", type=float, default=3.0)
    parser.add_argument("--check", action="store_true", help="exit with 1 where a goal is missed")
    options = parser.parse_args(argv)
    if lacks := programs.missing_packages():
        parser.error(f"install {' '.join(lacks)} first")
    shapes = tuple(options.shapes.split(","))
    with measure.running_stack() as stack:
        report = measure_shapes(
            stack, Options(shapes=shapes, rounds=options.rounds, secs=options.secs)
        )
    verdicts = list(goal_results(report))
    print("\n".join([*table(report), ""]))
    print("\n".join(f"{'ok    ' if met else 'MISSED'} {line}" for met, line in verdicts))
    print("\n".join(f"FAILED {line}" for line in report.failures))
    bad = bool(report.failures) or not all(met for met, _ in verdicts)
    return int(options.check and bad)


if __name__ == "__main__":
    sys.exit(main())
