"""Reads settings from the environment, strictly: an invalid value is an error.

Every variable may also be set as `NAME_FILE`, the path of a file with the value.
"""

from __future__ import annotations

import contextlib
import importlib.util
import ipaddress
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from django.core.exceptions import ImproperlyConfigured

Value = TypeVar("Value")

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off"}


def text(name: str, default: str = "") -> str:
    """Return the variable, or the content of the file `NAME_FILE` names, or `default`."""
    value = os.environ.get(name)
    path = os.environ.get(f"{name}_FILE")
    if value is not None and path is not None:
        raise ImproperlyConfigured(f"{name} and {name}_FILE are both set; keep one")
    if path is None:
        return default if value is None else value
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ImproperlyConfigured(f"{name}_FILE: {error.strerror}: {path}") from error


def flag(name: str, *, default: bool) -> bool:
    """Return a boolean variable."""
    value = text(name).strip().lower()
    if not value:
        return default
    if value in TRUE:
        return True
    if value in FALSE:
        return False
    raise ImproperlyConfigured(f"{name} must be true or false, not {value!r}")


def number(name: str, default: float, *, min_value: float = 0) -> float:
    """Return a number of at least `min_value`."""
    value = text(name).strip()
    if not value:
        return default
    try:
        parsed = float(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a number, not {value!r}") from None
    if not parsed >= min_value:
        raise ImproperlyConfigured(f"{name} must be at least {min_value:g}, not {value}")
    return parsed


def names(name: str, default: str = "") -> list[str]:
    """Return a comma-separated list without empty items."""
    return [item.strip() for item in text(name, default).split(",") if item.strip()]


def networks(value: str) -> list[str]:
    """Parse a comma-separated list of IP addresses and networks. Raises ValueError."""
    items = [item.strip() for item in value.split(",") if item.strip()]
    for item in items:
        try:
            ipaddress.ip_network(item)
        except ValueError:
            message = f"it must hold IP addresses or networks such as 10.0.0.0/8, not {item!r}"
            raise ValueError(message) from None
    return items


def data_dir(name: str, default: str) -> Path:
    """Return the data directory, created with mode 0700 if it is missing.

    Also restricts the umask: this process creates files for its own user only, even if the
    directory existed before and is readable by others.
    """
    os.umask(0o077)
    return directory(name, Path(text(name, default)).resolve())


def directory(name: str, path: Path) -> Path:
    """Return a directory, created with mode 0700 if it is missing; `name` is its variable."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(f"{name}: {error.strerror}: {path}") from error
    return path


def make_private(database: Path) -> None:
    """Restrict SQLite's files to their owner; older versions made them readable."""
    for path in (database, *(Path(f"{database}{end}") for end in ("-wal", "-shm", "-journal"))):
        # A file of another user cannot be changed.
        with contextlib.suppress(OSError):
            if path.stat().st_mode & 0o077:
                path.chmod(0o600)


def parsed(name: str, value: str, parse: Callable[[str], Value]) -> Value:
    """Return the parsed value of a variable; a ValueError becomes ImproperlyConfigured."""
    try:
        return parse(value)
    except ValueError as error:
        # The value may contain a password: the message has only the reason's first sentence.
        raise ImproperlyConfigured(f"{name}: {str(error).partition('. ')[0]}") from None


def redis_url(value: str) -> str:
    """Validate a Redis URL, or an empty text. Raises ValueError."""
    if value and not value.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("it must begin with redis://, rediss:// or unix://")
    return value


def require_extra(variable: str, module: str, extra: str) -> None:
    """Raise ImproperlyConfigured if a setting needs an optional package that is missing."""
    if importlib.util.find_spec(module) is None:
        raise ImproperlyConfigured(
            f"{variable} needs a package that is not installed: pip install 'dragoman[{extra}]'"
        )


def generated(name: str, path: Path, make: object = None) -> str:
    """Return the variable, else the content of `path`, else a new secret stored there (0600)."""
    value = text(name)
    if value:
        return value
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        pass
    value = str(make() if callable(make) else secrets.token_urlsafe(48))
    try:
        _create(path, value)
    except FileExistsError:  # another process created it first
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"{name} is not set, and a new value can not be stored: {error.strerror}: {path}"
        ) from error
    return value


def _create(path: Path, value: str) -> None:
    """Write a new file atomically: an empty one would be read as a secret."""
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(value)
            file.flush()
            os.fsync(file.fileno())
        os.link(new, path)
    finally:
        new.unlink(missing_ok=True)
