"""System checks: report a configuration that cannot work before it is used.

| id | level | what |
|---|---|---|
| gateway.E001 | error | an encryption key is not a Fernet key |
| gateway.E002 | error | SQLite without FTS5: no full-text search |
| gateway.E003 | error | the PostgreSQL database is not UTF-8 |
| gateway.W001 | warning | the master key is short or a well-known example |
| gateway.W002 | warning | the encryption key is the secret key |
| gateway.W003 | warning | any client token is accepted |
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from cryptography.fernet import Fernet
from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections

WEAK_MASTER_KEYS = frozenset({"sk-1234", "sk-12345", "changeme", "secret", "password"})
MASTER_KEY_CHARS = 20


@register(Tags.security)
def encryption_keys(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> Iterable[CheckMessage]:
    """Check that provider credentials can be encrypted and decrypted."""
    for position, key in enumerate(settings.ENCRYPTION_KEYS, 1):
        try:
            Fernet(key)
        except (ValueError, TypeError):
            yield Error(
                f"Encryption key {position} of {len(settings.ENCRYPTION_KEYS)} is no Fernet key.",
                hint="DRAGOMAN_ENCRYPTION_KEYS takes 32 bytes in URL-safe base64, newest first; "
                "unset it to have one generated in the data directory.",
                id="gateway.E001",
            )
        if key == settings.SECRET_KEY:
            yield checks.Warning(
                "The encryption key is the secret key.",
                hint="Give each a value of its own: what leaks of one must not open the other.",
                id="gateway.W002",
            )


@register(Tags.security)
def master_key(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> Iterable[CheckMessage]:
    """Check that the master key is not guessable, and that the gateway is not open to all."""
    key = settings.MASTER_KEY
    if key and (key.lower() in WEAK_MASTER_KEYS or len(key) < MASTER_KEY_CHARS):
        yield checks.Warning(
            "The master key can be guessed.",
            hint=f"Take at least {MASTER_KEY_CHARS} random characters; it opens the management "
            "API. `up` refuses a guessable one on any interface but loopback.",
            id="gateway.W001",
        )
    if settings.OPEN:
        yield checks.Warning(
            "Any client token is accepted.",
            hint="Unset DRAGOMAN_OPEN, or bind to loopback only.",
            id="gateway.W003",
        )


@register(Tags.database)
def databases(
    app_configs: Sequence[AppConfig] | None = None,
    databases: Sequence[str] | None = None,
    **kwargs: Any,
) -> Iterable[CheckMessage]:
    """Check that the database supports the full-text index."""
    for alias in databases or ():
        match connections[alias].vendor:
            case "sqlite" if not _scalar(alias, "SELECT sqlite_compileoption_used('ENABLE_FTS5')"):
                yield Error(
                    "This SQLite has no FTS5.",
                    hint="Use a Python whose sqlite3 has it, or PostgreSQL by DATABASE_URL.",
                    id="gateway.E002",
                )
            case "postgresql" if _scalar(alias, "SHOW server_encoding") != "UTF8":
                yield Error(
                    "The database is not UTF-8.",
                    hint="Create it with ENCODING 'UTF8'; prompts come in every script.",
                    id="gateway.E003",
                )


def _scalar(alias: str, query: str) -> Any:
    with connections[alias].cursor() as cursor:
        cursor.execute(query)
        row = cursor.fetchone()
    return row[0] if row else None
