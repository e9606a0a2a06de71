"""Facts about the running process: how long, on what, and how much room is left."""

from __future__ import annotations

import datetime as dt
import os
import platform
import shutil
import time
from pathlib import Path

import django
import msgspec
from django.conf import settings
from django.db import connection
from django.utils import timezone

from gateway.relay import runtime
from gateway.relay.journal import Counters

# More files than a data directory has; the walk ends there whatever it meets.
_MOST_FILES = 20_000
_LOADED = time.time()


class Journal(msgspec.Struct, frozen=True):
    """The way of finished requests to the database: what waits, and what was lost."""

    waiting: int
    counters: Counters

    @property
    def lost(self) -> bool:
        """Whether anything was dropped or could not be written."""
        held = self.counters
        return bool(held.bodies_dropped or held.rows_dropped or held.failed_batches)


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """One process. Sizes are bytes; `database_bytes` is None where nobody can say."""

    pid: int
    started_at: dt.datetime
    version: str
    python: str
    django: str
    database: str
    database_bytes: int | None
    data_dir: str
    data_bytes: int
    free_bytes: int
    journal: Journal | None


def facts() -> Facts:
    """This process now."""
    running = runtime.current()
    directory = Path(settings.DATA_DIR)
    name, size = _database()
    return Facts(
        pid=os.getpid(),
        started_at=dt.datetime.fromtimestamp(_started(), tz=timezone.get_current_timezone()),
        version=running.config.version if running is not None else "",
        python=platform.python_version(),
        django=django.get_version(),
        database=name,
        database_bytes=size,
        data_dir=str(directory),
        data_bytes=_used(directory),
        free_bytes=shutil.disk_usage(directory).free,
        journal=journal(),
    )


def journal() -> Journal | None:
    """The journal of this process, if it has served a request yet."""
    running = runtime.current()
    if running is None:
        return None
    return Journal(running.journal.depth, msgspec.structs.replace(running.journal.counters))


def _started() -> float:
    """When the process began, in unix seconds; where the system keeps it to itself, its import."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        lines = Path("/proc/stat").read_text().splitlines()
        booted = next(int(line.split()[1]) for line in lines if line.startswith("btime "))
        return booted + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, StopIteration):
        return _LOADED


def _database() -> tuple[str, int | None]:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT current_setting('server_version'), pg_database_size(current_database())"
            )
            version, size = cursor.fetchone()
            return f"PostgreSQL {version}", size
        cursor.execute(
            "SELECT sqlite_version(), page_count * page_size "
            "FROM pragma_page_count(), pragma_page_size()"
        )
        version, size = cursor.fetchone()
        return f"SQLite {version}", size


def _used(directory: Path) -> int:
    total = 0
    for number, path in enumerate(directory.rglob("*")):
        if number > _MOST_FILES:
            break
        try:
            total += path.lstat().st_blocks * 512
        except OSError:
            continue  # a segment of the journal that has just been written
    return total
