"""What limits and budgets cost: the same load with and without them, turn by turn.

    uv run python -m tests.bench.limits              five turns; at most 15 % more CPU time
    uv run python -m tests.bench.limits -s stream-10ms -n 3

The key gets limits of every kind (requests and tokens a minute and a day, at a time, a
budget a day and a month) that are never reached. The ratio is the median of the turns'.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict

from tests.bench import measure, programs
from tests.bench.measure import Rig
from tests.bench.scenarios import LANES, SHAPES, Lane, Shape

MOST = 1.15
# Longer than a process takes to see that the registry has changed.
SEEN_S = 1.5
ROOMY = 10**9
NAMES = ("limit_rpm", "limit_rpd", "limit_tpm", "limit_tpd", "limit_concurrency")
BUDGETS = ("budget_day_usd", "budget_month_usd")


def set_limits(rig: Rig, *, on: bool) -> None:
    """Give the gateway's keys limits that nobody reaches, or none."""
    values = dict.fromkeys((*NAMES, *BUDGETS), ROOMY if on else None)
    code = f"from gateway.models import ApiKey; ApiKey.objects.update(**{values!r})"
    subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", code],
        cwd=programs.ROOT,
        env={**os.environ, "DRAGOMAN_DATA_DIR": str(rig.dragoman.folder / "data")},
        check=True,
    )
    time.sleep(SEEN_S)


def turn(rig: Rig, shape: Shape, lanes: list[Lane], secs: float) -> dict[str, float]:
    """CPU time with limits by that without, for each lane."""
    found: dict[bool, dict[str, float]] = {}
    for on in (False, True):
        set_limits(rig, on=on)
        results = {
            lane.name: measure.load(rig, rig.dragoman, shape, lane, secs=secs) for lane in lanes
        }
        if failed := [result.failed for result in results.values() if result.failed]:
            raise SystemExit(f"requests failed: {failed}")
        found[on] = {name: result.cpu_us for name, result in results.items()}
    return {name: found[True][name] / found[False][name] for name in found[True]}


def main(argv: list[str] | None = None) -> int:
    """Run it; the exit status is 1 where limits cost more than they may."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-s", "--shape", default="unary-64", choices=SHAPES)
    parser.add_argument("-n", "--turns", type=int, default=5)
    parser.add_argument("-t", "--secs", type=float, default=3.0)
    given = parser.parse_args(argv)
    ratios: dict[str, list[float]] = defaultdict(list)
    with measure.running() as rig:
        for _ in range(given.turns):
            lanes = list(LANES.values())
            for name, ratio in turn(rig, SHAPES[given.shape], lanes, given.secs).items():
                ratios[name].append(ratio)
    medians = {name: statistics.median(found) for name, found in ratios.items()}
    for name, found in ratios.items():
        shown = " ".join(f"{ratio:.3f}" for ratio in found)
        print(f"{name}: x {medians[name]:.3f} ({shown})")
    return int(any(median > MOST for median in medians.values()))


if __name__ == "__main__":
    sys.exit(main())
