"""Makes a backup while the gateway runs, and restores one."""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec
from django.conf import settings
from django.db import connection, transaction

from gateway import store
from gateway.backup import archive, postgresql, secrets, sqlite
from gateway.backup.archive import ArchiveError, Manifest
from gateway.models import Registry

# Of the files and directories that exist only while a backup is made or restored. They are locked
# by their process: those without a lock were left by one that was killed.
PREFIX = ".dragoman-backup-"


class RestoreRefused(Exception):
    """The backup does not fit the target; the message says why. Nothing was changed."""


class RestoreResult(msgspec.Struct, frozen=True):
    """A restored backup, and the names of settings that the environment lacks."""

    manifest: Manifest
    missing_settings: list[str]


def create(target: BinaryIO, passphrase: str | None = None) -> Manifest:
    """Write a backup of the database, secrets and settings to `target`.

    The gateway may run. Log rows in its journal that are not yet in the database are not included.
    Raises OSError and DatabaseError.
    """
    with _working_directory() as directory:
        tables: dict[str, archive.Table] = {}
        if connection.vendor == "postgresql":
            with transaction.atomic():
                migrations, tables = postgresql.dump(directory)
        else:
            migrations = sqlite.dump(directory)
        secrets.dump(directory)
        members = {
            path.relative_to(directory).as_posix(): archive.measure(path)
            for path in sorted(directory.rglob("*"))
            if path.is_file()
        }
        created_at = dt.datetime.now(dt.UTC)
        manifest = Manifest(
            format=archive.FORMAT,
            program_version=settings.PROGRAM_VERSION,
            created_at=created_at.isoformat(timespec="seconds"),
            database=connection.vendor,
            migrations=migrations,
            tables=tables,
            members=members,
        )
        archive.pack(target, directory, manifest, passphrase)
        target.flush()
    return manifest


def record_backup(manifest: Manifest) -> None:
    """Store the time of the last backup, for `check --deploy`."""
    Registry.objects.update_row(backup_at=dt.datetime.fromisoformat(manifest.created_at))


def write_file(path: Path, passphrase: str | None = None) -> Manifest:
    """Write a backup to a new file of mode 0600, complete or not at all.

    Raises FileExistsError, OSError and DatabaseError.
    """
    if path.exists():
        raise FileExistsError(path)
    _remove_abandoned(path.parent)
    temporary_path = path.with_name(f"{PREFIX}{os.urandom(8).hex()}")
    try:
        descriptor = os.open(temporary_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            _lock(descriptor)
            manifest = create(file, passphrase)
            os.fsync(file.fileno())
        os.link(temporary_path, path)
    finally:
        temporary_path.unlink(missing_ok=True)
    return manifest


def restore(
    source: BinaryIO, passphrase: str | None = None, *, force: bool = False
) -> RestoreResult:
    """Restore a backup into an empty database; with `force`, replace the existing content.

    Everything is verified before anything is changed, and an error leaves all as it was.

    Raises:
        ArchiveError: the file is not an intact backup, or the passphrase is wrong.
        RestoreRefused: it does not fit this program, its database or its environment.
        DatabaseError, OSError: the database or the data directory cannot be written.
    """
    with _working_directory() as directory:
        manifest = archive.unpack(source, directory, passphrase)
        try:
            node_secrets = secrets.read(directory)
        except (OSError, msgspec.MsgspecError) as error:
            raise ArchiveError(f"the secrets of the backup are damaged: {error}") from None
        if manifest.database == "sqlite":
            sqlite.check_copy(directory, manifest)
        _check_manifest(manifest, node_secrets, force=force)
        with secrets.replaced_files(node_secrets):
            if manifest.database == "postgresql":
                # The commit checks the constraints.
                with transaction.atomic():
                    postgresql.load(directory, manifest)
            else:
                sqlite.load(directory, manifest)
        missing_variables = secrets.restore_environment(node_secrets)
    # The stored snapshot of the previous registry, perhaps sealed with another key.
    (Path(settings.DATA_DIR) / store.STORED_SNAPSHOT).unlink(missing_ok=True)
    return RestoreResult(manifest, missing_variables)


def _check_manifest(manifest: Manifest, node_secrets: secrets.Secrets, *, force: bool) -> None:
    if manifest.database != connection.vendor:
        raise RestoreRefused(
            f"the backup is of {manifest.database}, and DATABASE_URL names a database of "
            f"{connection.vendor}: restore it to {manifest.database}"
        )
    unknown_migrations = store.unknown_migrations(manifest.migrations)
    if unknown_migrations:
        raise RestoreRefused(
            f"the backup was made by Dragoman {manifest.program_version}, and this program is "
            f"{settings.PROGRAM_VERSION}, which does not know {unknown_migrations[0]}. "
            f"Install version {manifest.program_version} or later"
        )
    try:
        secrets.check_environment(node_secrets)
    except secrets.SecretsDiffer as error:
        raise RestoreRefused(str(error)) from None
    backend = postgresql if connection.vendor == "postgresql" else sqlite
    if not force and not backend.is_empty():
        raise RestoreRefused(
            "the database is not empty. Choose another DRAGOMAN_DATA_DIR or DATABASE_URL, or "
            "replace everything in it with --force"
        )
    if connection.vendor == "sqlite":
        try:
            sqlite.close_connections()
        except sqlite.DatabaseInUse as error:
            raise RestoreRefused(str(error)) from None


@contextlib.contextmanager
def _working_directory() -> Iterator[Path]:
    """A private directory in the data directory, removed at the end.

    On its file system, so that a restored database is moved into its path and not copied.
    """
    data_dir = Path(settings.DATA_DIR)
    _remove_abandoned(data_dir)
    directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=data_dir))
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        _lock(descriptor)
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Lock a file or directory, unless its file system has no locks."""
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _remove_abandoned(directory: Path) -> None:
    """Remove copies of the database and of the secrets that killed processes left."""
    for path in directory.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            finally:
                os.close(descriptor)
