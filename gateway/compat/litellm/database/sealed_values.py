"""Decrypts the values that LiteLLM stores encrypted with its salt key or master key.

The key is the SHA-256 hash of LITELLM_SALT_KEY, or of the master key where that is not set. A
value is XSalsa20-Poly1305 (`nacl.secret.SecretBox`: 24 bytes of nonce, 16 of tag, ciphertext) in
base64, or with the prefix `v2:gcm:` AES-256-GCM (12 bytes of nonce, ciphertext, tag).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_GCM = "v2:gcm:"
_NONCE, _TAG, _GCM_NONCE = 24, 16, 12


class SealedError(ValueError):
    """A value cannot be decrypted with this key."""


class SaltKey:
    """A LiteLLM salt key; its text appears in no message."""

    def __init__(self, text: str) -> None:
        self._key = hashlib.sha256(text.encode()).digest()

    def decrypt(self, text: str) -> str:
        """The decrypted text; a text that is not encrypted is returned unchanged.

        Raises SealedError.
        """
        gcm = text.startswith(_GCM)
        try:
            ciphertext = base64.urlsafe_b64decode(_to_urlsafe_base64(text.removeprefix(_GCM)))
        except (binascii.Error, ValueError):
            return text
        if not gcm and not is_sealed(text):
            return text
        try:
            return (self._open_gcm(ciphertext) if gcm else self._open_box(ciphertext)).decode()
        except (InvalidTag, ValueError):
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

    def _open_gcm(self, ciphertext: bytes) -> bytes:
        return AESGCM(self._key).decrypt(ciphertext[:_GCM_NONCE], ciphertext[_GCM_NONCE:], None)

    def _open_box(self, ciphertext: bytes) -> bytes:
        # In the extra `litellm`: only imports need it.
        from nacl.exceptions import CryptoError
        from nacl.secret import SecretBox

        try:
            return SecretBox(self._key).decrypt(ciphertext)
        except CryptoError:
            raise ValueError from None


def is_sealed(value: Any) -> bool:
    """Whether a text may be encrypted: base64 of at least a nonce and a tag."""
    if not isinstance(value, str):
        return False
    if value.startswith(_GCM):
        return True
    text = _to_urlsafe_base64(value)
    if len(text) % 4 or not set(text.rstrip("=")) <= _ALPHABET:
        return False
    return len(base64.urlsafe_b64decode(text)) >= _NONCE + _TAG


_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def _to_urlsafe_base64(text: str) -> str:
    return text.replace("+", "-").replace("/", "_")
