"""A killed process leaves each answered request in the log exactly once."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path

from tests.e2e.stack import ROOT, empty_database

LIVES = 5
# A parent forks processes that answer, says which ids they answered, and kills them. An id
# is printed once its request would have been answered; they come in bursts, with a breath between.
SCRIPT = textwrap.dedent(
    """
    import os, random, signal, sys, time
    import django
    django.setup()
    from pathlib import Path
    from gateway import store
    from gateway.relay.exchange.log_record import Bodies, LogRecord
    from gateway.relay.journal.journal import Journal

    directory = Path(os.environ["DRAGOMAN_DATA_DIR"]) / "journal"

    def live(life, out):
        journal = Journal(directory, store.write, max_items=150, reserve_bytes=2 << 20)
        number = 0
        while True:
            for _ in range(50):
                name = f"{life}-{number}"
                number += 1
                bodies = Bodies(client_request=os.urandom(number % 3000))
                fields = {"started_at": 1.79e9, "route": "fast", "status": 200}
                journal.append(LogRecord(id=name, bodies=bodies, **fields))
                os.write(out, name.encode() + b"\\n")
            time.sleep(0.02)

    def clean_up():
        journal = Journal(directory, store.write, reserve_bytes=0)
        while list(directory.glob("*.journal")):
            time.sleep(0.02)
        journal.close()

    chosen = random.Random(20260711)
    for life in range(int(sys.argv[1])):
        reader, writer = os.pipe()
        pid = os.fork()
        if not pid:
            live(life, writer)
        os.close(writer)
        output = os.read(reader, 1 << 16)
        time.sleep(chosen.uniform(0.0, 0.2))
        os.kill(pid, signal.SIGKILL)
        while more := os.read(reader, 1 << 16):
            output += more
        os.waitpid(pid, 0)
        sys.stdout.write(output.decode())
    clean_up()
    """
)


def test_each_answered_request_is_logged_once_whenever_the_process_is_killed(
    tmp_path: Path,
) -> None:
    shutil.copy(empty_database(), tmp_path)
    environment = {
        "DRAGOMAN_DATA_DIR": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "gateway.config.settings",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-c", SCRIPT, str(LIVES)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answered_ids = done.stdout.splitlines()
    assert len(answered_ids) >= LIVES
    with closing(sqlite3.connect(tmp_path / "dragoman.sqlite3")) as database:
        names = "SELECT request_id, count(*) FROM gateway_requestlog GROUP BY request_id"
        counts = dict(database.execute(names).fetchall())
        (summed,) = database.execute("SELECT sum(requests) FROM gateway_usagehour").fetchone()
    assert [name for name in answered_ids if counts.get(name) != 1] == []
    assert summed == len(counts)
