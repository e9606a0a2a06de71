"""The first start: database, demo provider, keys of the environment, a first key.

Every step is idempotent: the next start finds what is there and changes nothing.
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
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from gateway import store
from gateway.models import ApiKey, Model, Provider, Route, Source, Target
from gateway.providers.catalog import PRESETS
from gateway.relay import demo


class Started(msgspec.Struct, kw_only=True):
    """What the banner tells: `first_key` and `setup_token` only when they are new."""

    first_key: str | None = None
    setup_token: str | None = None
    found: list[str] = []


def prepare() -> Started:
    """Make what is missing."""
    migrate()
    ensure_demo()
    return Started(found=ensure_environment(), first_key=ensure_key(), setup_token=setup_token())


def migrate() -> None:
    """Bring the database to this version; cheap where it is there already."""
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        call_command("migrate", interactive=False, verbosity=0)


def ensure_demo() -> None:
    """The demo provider and a route to it, so that a first call needs no key."""
    provider, made = Provider.objects.get_or_create(
        name="demo", defaults={"preset": "demo", "source": Source.BUILTIN}
    )
    if not made:
        return
    route, _ = Route.objects.get_or_create(name="demo", defaults={"source": Source.BUILTIN})
    for name in demo.MODELS:
        model = Model.objects.create(provider=provider, name=name, source=Source.BUILTIN)
        if name == "demo":
            Target.objects.create(route=route, model=model, source=Source.BUILTIN)


def ensure_environment() -> list[str]:
    """Provider rows for the keys in the environment; they hold the variable's name only."""
    found = []
    for preset in PRESETS.values():
        variable = next((name for name in preset.env if os.environ.get(name)), None)
        if variable is None or not (preset.base_url or preset.local):
            continue
        _, made = Provider.objects.get_or_create(
            name=preset.name,
            defaults={
                "preset": preset.name,
                "credential_env": variable,
                "source": Source.ENVIRONMENT,
                "source_ref": variable,
            },
        )
        if made:
            found.append(f"{preset.name} ({variable})")
    return found


def ensure_key() -> str | None:
    """The first gateway key, where there is none yet."""
    if ApiKey.objects.exists():
        return None
    _, plain = store.make_key("first key")
    return plain


def setup_token() -> str | None:
    """A fresh one-time token for the console's first page, until there is an admin.

    Only its hash is kept; each start makes a new one, so a lost one costs a restart.
    """
    if get_user_model().objects.filter(is_superuser=True).exists():
        return None
    token = secrets.token_urlsafe(24)
    path = Path(settings.DATA_DIR) / "setup_token"
    path.touch(mode=0o600)
    path.write_text(hashlib.sha256(token.encode()).hexdigest(), encoding="utf-8")
    return token
