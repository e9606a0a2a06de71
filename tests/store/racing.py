"""Several processes that settle the same batches concurrently; run on each database.

`DATABASE_URL=... python -m tests.store.racing` prints the resulting log. It creates and removes
its own database.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway.config.settings")

import django
from django.conf import settings

PROCESSES, BATCHES = 4, 25


def main() -> None:
    """Create the database, run the processes, print the result, remove the database."""
    name = f"test_racing_{os.getpid()}"
    if "sqlite" in settings.DATABASES["default"]["ENGINE"]:
        name = str(Path(settings.DATA_DIR) / f"{name}.sqlite3")
    settings.DATABASES["default"]["TEST"] = {"NAME": name}
    django.setup()
    from django.db import connections
    from django.test.utils import setup_databases, teardown_databases

    from gateway.models import ProviderResource, RequestLog, UsageHour

    old = setup_databases(verbosity=0, interactive=False)
    try:
        ProviderResource.objects.record_owner("up", 7, [f"batch_{n}" for n in range(0, BATCHES, 2)])
        connections.close_all()  # no child may use its parent's
        fork = multiprocessing.get_context("fork")
        barrier = fork.Barrier(PROCESSES)
        racers = [
            fork.Process(target=settle_batches, args=(number, barrier))
            for number in range(PROCESSES)
        ]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        outcome: dict[str, Any] = {
            "ends": [racer.exitcode for racer in racers],
            "rows": sorted(RequestLog.objects.values_list("upstream_id", "key_id")),
            "units": UsageHour.objects.totals().cost_units,
        }
    finally:
        teardown_databases(old, verbosity=0)
    json.dump(outcome, sys.stdout)


def settle_batches(number: int, barrier: Any) -> None:
    """Settle all batches in a different order for each process."""
    from gateway import store
    from tests.store.test_batches import row

    barrier.wait()
    for number_ in range(BATCHES):
        batch = f"batch_{(number_ + number) % BATCHES}"
        store.settle_batch("up", batch, 3, lambda key, b=batch: [row(b, key, f"p{number}")])  # type: ignore[misc]


if __name__ == "__main__":
    main()
