"""First start: database, demo provider, providers from the environment, a first key.

Every step is idempotent.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

import msgspec
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor

from gateway import demo, store
from gateway.models import ApiKey, Model, Provider, Route, Source, Target
from gateway.providers.catalog import PRESETS
from gateway.providers.profile import Preset
from gateway.providers.sigv4 import in_region

DEMO = "demo"


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """Results of the preparation that the banner shows.

    Attributes:
        first_key, setup_token: only when they are new.
        admin_key_file: path of the management API's credential, if none is configured.
        environment_providers: providers whose key is in the environment, with its variable.
    """

    first_key: str | None = None
    setup_token: str | None = None
    admin_key_file: str | None = None
    environment_providers: tuple[str, ...] = ()


def prepare() -> Started:
    """Create what is missing. Raises WrongSecrets."""
    migrate()
    store.check_secrets()
    with transaction.atomic():
        ensure_demo()
        environment_providers = ensure_environment()
        first_key = ensure_key()
    return Started(
        environment_providers=tuple(environment_providers),
        first_key=first_key,
        setup_token=setup_token(),
        admin_key_file=admin_key_file(),
    )


def migrate() -> None:
    """Apply pending migrations; cheap if there are none."""
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        call_command("migrate", interactive=False, verbosity=0)


def ensure_demo() -> None:
    """Create the demo provider and its route, so that a first call needs no provider key.

    Only once: later changes and deletions are preserved.
    """
    provider, created = Provider.objects.get_or_create(
        name=DEMO, defaults={"preset": DEMO, "source": Source.BUILTIN}
    )
    if not created:
        return
    models = {
        name: Model.objects.create(provider=provider, name=name, source=Source.BUILTIN)
        for name in demo.MODELS
    }
    route, created = Route.objects.get_or_create(name=DEMO, defaults={"source": Source.BUILTIN})
    if created:
        Target.objects.create(route=route, model=models[DEMO], source=Source.BUILTIN)


def ensure_environment() -> list[str]:
    """Create provider rows for keys in the environment; rows store only the variable's name.

    One for each key: the first preset that names the variable, not its other APIs.
    """
    providers = []
    used_variables: set[str] = set()
    for preset in PRESETS.values():
        variable = next((name for name in preset.env if os.environ.get(name)), None)
        if variable is None or not preset.base_url or variable in used_variables:
            continue
        used_variables.add(variable)
        Provider.objects.get_or_create(
            name=preset.name,
            defaults={
                "preset": preset.name,
                "base_url": _regional_base_url(preset),
                "credential_env": variable,
                "source": Source.ENVIRONMENT,
                "source_ref": variable,
            },
        )
        providers.append(f"{preset.name} ({variable})")
    return providers


def _regional_base_url(preset: Preset) -> str:
    """Return the base URL in this machine's AWS region; empty for the preset's own."""
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if preset.auth != "sigv4" or not region:
        return ""
    return in_region(preset.base_url, region)


def ensure_key() -> str | None:
    """Create the first gateway key and return it; None if there is a key already."""
    if ApiKey.objects.exists():
        return None
    _, secret = store.create_key("first key")
    return secret


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
