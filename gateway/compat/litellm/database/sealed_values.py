"""Decrypts the values that LiteLLM stores encrypted with its salt key or master key.

The key is the SHA-256 hash of LITELLM_SALT_KEY, or of the master key where that is not set. A
value is XSalsa20-Poly1305 (`nacl.secret.SecretBox`: 24 bytes of nonce, 16 of tag, ciphertext) in
base64, or with the prefix `v2:gcm:` AES-256-GCM (12 bytes of nonce, ciphertext, tag).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from typing import Any

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.poly1305 import Poly1305

_GCM = "v2:gcm:"
_NONCE, _TAG, _GCM_NONCE = 24, 16, 12
_SIGMA = struct.unpack("<4I", b"expand 32-byte k")
_MASK = 0xFFFFFFFF


class SealedError(ValueError):
    """A value cannot be decrypted with this key."""


class SaltKey:
    """A LiteLLM salt key; its text appears in no message."""

    def __init__(self, text: str) -> None:
        self._key = hashlib.sha256(text.encode()).digest()

    def decrypt(self, text: str) -> str:
        """The decrypted text; a text that is not encrypted is returned as it is.

        Raises SealedError.
        """
        gcm = text.startswith(_GCM)
        try:
            data = base64.urlsafe_b64decode(_urlsafe(text.removeprefix(_GCM)))
        except (binascii.Error, ValueError):
            return text
        if not gcm and not is_sealed(text):
            return text
        try:
            return (self._open_gcm(data) if gcm else self._open_box(data)).decode()
        except (InvalidTag, InvalidSignature, ValueError):
            raise SealedError("it cannot be decrypted with this key") from None

    def decrypt_all(self, value: Any) -> Any:
        """The value with every text in it decrypted, at any depth. Raises SealedError."""
        if isinstance(value, str):
            return self.decrypt(value)
        if isinstance(value, dict):
            return {name: self.decrypt_all(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.decrypt_all(item) for item in value]
        return value

    def _open_gcm(self, data: bytes) -> bytes:
        return AESGCM(self._key).decrypt(data[:_GCM_NONCE], data[_GCM_NONCE:], None)

    def _open_box(self, data: bytes) -> bytes:
        nonce, tag, sealed = data[:_NONCE], data[_NONCE : _NONCE + _TAG], data[_NONCE + _TAG :]
        stream = _xsalsa20(self._key, nonce, 32 + len(sealed))
        Poly1305.verify_tag(stream[:32], sealed, tag)
        return bytes(a ^ b for a, b in zip(sealed, stream[32:], strict=True))


def is_sealed(value: Any) -> bool:
    """Whether a text may be encrypted: base64 of at least a nonce and a tag."""
    if not isinstance(value, str):
        return False
    if value.startswith(_GCM):
        return True
    text = _urlsafe(value)
    if len(text) % 4 or not set(text.rstrip("=")) <= _ALPHABET:
        return False
    return len(base64.urlsafe_b64decode(text)) >= _NONCE + _TAG


_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def _xsalsa20(key: bytes, nonce: bytes, length: int) -> bytes:
    """The first bytes of the XSalsa20 stream."""
    words = _rounds(_state(key, nonce[:16]))
    subkey = struct.pack("<8I", *(words[i] for i in (0, 5, 10, 15, 6, 7, 8, 9)))
    blocks = []
    for counter in range(-(-length // 64)):
        state = _state(subkey, nonce[16:] + struct.pack("<Q", counter))
        mixed = _rounds(state)
        blocks.append(
            struct.pack("<16I", *((a + b) & _MASK for a, b in zip(mixed, state, strict=True)))
        )
    return b"".join(blocks)[:length]


def _state(key: bytes, block: bytes) -> list[int]:
    k, n = struct.unpack("<8I", key), struct.unpack("<4I", block)
    return [
        *(_SIGMA[0], *k[:4], _SIGMA[1], *n),
        *(_SIGMA[2], *k[4:], _SIGMA[3]),
    ]


# Indexes of the quarter rounds of one double round: columns, then rows.
_QUARTERS = (
    *((0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11)),
    *((0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14)),
)


def _rounds(state: list[int]) -> list[int]:
    """The state after the 20 rounds of Salsa20."""
    words = list(state)
    for _ in range(10):
        for a, b, c, d in _QUARTERS:
            words[b] ^= _rotated(words[a] + words[d], 7)
            words[c] ^= _rotated(words[b] + words[a], 9)
            words[d] ^= _rotated(words[c] + words[b], 13)
            words[a] ^= _rotated(words[d] + words[c], 18)
    return words


def _rotated(value: int, bits: int) -> int:
    value &= _MASK
    return (value << bits | value >> (32 - bits)) & _MASK


def _urlsafe(text: str) -> str:
    return text.replace("+", "-").replace("/", "_")
