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
from tests.bench.measure import Result, Rig
from tests.bench.scenarios import LANES, SHAPES, Goal, Lane, Shape, goals

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

    def median(self, shape: str, lane: str, what: str) -> float | None:
        """The middle one of the rounds."""
        seconds = self.values.get(shape, {}).get(lane, {}).get(what)
        return statistics.median(seconds) if seconds else None


def measured(rig: Rig, options: Options) -> Report:
    """Run everything."""
    values: Values = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    report = Report(values, [])
    values["start"]["all"] = {"seconds": [rig.start_s], "idle_mb": [rig.idle_mb]}
    for _ in range(options.rounds):
        for name in options.shapes:
            _round(rig, SHAPES[name], options, report)
    for lane in LANES.values() if options.leaves else ():
        for name, stream in (("leave-stream", True), ("leave-unary", False)):
            took = [measure.leave(rig, lane, stream=stream) for _ in range(options.leaves)]
            values[name][lane.name]["seconds"] = took
    return report


def _round(rig: Rig, shape: Shape, options: Options, report: Report) -> None:
    lanes = [lane for lane in LANES.values() if not shape.lanes or lane.name in shape.lanes]
    for client in dict.fromkeys(lane.client for lane in lanes):
        mine = [lane for lane in lanes if lane.client == client]
        secs = options.secs
        direct = measure.load(rig, rig.mock, shape, mine[0], secs=secs) if shape.direct else None
        nginx = measure.load(rig, rig.nginx, shape, mine[0], secs=secs)
        for lane in mine:
            result = measure.load(rig, rig.dragoman, shape, lane, secs=secs)
            for name, value in _values(shape, result, nginx, direct):
                report.values[shape.name][lane.name][name].append(value)
            report.failures.extend(_failures(shape, lane, nginx, result))


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


def _failures(shape: Shape, lane: Lane, nginx: Result, result: Result) -> Iterator[str]:
    for who, results in (("nginx", nginx), ("dragoman", result)):
        if results.failed:
            yield f"{shape.name} {lane.name} {who}: {results.failed}"


def table(report: Report) -> Iterator[str]:
    """The shapes as a Markdown table."""
    yield "| shape | lane | " + " | ".join(COLUMNS.values()) + " |"
    yield "|---|---" + "|--:" * len(COLUMNS) + "|"
    for shape in SHAPES:
        for lane in report.values.get(shape, {}):
            cells = [report.median(shape, lane, column) for column in COLUMNS]
            texts = ["" if cell is None else f"{cell:.3g}" for cell in cells]
            yield f"| {shape} | {lane} | " + " | ".join(texts) + " |"


def judged(report: Report) -> Iterator[tuple[bool, str]]:
    """Each goal that was measured: whether it is met, and the worst lane's value."""
    for goal in goals():
        lanes = [name for name in report.values.get(goal.shape, {}) if _counts(goal, name)]
        medians_by_lane = {lane: report.median(goal.shape, lane, goal.what) for lane in lanes}
        known = {lane: value for lane, value in medians_by_lane.items() if value is not None}
        if known:
            lane, value = max(known.items(), key=lambda item: item[1])
            line = f"{goal.shape} {goal.what} ({lane}): {value:.3g} of at most {goal.most:g}"
            yield value <= goal.most, f"{line} {goal.unit}"


def _counts(goal: Goal, lane: str) -> bool:
    return goal.translated is None or LANES[lane].translated == goal.translated


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
    if lacks := programs.missing():
        parser.error(f"install {' '.join(lacks)} first")
    shapes = tuple(options.shapes.split(","))
    with measure.running() as rig:
        report = measured(rig, Options(shapes=shapes, rounds=options.rounds, secs=options.secs))
    verdicts = list(judged(report))
    print("\n".join([*table(report), ""]))
    print("\n".join(f"{'ok    ' if met else 'MISSED'} {line}" for met, line in verdicts))
    print("\n".join(f"FAILED {line}" for line in report.failures))
    bad = bool(report.failures) or not all(met for met, _ in verdicts)
    return int(options.check and bad)


if __name__ == "__main__":
    sys.exit(main())
