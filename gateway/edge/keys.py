"""Gateway keys: where clients put them, what they look like, how they are hashed.

    sk-dgm-<8 public characters><40 secret ones><6 of checksum>

The checksum lets a typing mistake and a secret scanner be told from a wrong key.
"""

from __future__ import annotations

import hashlib
import secrets
import string
import zlib
from urllib.parse import parse_qs

PREFIX = "sk-dgm-"
_ALPHABET = string.ascii_letters + string.digits
_PUBLIC_CHARS, _SECRET_CHARS, _CHECKSUM_CHARS = 8, 40, 6
# Which header counts first; clients that send two send the same value in both.
_KEY_HEADERS = (b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key")
CREDENTIAL_HEADERS = frozenset(_KEY_HEADERS)


def token_from(headers: list[tuple[bytes, bytes]], query: bytes) -> str:
    """The client's token from the first place that holds one; empty if none does."""
    key_headers: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _KEY_HEADERS and name not in key_headers:
            key_headers[name] = value
    for name in _KEY_HEADERS:
        value = key_headers.get(name, b"")
        if name == b"authorization":
            scheme, _, credentials = value.partition(b" ")
            value = credentials if scheme.lower() == b"bearer" else value
        if text := value.strip().decode("latin-1"):
            return text
    if query and b"key=" in query:
        return parse_qs(query.decode("latin-1")).get("key", [""])[0]
    return ""


def digest(token: str, pepper: bytes) -> bytes:
    """The keyed hash by which a key is stored and found (32 bytes).

    Keys have 238 random bits, so one fast hash is as good as a slow one.
    """
    return hashlib.blake2b(token.encode("utf-8", "replace"), key=pepper, digest_size=32).digest()


def generate_key() -> str:
    """A new key."""
    body = "".join(secrets.choice(_ALPHABET) for _ in range(_PUBLIC_CHARS + _SECRET_CHARS))
    return PREFIX + body + _checksum(body)


def public_prefix(token: str) -> str:
    """What may be shown of a key: enough to tell it from others."""
    return token[: len(PREFIX) + _PUBLIC_CHARS]


def _checksum(body: str) -> str:
    remainder = zlib.crc32(body.encode())
    digits = []
    for _ in range(_CHECKSUM_CHARS):
        remainder, index = divmod(remainder, len(_ALPHABET))
        digits.append(_ALPHABET[index])
    return "".join(digits)
