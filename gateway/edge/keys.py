"""Gateway keys: where clients put them, what they look like, how they are hashed.

    sk-dgm-<8 public characters><40 secret ones><6 of checksum>

The checksum lets a typing mistake and a secret scanner be told from a wrong key.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from urllib.parse import parse_qs

PREFIX = "sk-dgm-"
_ALPHABET = string.ascii_letters + string.digits
_PUBLIC, _SECRET, _CHECK = 8, 40, 6
_FORM = re.compile(rf"^{PREFIX}[A-Za-z0-9]{{{_PUBLIC + _SECRET + _CHECK}}}$")
# Which header counts first; clients that send two send the same value in both.
_HEADERS = (b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key")


def token_from(headers: list[tuple[bytes, bytes]], query: bytes) -> str:
    """The client's token from the first place that holds one; empty if none does."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _HEADERS and name not in found:
            found[name] = value
    for name in _HEADERS:
        value = found.get(name, b"")
        if name == b"authorization":
            scheme, _, rest = value.partition(b" ")
            value = rest if scheme.lower() == b"bearer" else value
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


def fresh() -> str:
    """A new key."""
    body = "".join(secrets.choice(_ALPHABET) for _ in range(_PUBLIC + _SECRET))
    return PREFIX + body + _checksum(body)


def public_part(token: str) -> str:
    """What may be shown of a key: enough to tell it from others."""
    return token[: len(PREFIX) + _PUBLIC]


def looks_like_ours(token: str) -> bool:
    """Whether a token has our form and its checksum holds."""
    if not _FORM.match(token):
        return False
    body = token[len(PREFIX) : -_CHECK]
    return _checksum(body) == token[-_CHECK:]


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = []
    for _ in range(_CHECK):
        number, place = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[place])
    return "".join(digits)
