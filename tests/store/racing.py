"""Several processes that all see the results of the same batches; run on each database.

`DATABASE_URL=... python -m tests.store.racing` prints what the log has in the end. It works
in a database of its own, which it makes and removes.
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
    """Make the database, let them race, tell, remove it."""
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
        begin = fork.Barrier(PROCESSES)
        racers = [fork.Process(target=race, args=(number, begin)) for number in range(PROCESSES)]
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


def race(number: int, begin: Any) -> None:
    """Settle all of them, in an order of its own."""
    from gateway import store
    from tests.store.test_batches import row

    begin.wait()
    for place in range(BATCHES):
        batch = f"batch_{(place + number) % BATCHES}"
        store.settle_batch("up", batch, 3, lambda key, b=batch: [row(b, key, f"p{number}")])  # type: ignore[misc]


if __name__ == "__main__":
    main()
