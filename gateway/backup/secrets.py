"""Secrets and settings of this node in a backup."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from django.conf import settings

from gateway.config import environment

NAME = "secrets.json"
# Settings that were set in the environment of the backup, for the operator to set again.
RESTORED_ENVIRONMENT = "restored.env"


_Secret = Annotated[str, msgspec.Meta(min_length=1)]
# Names of variables that a restore may write; a changed backup could have others (`LD_PRELOAD`).
_SETTING = re.compile(r"DRAGOMAN_[A-Za-z0-9_]+")


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """The secrets in use, and the settings in the environment.

    Attributes:
        encryption_keys: newest first.
        environment: the variables `DRAGOMAN_*`, without the secrets above.
    """

    secret_key: _Secret
    encryption_keys: Annotated[list[_Secret], msgspec.Meta(min_length=1)]
    admin_key: str
    environment: dict[str, str]


class SecretsDiffer(Exception):
    """The environment sets other secrets than those of the backup."""


# Attribute of `Secrets` -> variable, file in the data directory.
_FILES = {
    "secret_key": ("DRAGOMAN_SECRET_KEY", "secret_key"),
    "encryption_keys": ("DRAGOMAN_ENCRYPTION_KEYS", "encryption_key"),
    "admin_key": ("DRAGOMAN_ADMIN_KEY", "admin_key"),
}
_VARIABLES = {variable for variable, _ in _FILES.values()}


def dump(directory: Path) -> None:
    """Write the secrets and settings of this process to `directory`."""
    current_secrets = Secrets(
        secret_key=settings.SECRET_KEY,
        encryption_keys=settings.ENCRYPTION_KEYS,
        admin_key=settings.ADMIN_KEY,
        environment=_public_environment(),
    )
    (directory / NAME).write_bytes(msgspec.json.encode(current_secrets))


def read(directory: Path) -> Secrets:
    """The secrets and settings in an unpacked backup."""
    return msgspec.json.decode((directory / NAME).read_bytes(), type=Secrets)


def check_environment(secrets: Secrets) -> None:
    """Check that the environment does not set other secrets than those of the backup.

    Raises:
        SecretsDiffer: it does; the message names the variable.
    """
    secret_key = environment.text("DRAGOMAN_SECRET_KEY")
    keys = environment.names("DRAGOMAN_ENCRYPTION_KEYS")
    reason = ""
    if secret_key and secret_key != secrets.secret_key:
        reason = "DRAGOMAN_SECRET_KEY: no gateway key of the backup would be accepted"
    elif keys and secrets.encryption_keys[0] not in keys:
        reason = "DRAGOMAN_ENCRYPTION_KEYS: no credential of the backup could be decrypted"
    if reason:
        raise SecretsDiffer(
            f"the environment has another {reason}. Unset it, so that the backup's is used, or set "
            "it to the value that was used with the backup"
        )


@contextlib.contextmanager
def replaced_files(secrets: Secrets) -> Iterator[None]:
    """Write the secrets to the data directory; an error in the block puts the old ones back.

    Until the block ends, the old ones are in files of the suffix `.before-restore`, which stay
    there if the process is killed; a repetition keeps them.
    """
    written_files: list[Path] = []
    try:
        for attribute, (variable, name) in _FILES.items():
            if environment.text(variable):
                continue
            value = getattr(secrets, attribute)
            text = value if isinstance(value, str) else ",".join(value)
            path = Path(settings.DATA_DIR) / name
            if path.exists():
                old_text = path.read_text(encoding="utf-8")
                if old_text != text or not _path_before_restore(path).exists():
                    environment.write_private(_path_before_restore(path), old_text)
            written_files.append(path)
            environment.write_private(path, text)
        yield
    except BaseException:
        for path in written_files:
            if _path_before_restore(path).exists():
                _path_before_restore(path).replace(path)
            else:
                path.unlink(missing_ok=True)
        raise
    for path in written_files:
        _path_before_restore(path).unlink(missing_ok=True)


def _path_before_restore(path: Path) -> Path:
    return path.with_name(f"{path.name}.before-restore")


def restore_environment(secrets: Secrets) -> list[str]:
    """Write the settings that this environment lacks to a file; return their names."""
    current_secrets = _public_environment()
    missing_variables = {
        name: value
        for name, value in secrets.environment.items()
        if _SETTING.fullmatch(name) and current_secrets.get(name) != value
    }
    if missing_variables:
        lines = "".join(
            f"{name}={environment.quote_value(value)}\n"
            for name, value in sorted(missing_variables.items())
        )
        environment.write_private(Path(settings.DATA_DIR) / RESTORED_ENVIRONMENT, lines)
    return sorted(missing_variables)


def _public_environment() -> dict[str, str]:
    """Dragoman's variables that are set, without secrets and without the data directory."""
    skipped_names = {*_VARIABLES, *(f"{name}_FILE" for name in _VARIABLES), "DRAGOMAN_DATA_DIR"}
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith("DRAGOMAN_") and name not in skipped_names
    }
