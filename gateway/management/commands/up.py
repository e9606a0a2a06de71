"""Run the gateway and the console; prepare the database and keys on first use."""

from __future__ import annotations

import datetime as dt
import os
import ssl
from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection, connections

from gateway import audit, store
from gateway.config import environment
from gateway.database.deadline import deadline
from gateway.database.outage import database_outage
from gateway.management.start import hosts, local_model, master_key
from gateway.management.start.banner import address, banner
from gateway.management.start.bootstrap import (
    ForeignDatabase,
    StartResult,
    forget_first_key,
    prepare,
)
from gateway.management.start.environment_providers import EnvironmentProvider
from gateway.management.start.serve import Certificate, bind, serve
from gateway.providers.network import environment_proxies
from gateway.relay.upstream import tls

# Without `--config`, a start does not import what reads such a file (30 modules, 4 MB).
if TYPE_CHECKING:
    from gateway.compat.litellm import config as litellm_config

# Timeout of the first connection to the database, in seconds.
CONNECT_TIMEOUT_S = 5.0


class Command(BaseCommand):
    """`manage.py up`."""

    help = "Run the gateway and the console. The first start creates the database and the keys."
    # They take a second, and `manage.py check` runs them.
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options of `up`."""
        parser.add_argument(
            "--config",
            metavar="FILE",
            help="configuration file, as written by `export` or for LiteLLM",
        )
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
        parser.add_argument("--port", type=int, default=settings.PORT)
        parser.add_argument("--workers", type=int, default=1, help="number of worker processes")
        parser.add_argument(
            "--ssl-certfile", metavar="FILE", help="serve HTTPS with this certificate chain (PEM)"
        )
        parser.add_argument(
            "--ssl-keyfile", metavar="FILE", help="private key, if not in the certificate file"
        )
        parser.add_argument(
            "--local-model",
            action="store_true",
            help="serve a small language model on this machine; the first use installs it (130 MB)",
        )
        # manage.py reads it, as the settings depend on it.
        parser.add_argument("--data-dir", help="data directory (default: var)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prepare and serve."""
        host, workers = options["host"], options["workers"]
        if workers < 1:
            raise CommandError("--workers must be at least 1")
        dragoman_file = dragoman_format_file(options["config"])
        _check_network()
        certificate = certificate_of(options["ssl_certfile"], options["ssl_keyfile"])
        if certificate is not None:
            path = os.environ.setdefault("DRAGOMAN_WATCH_CERTIFICATE", certificate.certfile)
            settings.WATCH_CERTIFICATE = path
        # The workers share the machine's memory (capacity.py).
        os.environ["WEB_CONCURRENCY"] = str(workers)
        config = read(options["config"]) if dragoman_file is None else None
        notes = configure(config, host)
        listener = bind(host, options["port"])
        port = listener.getsockname()[1]
        local = self._start_local_model() if options["local_model"] else None
        try:
            _check_postgresql_answers()
            local_provider = local.provider if local is not None else None
            started, more_notes = _prepare_start(config, dragoman_file, port, local_provider)
        except (store.NewerDatabase, store.WrongSecrets, ForeignDatabase) as error:
            raise CommandError(str(error), returncode=2) from None
        except DatabaseError as error:
            started, more_notes = StartResult(), [_note_of_outage(error)]
        except OSError as error:
            raise CommandError(f"the data directory cannot be used: {error}") from None
        base = address(host, port, is_tls=certificate is not None)
        lines = banner(started, base, notes=[*notes, *more_notes], open_mode=settings.OPEN)

        def announce() -> None:
            self.stdout.write(lines)
            self.stdout.flush()
            forget_first_key()

        connections.close_all()
        serve(
            listener,
            workers=workers,
            drain_s=settings.DRAIN_S,
            announce=announce,
            certificate=certificate,
        )

    def _start_local_model(self) -> local_model.LocalModel:
        """Install and start the local model. Raises CommandError."""
        data_dir = Path(settings.DATA_DIR)
        try:
            if not local_model.is_installed(data_dir):
                self.stdout.write("Installing the local model: 130 MB, only once.")
                self.stdout.flush()
            return local_model.start(local_model.install(data_dir))
        except local_model.LocalModelError as error:
            raise CommandError(str(error)) from None


def _check_network() -> None:
    """Check the environment's proxies and authorities. Raises CommandError naming the variable."""
    try:
        environment_proxies(os.environ)
        tls.check_environment()
    except ValueError as error:
        raise CommandError(str(error), returncode=2) from None


def certificate_of(certfile: str | None, keyfile: str | None) -> Certificate | None:
    """The certificate to serve with; None without one. Raises CommandError naming the file."""
    if not certfile:
        if keyfile:
            raise CommandError("--ssl-keyfile needs --ssl-certfile", returncode=2)
        return None
    certificate = Certificate(certfile, keyfile)
    try:
        certificate.load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    except (OSError, ssl.SSLError) as error:
        raise CommandError(certificate.describe(error), returncode=2) from None
    return certificate


def _check_postgresql_answers() -> None:
    """Check that PostgreSQL answers in time. Raises OperationalError."""
    if connection.vendor != "postgresql":
        return
    with deadline(CONNECT_TIMEOUT_S), connection.cursor() as cursor:
        cursor.execute("SELECT 1")


# Other errors of SQLite are not temporary.
_SQLITE_OUTAGES = ("database is locked", "readonly database", "disk is full")


