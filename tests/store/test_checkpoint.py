"""SQLite's checkpoint runs after the log's commits, not within them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.e2e.stack import ROOT, empty_database

# More pages than those at which SQLite's own default checkpoints, in one process with a file.
SCRIPT = textwrap.dedent(
    """
    import os, sys
    import django
    django.setup()
    from pathlib import Path
    from gateway import store
    from gateway.relay.exchange.log_record import Bodies, LogRecord

    database = Path(os.environ["DRAGOMAN_DATA_DIR"]) / "dragoman.sqlite3"

    def batch(first):
        return [
            LogRecord(
                id=f"r{number}",
                started_at=1.79e9,
                route="fast",
                status=200,
                bodies=Bodies(client_request=os.urandom(8192)),
            )
            for number in range(first, first + 250)
        ]

    sizes = [database.stat().st_size]
    for first in (0, 250):
        records = batch(first)
        store.write(records)
        sizes.append(database.stat().st_size)
        print(store.checkpoint_when_due(records))
        sizes.append(database.stat().st_size)
    print(*sizes)
    """
)


def test_a_checkpoint_follows_the_commit_that_makes_it_due(tmp_path: Path) -> None:
    shutil.copy(empty_database(), tmp_path)
    environment = {**os.environ, "DRAGOMAN_DATA_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    environment.pop("DATABASE_URL", None)
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    early, due, *sizes = run.stdout.split()
    empty, written, counted, written_more, copied = map(int, sizes)
    assert (early, due) == ("False", "True")
    assert empty == written == counted == written_more
    assert copied - empty > 500 * 8192
