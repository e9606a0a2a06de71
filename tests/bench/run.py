"""Measure the gateway against nginx and print a table.

    uv run python -m tests.bench.run             all shapes, three rounds: five minutes
    uv run python -m tests.bench.run --check     the same; exit status 1 if a goal is missed
    uv run python -m tests.bench.run -s unary-16,stream-10ms -n 1

The main figure is CPU time per response or chunk of the program's processes: unlike request
rates, it is stable on a busy machine. Each round runs nginx and then the gateway; the reported
ratio is the median of the rounds.
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

# shape -> dialect pair -> metric -> one value per round
Values = dict[str, dict[str, dict[str, list[float]]]]
COLUMNS = {
    "nginx_us": "nginx us",
    "cpu_us": "us",
    "cpu_ratio": "x nginx",
    "total_ms": "p50 ms",
    "added_ms": "added ms",
    "first_added_ms": "first text added ms",
    "chunk_added_ms": "chunk p99 added ms",
    "kb_per_stream": "kB per stream",
}


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The measured shapes and how often and how long each of them runs.

    Attributes:
        duration_s: measured seconds of each load.
        disconnects: measured client disconnects of each dialect pair.
    """

    shapes: tuple[str, ...] = tuple(SHAPES)
    rounds: int = 3
    duration_s: float = 3.0
    disconnects: int = 5


class Report(msgspec.Struct, frozen=True):
    """All measured values of a run, and its failures."""

    values: Values
    failures: list[str]

    def median(self, shape: str, pair: str, metric: str) -> float | None:
        """Return the median of the rounds; None if the metric was not measured."""
        values = self.values.get(shape, {}).get(pair, {}).get(metric)
        return statistics.median(values) if values else None


def measure_shapes(stack: GatewayStack, options: Options) -> Report:
    """Return the measurements of all shapes and of client disconnects."""
    values: Values = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    report = Report(values, [])
    values["start"]["all"] = {"seconds": [stack.start_s], "idle_mb": [stack.idle_mb]}
    for _ in range(options.rounds):
        for name in options.shapes:
            _measure_round(stack, SHAPES[name], options, report)
    for pair in DIALECT_PAIRS.values() if options.disconnects else ():
        for name, stream in (("disconnect-stream", True), ("disconnect-unary", False)):
            values[name][pair.name]["seconds"] = [
                measure.measure_disconnect(stack, pair, stream=stream)
                for _ in range(options.disconnects)
            ]
    return report


def _measure_round(stack: GatewayStack, shape: Shape, options: Options, report: Report) -> None:
    pairs = [pair for pair in DIALECT_PAIRS.values() if not shape.pairs or pair.name in shape.pairs]
    for client in dict.fromkeys(pair.client for pair in pairs):
        client_pairs = [pair for pair in pairs if pair.client == client]
        first_pair, duration_s = client_pairs[0], options.duration_s
        direct = (
            measure.measure_load(
                stack, stack.fake_provider, shape, first_pair, duration_s=duration_s
            )
            if shape.direct
            else None
        )
        nginx = measure.measure_load(stack, stack.nginx, shape, first_pair, duration_s=duration_s)
        for pair in client_pairs:
            result = measure.measure_load(stack, stack.dragoman, shape, pair, duration_s=duration_s)
            for name, value in _metrics(shape, result, nginx, direct):
                report.values[shape.name][pair.name][name].append(value)
            report.failures.extend(_failures(shape, pair, nginx, result))


def _metrics(
    shape: Shape, result: Result, nginx: Result, direct: Result | None
) -> Iterator[tuple[str, float]]:
    yield "nginx_us", nginx.cpu_us
    yield "cpu_us", result.cpu_us
    yield "cpu_ratio", result.cpu_us / max(nginx.cpu_us, 0.001)
    if shape.ramp_s:
        yield "kb_per_stream", (result.peak_kb - result.idle_kb) / max(result.peak_open, 1)
    if shape.unit == "ok" or shape.direct:
        yield "total_ms", result.total_ms
    if direct is not None:
        yield "added_ms", result.total_ms - direct.total_ms
    if direct is not None and shape.unit == "chunks":
        yield "first_added_ms", result.first_ms - direct.first_ms
        yield "chunk_added_ms", result.chunk99_ms - direct.chunk99_ms


def _failures(shape: Shape, pair: DialectPair, nginx: Result, result: Result) -> Iterator[str]:
    for program, measured in (("nginx", nginx), ("dragoman", result)):
        if measured.failed:
            yield f"{shape.name} {pair.name} {program}: {measured.failed}"


def table(report: Report) -> Iterator[str]:
    """Yield the lines of a Markdown table with a row per shape and dialect pair."""
    yield "| shape | dialects | " + " | ".join(COLUMNS.values()) + " |"
    yield "|---|---" + "|--:" * len(COLUMNS) + "|"
    for shape in SHAPES:
        for pair in report.values.get(shape, {}):
            cells = [report.median(shape, pair, column) for column in COLUMNS]
            texts = ["" if cell is None else f"{cell:.3g}" for cell in cells]
            yield f"| {shape} | {pair} | " + " | ".join(texts) + " |"


def goal_results(report: Report) -> Iterator[tuple[bool, str]]:
    """Yield for each measured goal whether it is met, and its worst value as text."""
    for goal in goals():
        pairs = [name for name in report.values.get(goal.shape, {}) if _goal_applies(goal, name)]
        medians = {pair: report.median(goal.shape, pair, goal.metric) for pair in pairs}
        measured = {pair: value for pair, value in medians.items() if value is not None}
        if measured:
            pair, value = max(measured.items(), key=lambda item: item[1])
            line = f"{goal.shape} {goal.metric} ({pair}): {value:.3g} of at most {goal.maximum:g}"
            yield value <= goal.maximum, f"{line} {goal.unit}"


def _goal_applies(goal: Goal, pair: str) -> bool:
    return goal.translated is None or DIALECT_PAIRS[pair].translated == goal.translated


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark, print its tables and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-s", "--shapes", default=",".join(SHAPES), help=", ".join(SHAPES))
    parser.add_argument("-n", "--rounds", type=int, default=3)
    parser.add_argument("-t", "--seconds", type=float, default=3.0)
    parser.add_argument(
        "--check", action="store_true", help="exit with status 1 if a goal is missed"
    )
    options = parser.parse_args(argv)
    if missing := programs.missing_packages():
        parser.error(f"install {' '.join(missing)} first")
    shapes = tuple(options.shapes.split(","))
    with measure.running_stack() as stack:
        report = measure_shapes(
            stack, Options(shapes=shapes, rounds=options.rounds, duration_s=options.seconds)
        )
    verdicts = list(goal_results(report))
    print("\n".join([*table(report), ""]))
    print("\n".join(f"{'ok    ' if met else 'MISSED'} {line}" for met, line in verdicts))
    print("\n".join(f"FAILED {line}" for line in report.failures))
    has_failed = bool(report.failures) or not all(met for met, _ in verdicts)
    return int(options.check and has_failed)


if __name__ == "__main__":
    sys.exit(main())
