"""Run the gateway and the console; prepare the database and keys on first use."""

from __future__ import annotations

import datetime as dt
import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, OperationalError, connection, connections

from gateway import audit, store
from gateway.compat.litellm import config as litellm_config
from gateway.compat.litellm.config.apply import apply
from gateway.database import deadline
from gateway.management import configuration_file
from gateway.management.start import hosts, master_key
from gateway.management.start.banner import address, banner
from gateway.management.start.bootstrap import Started, prepare
from gateway.management.start.serve import listen, serve

# Timeout of the first connection to the database, in seconds.
ANSWER_S = 5.0


class Command(BaseCommand):
    """`manage.py up`."""

    help = "Run the gateway and the console; on the first start make database and keys."
    # They take a second, and `manage.py check` runs them.
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options of `up`."""
        parser.add_argument(
            "--config", metavar="FILE", help="a file as `export` writes it, or LiteLLM's"
        )
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
        parser.add_argument("--port", type=int, default=settings.PORT)
        parser.add_argument("--workers", type=int, default=1, help="processes to serve with")
        # manage.py reads it, as the settings depend on it.
        parser.add_argument("--data-dir", help="where everything is kept (default: var)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prepare and serve."""
        host, workers = options["host"], options["workers"]
        if workers < 1:
            raise CommandError("--workers must be at least 1")
        dragoman_file = dragoman_format_file(options["config"])
        # The workers share the machine's memory (capacity.py).
        os.environ["WEB_CONCURRENCY"] = str(workers)
        config = read(options["config"]) if dragoman_file is None else None
        notes = configure(config, host)
        listener = listen(host, options["port"])
        try:
            _reach_database()
            started, more = _prepare(config, dragoman_file)
        except _DatabaseAway as away:
            started, more = Started(), [away.note]
        except store.WrongSecrets as error:
            raise CommandError(str(error), returncode=2) from None
        except DatabaseError as error:
            raise CommandError(f"the database can not be used: {error}") from None
        except OSError as error:
            raise CommandError(f"the data directory can not be used: {error}") from None
        base = address(host, listener.getsockname()[1])
        lines = banner(started, base, notes=[*notes, *more], open_mode=settings.OPEN)
        self.stdout.write(lines)
        self.stdout.flush()
        connections.close_all()
        serve(listener, workers=workers, drain_s=settings.DRAIN_S)


class _DatabaseAway(Exception):
    """The database is unreachable, and there is a stored registry to start with."""

    def __init__(self, note: str) -> None:
        super().__init__(note)
        self.note = note


def _reach_database() -> None:
    """Check that PostgreSQL answers.

    Raises _DatabaseAway, or OperationalError if there is no stored registry to start with.
    """
    if connection.vendor != "postgresql":
        return
    try:
        with deadline.within(ANSWER_S), connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except OperationalError as error:
        connection.close()
        try:
            _, stored_at_s = store.load_stored_snapshot()
        except store.Unusable as unusable:
            raise OperationalError(f"{error}; {unusable}") from None
        why = str(error).strip().partition("\n")[0]
        stored_at = dt.datetime.fromtimestamp(stored_at_s, dt.UTC)
        raise _DatabaseAway(
            f"warning: the database is away ({why}). Requests are answered with the registry that "
            f"was stored here at {stored_at:%Y-%m-%d %H:%M:%S} UTC. The "
            "console and the management API come back with the database. What a configuration "
            "file has changed since, and migrations, wait for the next start."
        ) from None


def read(path: str | None) -> litellm_config.Config | None:
    """Read a LiteLLM configuration file. Raises CommandError naming file, line and field."""
    if path is None:
        return None
    try:
        return litellm_config.read(path)
    except litellm_config.Mistake as mistake:
        raise CommandError(str(mistake), returncode=2) from None


def configure(config: litellm_config.Config | None, host: str) -> list[str]:
    """Apply startup settings to this process and the workers' environment; return warnings.

    Raises CommandError if the master key is not safe enough for `host`.
    """
    key = settings.MASTER_KEY or (config.master_key if config else "")
    chosen = master_key.choose(
        key, host, has_config=config is not None, wants_open=bool(settings.OPEN)
    )
    if chosen.refusal:
        raise CommandError(chosen.refusal, returncode=2)
    settings.MASTER_KEY, settings.OPEN = key, chosen.open
    if key:
        os.environ["DRAGOMAN_MASTER_KEY"] = key
        os.environ.pop("DRAGOMAN_MASTER_KEY_FILE", None)
    os.environ["DRAGOMAN_OPEN"] = "true" if chosen.open else "false"
    os.environ.pop("DRAGOMAN_OPEN_FILE", None)
    if "DRAGOMAN_ALLOWED_HOSTS" not in os.environ and not settings.DEBUG:
        settings.ALLOWED_HOSTS = hosts.allowed_hosts(host)
        os.environ["DRAGOMAN_ALLOWED_HOSTS"] = ",".join(settings.ALLOWED_HOSTS)
    for name, value in (config.environment if config else {}).items():
        os.environ.setdefault(name, value)
    if (
        config is not None
        and config.log_bodies is False
        and "DRAGOMAN_LOG_BODIES" not in os.environ
    ):
        settings.LOG_BODIES = False
        os.environ["DRAGOMAN_LOG_BODIES"] = "false"
    if config is not None and config.max_requests and "DRAGOMAN_MAX_REQUESTS" not in os.environ:
        settings.MAX_REQUESTS = config.max_requests
        os.environ["DRAGOMAN_MAX_REQUESTS"] = str(config.max_requests)
    return list(chosen.warnings)


def dragoman_format_file(path: str | None) -> Path | None:
    """Return the configuration file if it is in Dragoman's format. Raises CommandError."""
    try:
        return (
            Path(path)
            if path is not None and configuration_file.is_dragoman_format(Path(path))
            else None
        )
    except litellm_config.Mistake as mistake:
        raise CommandError(str(mistake), returncode=2) from None


def _prepare(
    config: litellm_config.Config | None, dragoman_file: Path | None
) -> tuple[Started, list[str]]:
    """Prepare the database and the registry; return the results and notes to print.

    Raises CommandError for an error in a file in Dragoman's format.
    """
    with audit.acting("up", "start"):
        started = prepare()
        notes = [*config.notes, *apply(config)] if config else []
        notes += apply_dragoman_file(dragoman_file) if dragoman_file else []
    notes += [
        f"warning: {warning.row}: {warning.why}" for warning in store.load_snapshot().warnings
    ]
    return started, notes


def apply_dragoman_file(path: Path) -> list[str]:
    """Apply a file in Dragoman's format; return notes on created keys. Raises CommandError."""
    try:
        keys = configuration_file.apply_file(path).keys
    except litellm_config.Mistake as mistake:
        raise CommandError(str(mistake), returncode=2) from None
    return [f"the key of {name}, shown once: {secret}" for name, secret in keys]
