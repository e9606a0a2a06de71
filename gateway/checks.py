"""System checks: report a configuration that cannot work before it is used.

| id | level | what |
|---|---|---|
| gateway.E001 | error | an encryption key is not a Fernet key |
| gateway.E002 | error | SQLite without FTS5: no full-text search |
| gateway.E003 | error | the PostgreSQL database is not UTF-8 |
| gateway.E004 | error, deploy | other users of the machine can read a secret or the database |
| gateway.E005 | error, deploy | any client key is accepted, and other machines may call |
| gateway.E006 | error, deploy | the database was migrated by a newer program |
| gateway.E007 | error, deploy | accounts have a second factor, and the extra `sso` is missing |
| gateway.W001 | warning | the master key is short or a well-known example |
| gateway.W002 | warning | the encryption key is the secret key |
| gateway.W003 | warning | any client key is accepted |
| gateway.W004 | warning, deploy | SQLite, with Redis for several machines |
| gateway.W005 | warning, deploy | no backup, or an old one |
| gateway.W006 | warning, deploy | a public host name without a trusted proxy |
| gateway.W007 | warning, deploy | a rotation of the encryption keys is unfinished |
| gateway.W008 | warning, deploy | a connection to another machine's PostgreSQL without TLS |
| gateway.W009 | warning, deploy | any host name is accepted |
| gateway.W010 | warning, deploy | there is no admin account |

`manage.py check` runs the first ones, `check --deploy` all of them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from django.apps import AppConfig
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import DatabaseError, connections
from django.utils import timezone

from gateway import store
from gateway.models import Registry
from gateway.store import second_factors

WEAK_MASTER_KEYS = frozenset({"sk-1234", "sk-12345", "changeme", "secret", "password"})
MASTER_KEY_CHARS = 20
SECRET_FILES = ("secret_key", "encryption_key", "admin_key", "dragoman.sqlite3", "setup_token")
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
MAX_BACKUP_AGE = dt.timedelta(days=7)
# PostgreSQL's names: https://www.postgresql.org/docs/current/libpq-ssl.html
ENCRYPTED_MODES = frozenset({"require", "verify-ca", "verify-full"})


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
                f"Encryption key {position} of {len(settings.ENCRYPTION_KEYS)} is not a Fernet "
                "key.",
                hint="DRAGOMAN_ENCRYPTION_KEYS must contain keys of 32 bytes in URL-safe base64, "
                "newest first. Unset it to have one generated in the data directory.",
                id="gateway.E001",
            )
        if key == settings.SECRET_KEY:
            yield checks.Warning(
                "The encryption key is the secret key.",
                hint="Use different values, so that a leak of one does not expose the other.",
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
            "The master key is easy to guess.",
            hint=f"Use at least {MASTER_KEY_CHARS} random characters: the key gives access to "
            "the management API. `up` refuses weak keys on any interface but loopback.",
            id="gateway.W001",
        )
    if settings.OPEN:
        yield checks.Warning(
            "Any client key is accepted.",
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
            case "sqlite" if not _query_scalar(
                alias, "SELECT sqlite_compileoption_used('ENABLE_FTS5')"
            ):
                yield Error(
                    "This SQLite has no FTS5.",
                    hint="Use a Python whose sqlite3 module includes it, or set DATABASE_URL "
                    "to a PostgreSQL database.",
                    id="gateway.E002",
                )
            case "postgresql" if _query_scalar(alias, "SHOW server_encoding") != "UTF8":
                yield Error(
                    "The database is not UTF-8.",
                    hint="Create it with ENCODING 'UTF8': prompts can contain any script.",
                    id="gateway.E003",
                )


@register(Tags.security, deploy=True)
def exposure(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> Iterable[CheckMessage]:
    """Check what other users of the machine and other machines can reach."""
    for name in SECRET_FILES:
        path = Path(settings.DATA_DIR) / name
        if path.exists() and path.stat().st_mode & 0o077:
            yield Error(
                f"{path} can be read by other users of this machine.",
                hint=f"Run `chmod 600 {path}`, and rotate the secrets in it.",
                id="gateway.E004",
            )
    public = [host for host in settings.ALLOWED_HOSTS if host not in LOCAL_HOSTS]
    if public and settings.OPEN:
        yield Error(
            f"Any client key is accepted, and {public[0]} is a public host name.",
            hint="Unset DRAGOMAN_OPEN and create gateway keys.",
            id="gateway.E005",
        )
    if "*" in public:
        yield checks.Warning(
            "Requests for any host name are accepted.",
            hint="Set DRAGOMAN_ALLOWED_HOSTS to the names under which clients reach the gateway.",
            id="gateway.W009",
        )
    if public and not settings.TRUSTED_PROXIES:
        yield checks.Warning(
            f"{public[0]} is a public host name, and there is no trusted proxy.",
            hint="Put a proxy with TLS in front (deploy/ has sites for nginx and Caddy) and set "
            "DRAGOMAN_TRUSTED_PROXIES to its address: without it, cookies are not Secure, and all "
            "clients of a proxy share one address.",
            id="gateway.W006",
        )


@register(Tags.security, deploy=True)
def database_setup(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> Iterable[CheckMessage]:
    """Check the database connection, and for an unfinished rotation of the encryption keys."""
    database = settings.DATABASES["default"]
    if "sqlite" in database["ENGINE"]:
        if settings.REDIS_URL:
            yield checks.Warning(
                "REDIS_URL is for several machines, and the database is SQLite.",
                hint="Every machine would have a database of its own: set DATABASE_URL to "
                "PostgreSQL, or unset REDIS_URL on a single machine.",
                id="gateway.W004",
            )
    else:
        host = database.get("HOST") or ""
        is_local = not host or host.startswith("/") or host in LOCAL_HOSTS
        if not is_local and database["OPTIONS"].get("sslmode") not in ENCRYPTED_MODES:
            yield checks.Warning(
                f"The connection to PostgreSQL on {host} need not be encrypted.",
                hint="Add ?sslmode=verify-full to DATABASE_URL.",
                id="gateway.W008",
            )
    if len(settings.ENCRYPTION_KEYS) > 1:
        yield checks.Warning(
            "There are several encryption keys: a rotation is unfinished.",
            hint="Restart all nodes, then run `manage.py rotate_keys --finish`.",
            id="gateway.W007",
        )


@register(Tags.security, deploy=True)
def database_content(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> Iterable[CheckMessage]:
    """Check the version of the database, its last backup, and that it has an admin account."""
    try:
        store.check_program()
        backup_at = Registry.objects.values_list("backup_at", flat=True).first()
        has_admin = get_user_model().objects.filter(is_superuser=True).exists()
        missing_package = second_factors.missing_package_warning()
    except store.NewerDatabase as error:
        yield Error(
            "The database was migrated by a newer program.", hint=f"{error}.", id="gateway.E006"
        )
        return
    except DatabaseError:
        return  # not migrated, or unavailable: `up` reports it
    if backup_at is None or timezone.now() - backup_at > MAX_BACKUP_AGE:
        yield checks.Warning(
            f"The last backup is of {backup_at:%Y-%m-%d}." if backup_at else "There is no backup.",
            hint="Run `manage.py backup FILE` every day and keep the file on another machine. If "
            "you back up by other means, silence this with DRAGOMAN_SILENCED_CHECKS=gateway.W005.",
            id="gateway.W005",
        )
    if missing_package:
        yield Error(
            f"{missing_package}.",
            hint="Install the package of the extra `sso`, or have an admin remove the second "
            "factors on the pages of the users.",
            id="gateway.E007",
        )
    if not has_admin:
        yield checks.Warning(
            "There is no admin account: whoever has the setup link can create it.",
            hint="Open the setup link that `up` prints, and create the account.",
            id="gateway.W010",
        )


def _query_scalar(alias: str, query: str) -> Any:
    with connections[alias].cursor() as cursor:
        cursor.execute(query)
        row = cursor.fetchone()
    return row[0] if row else None
