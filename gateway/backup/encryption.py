"""Encryption of a stream with a passphrase: chunks of AES-256-GCM, key by scrypt.

    magic line | salt | chunk ... | last chunk

The nonce of a chunk is its number and whether it is the last one (the STREAM construction of
https://eprint.iacr.org/2015/189, as in https://age-encryption.org/v1), so chunks cannot be
removed, reordered or truncated. The key is used for one file only, because of its salt.
"""

from __future__ import annotations

import io
import os
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

MAGIC = b"dragoman backup, encrypted, 1\n"
CHUNK_BYTES = 1024 * 1024
_SALT_BYTES, _TAG_BYTES = 16, 16
# 128 MiB of memory and about half a second: https://cheatsheetseries.owasp.org, Password Storage.
SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**17, 8, 1


class DecryptionError(Exception):
    """The passphrase is wrong, or the data was changed or truncated."""


class EncryptedWriter(io.RawIOBase):
    """Writes encrypted data to `target`, which stays open."""

    def __init__(self, target: BinaryIO, passphrase: str) -> None:
        salt = os.urandom(_SALT_BYTES)
        self._target, self._cipher = target, _derive_cipher(passphrase, salt)
        self._buffer, self._count = bytearray(), 0
        target.write(MAGIC + salt)

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, data: object) -> int:
        """Encrypt the complete chunks; the last one waits for `close`."""
        view = memoryview(data).cast("B")  # type: ignore[arg-type]
        self._buffer += view
        while len(self._buffer) > CHUNK_BYTES:
            self._write_chunk(bytes(self._buffer[:CHUNK_BYTES]), last=False)
            del self._buffer[:CHUNK_BYTES]
        return len(view)

    def close(self) -> None:
        """Write the last chunk."""
        if not self.closed:
            self._write_chunk(bytes(self._buffer), last=True)
        super().close()

    def _write_chunk(self, chunk: bytes, *, last: bool) -> None:
        self._target.write(self._cipher.encrypt(_chunk_nonce(self._count, last=last), chunk, None))
        self._count += 1


class EncryptedReader(io.RawIOBase):
    """Decrypts what `source` holds after the magic line. Raises DecryptionError."""

    def __init__(self, source: BinaryIO, passphrase: str) -> None:
        self._source = source
        self._cipher = _derive_cipher(passphrase, source.read(_SALT_BYTES))
        self._plain, self._count = b"", 0
        self._next = source.read(CHUNK_BYTES + _TAG_BYTES)

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: object) -> int:
        """Read decrypted bytes; 0 at the end."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        if not self._plain and self._next:
            self._plain = self._read_chunk()
        size = min(len(view), len(self._plain))
        view[:size], self._plain = self._plain[:size], self._plain[size:]
        return size

    def _read_chunk(self) -> bytes:
        sealed_chunk, self._next = self._next, self._source.read(CHUNK_BYTES + _TAG_BYTES)
        try:
            chunk = self._cipher.decrypt(
                _chunk_nonce(self._count, last=not self._next), sealed_chunk, None
            )
        except InvalidTag:
            reason = "cut off" if self._count else "the passphrase is wrong"
            raise DecryptionError(f"the backup is damaged, or {reason}") from None
        self._count += 1
        return chunk


def _derive_cipher(passphrase: str, salt: bytes) -> AESGCM:
    kdf = Scrypt(salt=salt, length=32, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P)
    return AESGCM(kdf.derive(passphrase.encode()))


def _chunk_nonce(count: int, *, last: bool) -> bytes:
    return count.to_bytes(11, "big") + bytes([last])
