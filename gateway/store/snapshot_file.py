"""The last snapshot in the data directory, from which a node starts while its database is down.

The whole file is encrypted, as it contains the providers' credentials. A file that another
version of the program wrote is not used.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from functools import cache
from pathlib import Path
from typing import Any, get_origin

import msgspec
from cryptography.fernet import InvalidToken
from django.conf import settings

from gateway.models.sealed import build_cipher
from gateway.providers.profile import Secret
from gateway.routing.snapshot import Snapshot

ROOT = Path(__file__).resolve().parents[2]
NAME = "last-registry"


class StoredSnapshot(msgspec.Struct, frozen=True):
    """A snapshot as it was stored.

    Attributes:
        format: identifies the version of the program that stored it.
        stored_at: Unix seconds.
    """

    format: str
    stored_at: float
    snapshot: Snapshot


class UnusableRequest(Exception):
    """There is no usable stored snapshot; the message says why."""


def store_snapshot(snapshot: Snapshot) -> None:
    """Replace the stored snapshot atomically. Raises OSError."""
    stored_snapshot = StoredSnapshot(_current_format(), time.time(), snapshot)
    sealed_snapshot = build_cipher().encrypt(
        msgspec.msgpack.encode(stored_snapshot, enc_hook=_to_builtin)
    )
    path = _snapshot_path()
    new = path.with_name(f".{NAME}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(sealed_snapshot)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def load_stored_snapshot() -> tuple[Snapshot, float]:
    """The stored snapshot, and its time in Unix seconds. Raises UnusableRequest.

    `open` is taken from the current settings.
    """
    try:
        content = build_cipher().decrypt(_snapshot_path().read_bytes())
        stored_format = msgspec.msgpack.decode(content, type=_StoredFormat).format
        if stored_format != _current_format():
            raise UnusableRequest("the registry in the data directory has another version")
        stored_snapshot = msgspec.msgpack.decode(
            content, type=StoredSnapshot, dec_hook=_from_builtin
        )
    except FileNotFoundError:
        raise UnusableRequest("there is no registry in the data directory") from None
    except OSError as error:
        raise UnusableRequest(f"the registry in the data directory: {error.strerror}") from None
    except InvalidToken:
        raise UnusableRequest(
            "the registry in the data directory was encrypted with another key"
        ) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnusableRequest(
            f"the registry in the data directory cannot be read: {error}"
        ) from None
    return msgspec.structs.replace(
        stored_snapshot.snapshot, open=settings.OPEN
    ), stored_snapshot.stored_at


class _StoredFormat(msgspec.Struct, frozen=True):
    format: str


# Source files that define the types of a snapshot.
_TYPES = (
    "gateway/routing/*.py",
    "gateway/canon/traits.py",
    "gateway/providers/profile.py",
    "gateway/providers/network.py",
    "gateway/guardrails/guardrail.py",
    "gateway/prompts/prompt.py",
)


@cache
def _current_format() -> str:
    """A hash that changes with the migrations and the types of a snapshot."""
    digest = hashlib.sha256()
    for path in sorted(ROOT.glob("*/migrations/[0-9]*.py")):
        digest.update(path.name.encode() + b"\n")
    for pattern in _TYPES:
        for path in sorted(ROOT.glob(pattern)):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _snapshot_path() -> Path:
    return Path(settings.DATA_DIR) / NAME


def _to_builtin(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, re.Pattern):
        return value.pattern, value.flags
    raise TypeError(f"a snapshot has a {type(value).__name__}")


def _from_builtin(kind: Any, value: Any) -> Any:
    if kind is Secret:
        return Secret(value)
    if re.Pattern in (kind, get_origin(kind)):
        return re.compile(*value)
    raise TypeError(f"a snapshot has a {kind}")
