"""Status of the running process: uptime, versions, disk space, journal."""

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
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from gateway.models import LogExport
from gateway.relay.journal.journal import JournalCounters, WriterStatus
from gateway.relay.run import readiness
from gateway.relay.runtime import Runtime

# More files than a data directory has; counting stops there.
_MAX_FILES = 20_000
_IMPORTED_AT = time.time()


# Error code of `gateway.relay.run.readiness` -> message.
PROBLEMS = {
    "draining": gettext_lazy("This process is shutting down and accepts no new requests."),
    "log_not_on_disk": gettext_lazy(
        "Neither the database nor the disk accepts log records, so they are only in "
        "memory and are lost if this process ends. Free space in the data directory."
    ),
    "database_unavailable": gettext_lazy(
        "The database cannot be reached. Requests are served with the last known "
        "configuration, and log rows wait."
    ),
    "redis_unavailable": gettext_lazy(
        "Redis cannot be reached. Limits, budgets and cooldowns apply to this machine only."
    ),
    "registry_stored": gettext_lazy(
        "This process started without its database and uses the configuration stored in the "
        "data directory."
    ),
    "workers_missing": gettext_lazy(
        "A worker process died several times in a row and will be restarted after a delay. The "
        "process log has its exit code."
    ),
    "log_writes_failing": gettext_lazy("The request log cannot be written. Writing is retried."),
    "log_disk_full": gettext_lazy(
        "The journal has no disk space left: finished requests are stored without bodies. "
        "Free space in the data directory, or raise DRAGOMAN_JOURNAL_DISK_BYTES."
    ),
    "log_rows_dropped": gettext_lazy(
        "Requests are served but not logged, because too many wait for the database."
    ),
    "log_rows_refused": gettext_lazy(
        "The database rejected rows of the request log because of their values. The process log "
        "has the IDs of these requests."
    ),
}


class JournalStatus(msgspec.Struct, frozen=True):
    """Queue of finished requests for the database: waiting and dropped entries."""

    waiting: int
    counters: JournalCounters
    status: WriterStatus

    @property
    def has_dropped(self) -> bool:
        """Whether anything was dropped; retries do not count."""
        counters = self.counters
        return bool(counters.bodies_dropped or counters.rows_dropped or counters.rows_refused)


class ProcessStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One process. Sizes are bytes; `database_bytes` is None if unknown."""

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
    journal: JournalStatus | None


def process_status(running: Runtime | None) -> ProcessStatus:
    """Current status of this process; `running` is its relay."""
    directory = Path(settings.DATA_DIR)
    name, size = _database_info()
    return ProcessStatus(
        pid=os.getpid(),
        started_at=dt.datetime.fromtimestamp(_process_start(), tz=timezone.get_current_timezone()),
        version=running.config.version if running is not None else "",
        python=platform.python_version(),
        django=django.get_version(),
        database=name,
        database_bytes=size,
        data_dir=str(directory),
        data_bytes=_disk_usage(directory),
        free_bytes=shutil.disk_usage(directory).free,
        journal=journal_status(running),
    )


def journal_status(running: Runtime | None) -> JournalStatus | None:
    """Return the status of this process's journal; None before its first request."""
    if running is None:
        return None
    journal = running.journal
    return JournalStatus(journal.depth, msgspec.structs.replace(journal.counters), journal.status)


def active_problems(running: Runtime | None) -> list[str]:
    """Return the current problems of this process, and of the log's export, as sentences."""
    problems = readiness.find_problems(running) if running is not None else []
    sentences = [str(PROBLEMS.get(problem.code, problem.code)) for problem in problems]
    errors = LogExport.objects.exclude(failed_at=None).values_list("error", flat=True)
    export_failures = [
        _("The request log is not exported: %(error)s") % {"error": text} for text in errors
    ]
    return sentences + export_failures


def _process_start() -> float:
    """Return the start of the process in unix seconds; the import time if unknown."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        lines = Path("/proc/stat").read_text().splitlines()
        booted_at = next(int(line.split()[1]) for line in lines if line.startswith("btime "))
        return booted_at + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, StopIteration):
        return _IMPORTED_AT


def _database_info() -> tuple[str, int | None]:
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


def _disk_usage(directory: Path) -> int:
    total = 0
    for number, path in enumerate(directory.rglob("*")):
        if number > _MAX_FILES:
            break
        try:
            total += path.lstat().st_blocks * 512
        except OSError:
            continue  # a journal segment that was deleted meanwhile
    return total
