"""First start: database, demo provider, providers from the environment, a first key.

Every step is idempotent.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import hashlib
import os
import secrets
from pathlib import Path

import msgspec
from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder

from gateway import demo, store
from gateway.config.environment import write_private
from gateway.management.start.environment_providers import (
    EnvironmentProvider,
    Findings,
    find_providers,
)
from gateway.management.start.local_servers import find_local_servers
from gateway.models import ApiKey, Model, Provider, Route, RowSource, Target
from gateway.providers.catalog import PRESETS
from gateway.store import second_factors

DEMO = "demo"
# Prefix of the tables in LiteLLM's schema (litellm/proxy/schema.prisma).
_LITELLM_TABLES = "LiteLLM_"


class StartResult(msgspec.Struct, frozen=True, kw_only=True):
    """Results of the preparation that the banner shows.

    Attributes:
        first_key, setup_token: only when they are new, or have not been shown.
        admin_key_file: path of the management API's credential, if none is configured.
        environment_providers: providers that were found on this machine, and where.
        example_model: the model of the example call.
        notes: messages on credentials and servers that could not be used.
    """

    first_key: str | None = None
    setup_token: str | None = None
    admin_key_file: str | None = None
    environment_providers: tuple[str, ...] = ()
    example_model: str = DEMO
    notes: tuple[str, ...] = ()


def prepare(port: int, local_model: EnvironmentProvider | None = None) -> StartResult:
    """Create what is missing; `port` is the one that the gateway listens on.

    `local_model` is the provider of `up --local-model`, which also gets a route.

    Raises NewerDatabase, WrongSecrets and ForeignDatabase.
    """
    check_database()
    store.check_program()
    migrate()
    store.check_secrets()
    store.record_program()
    findings = find_environment(port)
    if local_model is not None:
        findings.providers.append(local_model)
    with transaction.atomic():
        ensure_demo()
        environment_providers = ensure_environment(findings)
        if local_model is not None:
            ensure_local_route(local_model)
        first_key = ensure_key()
    return StartResult(
        environment_providers=tuple(environment_providers),
        example_model=local_model.name if local_model is not None else DEMO,
        first_key=first_key,
        setup_token=setup_token(),
        admin_key_file=admin_key_file(),
        notes=(*findings.notes, *_start_warnings()),
    )


def _start_warnings() -> list[str]:
    package_warning = second_factors.missing_package_warning()
    return [f"warning: {package_warning}"] if package_warning else []


class ForeignDatabase(Exception):
    """The database is LiteLLM's; the message says what to do."""


def check_database() -> None:
    """Refuse a database with LiteLLM's tables, which its migrations would change.

    Raises ForeignDatabase.
    """
    tables = connection.introspection.table_names()
    if any(name.startswith(_LITELLM_TABLES) for name in tables):
        raise ForeignDatabase(
            "DATABASE_URL is the database of a LiteLLM proxy: both programs would migrate it. "
            "Create a database of its own, for example with `CREATE DATABASE dragoman`, and name "
            "it in DATABASE_URL; or unset DATABASE_URL to use the embedded database"
        )


def migrate() -> None:
    """Apply pending migrations; cheap if there are none."""
    if store.migration_names() <= MigrationRecorder(connection).applied_migrations().keys():
        return
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        call_command("migrate", interactive=False, verbosity=0)
        release_memory()


def release_memory() -> None:
    """Return the memory of a migration to the system: 8 MB that the gateway never uses again."""
    # The cache of `get_models` is one for all registries, and keeps those of the migrations.
    apps.clear_cache()
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # glibc only
        ctypes.CDLL(None).malloc_trim(0)


def ensure_demo() -> None:
    """Create the demo provider and its route, so that a first call needs no provider key.

    Only once: later changes and deletions are preserved.
    """
    provider, created = Provider.objects.get_or_create(
        name=DEMO, defaults={"preset": DEMO, "source": RowSource.BUILTIN}
    )
    if not created:
        return
    models = {
        name: Model.objects.create(provider=provider, name=name, source=RowSource.BUILTIN)
        for name in demo.MODELS
    }
    route, created = Route.objects.get_or_create(name=DEMO, defaults={"source": RowSource.BUILTIN})
    if created:
        Target.objects.create(route=route, model=models[DEMO], source=RowSource.BUILTIN)


