"""Encryption of texts at rest, and database fields with encrypted texts.

A sealed text is `<key id>:<Fernet token>`. The key id names the one of ENCRYPTION_KEYS that
was used. The plaintext includes the context it belongs to, so that a ciphertext copied to
another row or field does not decrypt.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from gateway.providers.auth import VARIABLE_PREFIX

_SEALED_PREFIX = "sealed:"


class UndecryptableError(ValueError):
    """A sealed text that no encryption key decrypts, or that belongs to another context."""


def key_id(key: str) -> str:
    """A short identifier of an encryption key, which reveals nothing of the key."""
    return hashlib.sha256(key.encode()).hexdigest()[:8]


def seal_for(context: str, text: str) -> str:
    """Encrypt a text for one context; `unseal_for` needs the same context to decrypt it."""
    token = build_cipher().encrypt(f"{context}\n{text}".encode()).decode()
    return f"{key_id(settings.ENCRYPTION_KEYS[0])}:{token}"


def unseal_for(expected_context: str, sealed_text: str) -> str:
    """The text that was sealed for this context. Raises UndecryptableError."""
    sealed_with, _, token = sealed_text.rpartition(":")
    try:
        context, _, text = build_cipher().decrypt(token.encode()).decode().partition("\n")
    except (InvalidToken, ValueError):
        has_key = sealed_with in {key_id(key) for key in settings.ENCRYPTION_KEYS}
        reason = "is damaged" if has_key else f"was encrypted with another key ({sealed_with})"
        raise UndecryptableError(f"the credential {reason}; enter it again") from None
    if context != expected_context:
        raise UndecryptableError("the credential was encrypted for another row; enter it again")
    return text


def reencrypt(sealed_text: str) -> str:
    """The sealed text, encrypted with the newest key. Raises UndecryptableError."""
    try:
        token = build_cipher().rotate(sealed_text.rpartition(":")[2].encode()).decode()
    except InvalidToken:
        raise UndecryptableError("the text was sealed with another encryption key") from None
    return f"{key_id(settings.ENCRYPTION_KEYS[0])}:{token}"


def build_cipher() -> MultiFernet:
    """The cipher of the encryption keys: the first one encrypts, each decrypts."""
    return MultiFernet([Fernet(key) for key in settings.ENCRYPTION_KEYS])


def is_sealed_with(column: str, key_id: str) -> bool:
    """Whether all sealed values of a column's text were sealed with the key of this id."""
    return column.count(_SEALED_PREFIX) == column.count(f"{_SEALED_PREFIX}{key_id}:")


def is_sealed_without(column: str, key_id: str) -> bool:
    """Whether no sealed value of a column's text was sealed with the key of this id."""
    return f"{_SEALED_PREFIX}{key_id}:" not in column


def sealing_keys(column: str) -> list[str]:
    """The key id of each sealed value of a column's text."""
    return re.findall(rf'(?:^|"){_SEALED_PREFIX}([0-9a-f]{{8}}):', column)


class SealedPairs(models.JSONField):
    """Names and values, encrypted in the database except for references to variables.

    A value that cannot be decrypted stays sealed: its user must call `refuse_sealed`.
    """

    def get_prep_value(self, value: Any) -> Any:
        """The pairs with encrypted values."""
        return super().get_prep_value(self._map_values(value, self._seal_values))

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> Any:
        """The pairs with decrypted values."""
        return self._map_values(
            super().from_db_value(value, expression, connection), self._unseal_values
        )

    def value_to_string(self, obj: models.Model) -> Any:
        """Encrypted values for serializers, which write files."""
        return self._map_values(self.value_from_object(obj), self._seal_values)

    def _map_values(self, value: Any, change: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: change(name, text) for name, text in value.items()}

    def _seal_context(self, name: str) -> str:
        return f"provider:{self.name}:{name}"

    def _seal_values(self, name: str, text: Any) -> Any:
        return seal_value(text, self._seal_context(name))

    def _unseal_values(self, name: str, text: Any) -> Any:
        return unseal_value(text, self._seal_context(name))


class SealedText(models.TextField):  # type: ignore[type-arg]
    """A text, encrypted in the database except for a reference to a variable.

    A text that cannot be decrypted stays sealed: its user must call `refuse_sealed`.
    """

    def get_prep_value(self, value: Any) -> Any:
        """The encrypted text."""
        return seal_value(super().get_prep_value(value), self._seal_context)

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> Any:
        """The decrypted text."""
        return unseal_value(value, self._seal_context)

    def value_to_string(self, obj: models.Model) -> Any:
        """The encrypted text for serializers, which write files."""
        return self.get_prep_value(self.value_from_object(obj))

    @property
    def _seal_context(self) -> str:
        return f"provider:{self.name}"


def seal_value(text: Any, context: str) -> Any:
    """An encrypted text with its prefix; a reference, an empty or a sealed text is unchanged."""
    if not isinstance(text, str) or not text or text.startswith((VARIABLE_PREFIX, _SEALED_PREFIX)):
        return text
    return _SEALED_PREFIX + seal_for(context, text)


def unseal_value(text: Any, context: str) -> Any:
    """The text that `seal_value` encrypted; one that cannot be decrypted stays sealed."""
    if not isinstance(text, str) or not text.startswith(_SEALED_PREFIX):
        return text
    try:
        return unseal_for(context, text.removeprefix(_SEALED_PREFIX))
    except UndecryptableError:
        return text


def refuse_sealed(text: str) -> None:
    """Raise UndecryptableError for a value that could not be decrypted."""
    if text.startswith(_SEALED_PREFIX):
        raise UndecryptableError("it was encrypted with another key; enter it again")
