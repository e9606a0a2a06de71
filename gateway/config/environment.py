"""Reads settings from the environment, strictly: an invalid value is an error.

Every variable may also be set as `NAME_FILE`, the path of a file with the value.
"""

from __future__ import annotations

import contextlib
import importlib.util
import ipaddress
import logging
import os
import re
import secrets
import stat
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

Value = TypeVar("Value")

log = logging.getLogger(__name__)

_ENV_NAME = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)")
_QUOTED_VALUE = re.compile(r"""'([^']*)'|"((?:[^"\\]|\\.)*)\"""")
_COMMENT = re.compile(r"(?:^|\s)#.*")

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off"}


def text(name: str, default: str = "") -> str:
    """Return the variable, or the content of the file `NAME_FILE` names, or `default`."""
    value = os.environ.get(name)
    path = os.environ.get(f"{name}_FILE")
    if value is not None and path is not None:
        raise ImproperlyConfigured(f"{name} and {name}_FILE are both set; set only one of them")
    if path is None:
        return default if value is None else value
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ImproperlyConfigured(f"{name}_FILE: {error.strerror}: {path}") from error


def load_env_file(path: Path) -> None:
    """Set the variables of a `.env` file that are not set yet, in this process and its workers.

    A file that any other user may write is ignored, as it could redirect keys; so is a line
    that is not `NAME=value`. Both are logged.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return
        if status.st_mode & stat.S_IWOTH or status.st_uid not in {0, os.getuid()}:
            log.warning("ignored, as other users can change it: %s", path)
            return
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError):
        log.warning("cannot be read: %s", path)
        return
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        match = _ENV_NAME.fullmatch(name.strip())
        if not equals or match is None:
            log.warning("ignored because it is not NAME=value: line %s of %s", number, path)
            continue
        name = match[1]
        partner = name.removesuffix("_FILE") if name.endswith("_FILE") else f"{name}_FILE"
        if partner not in os.environ:
            os.environ.setdefault(name, _env_value(value.strip()))


def _env_value(text: str) -> str:
    """Return a value without its quotes, or without the comment after it."""
    quoted_value = _QUOTED_VALUE.match(text)
    if quoted_value is None:
        return _COMMENT.sub("", text).strip()
    if quoted_value[1] is not None:
        return quoted_value[1]
    return re.sub(r"\\(.)", lambda escape: {"n": "\n"}.get(escape[1], escape[1]), quoted_value[2])


def quote_value(value: str) -> str:
    """Return a value for a line of a `.env` file: in quotes if it needs them."""
    if value.isprintable() and _env_value(value) == value:
        return value
    escaped_value = re.sub(r'(["\\])', r"\\\1", value)
    return '"' + "\\n".join(escaped_value.splitlines()) + '"'


def choice(name: str, choices: Sequence[str]) -> str:
    """Return one of the choices, the first by default; upper and lower case do not matter."""
    value = text(name).strip() or choices[0]
    for allowed_value in choices:
        if value.lower() == allowed_value.lower():
            return allowed_value
    raise ImproperlyConfigured(f"{name} must be {' or '.join(choices)}, not {value!r}")


def boolean(name: str, *, default: bool) -> bool:
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
        result = float(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a number, not {value!r}") from None
    if not result >= min_value:
        raise ImproperlyConfigured(f"{name} must be at least {min_value:g}, not {value}")
    return result


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
            message = f"must contain IP addresses or networks such as 10.0.0.0/8, not {item!r}"
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
    for path in (
        database,
        *(Path(f"{database}{suffix}") for suffix in ("-wal", "-shm", "-journal")),
    ):
        # A file of another user cannot be changed.
        with contextlib.suppress(OSError):
            if path.stat().st_mode & 0o077:
                path.chmod(0o600)


def parse_variable(name: str, value: str, parse: Callable[[str], Value]) -> Value:
    """Return the parsed value of a variable; a ValueError becomes ImproperlyConfigured."""
    try:
        return parse(value)
    except ValueError as error:
        # The value may contain a password: the message has only the reason's first sentence.
        raise ImproperlyConfigured(f"{name}: {str(error).partition('. ')[0]}") from None


def redis_url(value: str) -> str:
    """Validate a Redis URL, or an empty text. Raises ValueError."""
    if value and not value.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must begin with redis://, rediss:// or unix://")
    return value


def http_url(value: str) -> str:
    """Validate the URL of an HTTP service, or an empty text. Raises ValueError."""
    if not value:
        return ""
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must begin with https:// or http:// and name a host")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("must not contain a credential or parameters")
    return value


def dollars(value: str) -> Decimal | None:
    """Parse an amount of US dollars; None for an empty text. Raises ValueError."""
    if not value.strip():
        return None
    try:
        amount = Decimal(value.strip())
    except InvalidOperation:
        amount = Decimal(-1)
    if not (amount.is_finite() and amount >= 0):
        raise ValueError("must be an amount of US dollars, such as 50")
    return amount


def object_storage_url(value: str) -> str:
    """Validate the URL of object storage or a folder, or an empty text. Raises ValueError."""
    if not value:
        return ""
    parts = urlsplit(value)
    if parts.scheme == "file":
        if parts.netloc or not parts.path.startswith("/"):
            raise ValueError("must name an absolute folder, such as file:///var/log/dragoman")
    elif parts.scheme not in {"s3", "gs", "az"}:
        raise ValueError("must begin with s3://, gs://, az:// or file://")
    elif not parts.hostname:
        raise ValueError(f"must name a bucket, such as {parts.scheme}://bucket/prefix")
    elif parts.username or parts.password or parts.query:
        raise ValueError("must not contain a credential: set the variables of the storage")
    return value


def require_extra(variable: str, module: str, extra: str) -> None:
    """Raise ImproperlyConfigured if a setting needs an optional package that is missing."""
    try:
        installed = importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of a package above it
        installed = False
    if not installed:
        raise ImproperlyConfigured(
            f"{variable} needs a package that is not installed: pip install 'dragoman[{extra}]'"
        )


def generated_secret(name: str, path: Path, generate: object = None) -> str:
    """Return the variable, else the content of `path`, else a new secret stored there (0600)."""
    value = text(name)
    if value:
        return value
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        pass
    value = str(generate() if callable(generate) else secrets.token_urlsafe(48))
    try:
        _create_file(path, value)
    except FileExistsError:  # another process created it first
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"{name} is not set, and a new value cannot be stored: {error.strerror}: {path}"
        ) from error
    return value


def write_private(path: Path, content: str) -> None:
    """Replace a file atomically by one of mode 0600. Raises OSError."""
    temporary_path = _write_temporary(path, content)
    try:
        temporary_path.replace(path)
    finally:
        temporary_path.unlink(missing_ok=True)


def _create_file(path: Path, value: str) -> None:
    """Write a new file atomically: an empty one would be read as a secret."""
    temporary_path = _write_temporary(path, value)
    try:
        os.link(temporary_path, path)
    finally:
        temporary_path.unlink(missing_ok=True)


def _write_temporary(path: Path, content: str) -> Path:
    """Write a file of mode 0600 beside `path`; return its path."""
    temporary_path = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary_path.unlink(missing_ok=True)
        raise
    return temporary_path