def ensure_local_route(local_model: EnvironmentProvider) -> None:
    """Create the route of the local model, unless there is one of its name."""
    route, created = Route.objects.get_or_create(
        name=local_model.name, defaults={"source": RowSource.ENVIRONMENT}
    )
    if created:
        model = Model.objects.get(provider__name=local_model.name, name=local_model.models[0])
        Target.objects.create(route=route, model=model, source=RowSource.ENVIRONMENT)


def find_environment(port: int) -> Findings:
    """Find the providers of this machine: credentials, and model servers on loopback."""
    findings = find_providers(os.environ, Path.home(), port)
    if not settings.FIND_LOCAL_SERVERS:
        return findings
    names = {environment_provider.name for environment_provider in findings.providers}
    findings.providers += [
        EnvironmentProvider(
            name=server.preset,
            preset=server.preset,
            origin=server.base_url,
            base_url="" if server.base_url == PRESETS[server.preset].base_url else server.base_url,
            models=server.models,
        )
        for server in find_local_servers(port)
        if server.preset not in names
    ]
    return findings


def ensure_environment(findings: Findings) -> list[str]:
    """Create or update the rows of these providers; rows store only a variable's name.

    Rows that people have changed belong to the database and are not updated.
    """
    for environment_provider in findings.providers:
        values = {
            "preset": environment_provider.preset,
            "base_url": environment_provider.base_url,
            "query": environment_provider.query or None,
            "credential_env": environment_provider.credential_env,
            "source_ref": environment_provider.origin,
        }
        row, _ = Provider.objects.get_or_create(
            name=environment_provider.name, defaults={**values, "source": RowSource.ENVIRONMENT}
        )
        if row.source != RowSource.ENVIRONMENT:
            continue
        if any(getattr(row, name) != value for name, value in values.items()):
            for name, value in values.items():
                setattr(row, name, value)
            row.save()
        if environment_provider.models:
            _ensure_models(row, environment_provider.models)
    return [f"{provider.name} ({provider.origin})" for provider in findings.providers]


def _ensure_models(provider: Provider, names: tuple[str, ...]) -> None:
    """Make the detected models of a provider match; models of routes stay."""
    existing_models = Model.objects.filter(provider=provider)
    for removed_provider in existing_models.filter(
        source=RowSource.ENVIRONMENT, targets=None
    ).exclude(name__in=names):
        removed_provider.delete()
    existing_names = set(existing_models.values_list("name", flat=True))
    for name in names:
        if name not in existing_names:
            Model.objects.create(provider=provider, name=name, source=RowSource.ENVIRONMENT)


def ensure_key() -> str | None:
    """Create the first gateway key and return it; None if there is a key already.

    Until the banner has shown it, the key is in a file: a start that is killed or fails before
    that would lose it.
    """
    path = _first_key_path()
    if not ApiKey.objects.exists():
        _, secret = store.create_key("first key")
        write_private(path, secret)
        return secret
    secret = path.read_text(encoding="utf-8") if path.exists() else ""
    is_valid = bool(secret) and ApiKey.objects.live().filter(digest=store.digest(secret)).exists()
    return secret if is_valid else None


def forget_first_key() -> None:
    """Delete the file of the first key, once the key has been shown."""
    with contextlib.suppress(OSError):  # a disk that became read-only: a later start deletes it
        _first_key_path().unlink(missing_ok=True)


def _first_key_path() -> Path:
    return Path(settings.DATA_DIR) / "first_key"


def admin_key_file() -> str | None:
    """Return the path of the generated admin key; None if a master key is configured."""
    path = Path(settings.DATA_DIR) / "admin_key"
    return str(path) if not settings.MASTER_KEY and path.exists() else None


def setup_token() -> str | None:
    """Create a one-time token for the console's setup page; None if there is an admin.

    Only its hash is stored; each start creates a new one, so a restart replaces a lost token.
    """
    if get_user_model().objects.filter(is_superuser=True).exists():
        return None
    token = secrets.token_urlsafe(24)
    path = Path(settings.DATA_DIR) / "setup_token"
    path.touch(mode=0o600)
    path.write_text(hashlib.sha256(token.encode()).hexdigest(), encoding="utf-8")
    return token