def _note_of_outage(error: DatabaseError) -> str:
    """The note of a start with the stored registry, as the database does not work at the moment.

    Raises CommandError if it is not the database, or there is no stored registry.
    """
    connection.close()
    reason = str(error).strip().partition("\n")[0]
    is_outage = database_outage(error) != "" and (
        connection.vendor != "sqlite" or any(text in reason for text in _SQLITE_OUTAGES)
    )
    if not is_outage:
        raise CommandError(f"the database cannot be used: {error}") from None
    try:
        _, stored_at_s = store.load_stored_snapshot()
    except store.UnusableRequest as unusable:
        raise CommandError(f"the database cannot be used: {error}; {unusable}") from None
    stored_at = dt.datetime.fromtimestamp(stored_at_s, dt.UTC)
    return (
        f"warning: the database is unavailable ({reason}). Requests are served with the "
        f"configuration stored in the data directory at {stored_at:%Y-%m-%d %H:%M:%S} UTC. "
        "The console and the management API are available again once the database is. "
        "Changes of a configuration file since then, and migrations, are applied at the "
        "next start."
    )


def read(path: str | None) -> litellm_config.Config | None:
    """Read a LiteLLM configuration file. Raises CommandError naming file, line and field."""
    if path is None:
        return None
    from gateway.compat.litellm import config as litellm_config

    try:
        return litellm_config.read(path)
    except litellm_config.ConfigError as mistake:
        raise CommandError(str(mistake), returncode=2) from None


def configure(config: litellm_config.Config | None, host: str) -> list[str]:
    """Apply startup settings to this process and the workers' environment; return warnings.

    Raises CommandError if the master key is not safe enough for `host`.
    """
    key = settings.MASTER_KEY or (config.master_key if config else "")
    decision = master_key.check_master_key(
        key, host, has_config=config is not None, open_requested=bool(settings.OPEN)
    )
    if decision.refusal:
        raise CommandError(decision.refusal, returncode=2)
    settings.MASTER_KEY, settings.OPEN = key, decision.open
    if key:
        os.environ["DRAGOMAN_MASTER_KEY"] = key
        os.environ.pop("DRAGOMAN_MASTER_KEY_FILE", None)
    os.environ["DRAGOMAN_OPEN"] = "true" if decision.open else "false"
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
    if config is not None:
        _use_redis(config)
        # A LiteLLM file names all models that clients may use.
        for name in ("KNOWN_MODELS", "FIND_LOCAL_SERVERS"):
            if f"DRAGOMAN_{name}" not in os.environ:
                setattr(settings, name, False)
                os.environ[f"DRAGOMAN_{name}"] = "false"
    return list(decision.warnings)


def _use_redis(config: litellm_config.Config) -> None:
    """Use the Redis of a file, unless REDIS_URL is set. Raises CommandError."""
    if not config.redis_url or settings.REDIS_URL:
        return
    try:
        url = environment.parse_variable(
            "the Redis of the file", config.redis_url, environment.redis_url
        )
        environment.require_extra("the Redis of the file", "redis", "redis")
    except ImproperlyConfigured as error:
        from gateway.compat.litellm.config.remark import key_remark

        reason = f"is ignored: {error}"
        config.remarks.append(key_remark(config.file, "redis", reason, is_skipped=True))
        return
    settings.REDIS_URL = url
    os.environ["REDIS_URL"] = url
    os.environ.pop("REDIS_URL_FILE", None)


def dragoman_format_file(path: str | None) -> Path | None:
    """Return the configuration file if it is in Dragoman's format. Raises CommandError."""
    if path is None:
        return None
    from gateway.compat.litellm.config import ConfigError
    from gateway.management import configuration_file

    try:
        return Path(path) if configuration_file.is_dragoman_format(Path(path)) else None
    except ConfigError as mistake:
        raise CommandError(str(mistake), returncode=2) from None


def _prepare_start(
    config: litellm_config.Config | None,
    dragoman_file: Path | None,
    port: int,
    local_model: EnvironmentProvider | None,
) -> tuple[StartResult, list[str]]:
    """Prepare the database and the registry; return the results and notes to print.

    Nodes that start at the same time do so one after the other.

    Raises CommandError for an error in a file in Dragoman's format.
    """
    with store.exclusive_preparation(), audit.acting_as("up", "start"):
        preparation = prepare(port, local_model)
        notes = list(preparation.notes)
        notes += apply_litellm_file(config) if config else []
        notes += apply_dragoman_file(dragoman_file) if dragoman_file else []
    notes += [
        f"warning: {warning.row}: {warning.reason}" for warning in store.load_snapshot().warnings
    ]
    return preparation, notes


def apply_litellm_file(config: litellm_config.Config) -> list[str]:
    """Apply a LiteLLM configuration file; return the notes on it."""
    from gateway.compat.litellm.config.apply import apply

    notes: list[str] = [*config.remarks, *apply(config)]
    if settings.MASTER_KEY:
        notes.append(
            f"{config.file}: keys may also call models that are not in the file, as "
            "provider/model; to restrict a key, set its models"
        )
    return notes


def apply_dragoman_file(path: Path) -> list[str]:
    """Apply a file in Dragoman's format; return notes on created keys. Raises CommandError."""
    from gateway.compat.litellm.config import ConfigError
    from gateway.management import configuration_file

    try:
        keys = configuration_file.apply_file(path).keys
    except ConfigError as mistake:
        raise CommandError(str(mistake), returncode=2) from None
    return [f"key of {name}, shown once: {secret}" for name, secret in keys]
