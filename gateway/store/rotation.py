"""Encrypts rows that are stored for hours with the newest encryption key."""

from __future__ import annotations

import contextlib

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.apps import apps
from django.conf import settings

from gateway.models import IdempotentResponse, ReasoningState
from gateway.models.sealed import UndecryptableError, reencrypt

_BATCH = 500


def rotate_temporary_rows() -> None:
    """Re-encrypt reasoning, idempotent responses and secrets of second factors.

    What cannot be decrypted stays.
    """
    cipher = MultiFernet([Fernet(key) for key in settings.ENCRYPTION_KEYS])
    turns = []
    for turn in ReasoningState.objects.iterator(_BATCH):
        with contextlib.suppress(InvalidToken):
            turn.ciphertext = cipher.rotate(bytes(turn.ciphertext))
            turns.append(turn)
        if len(turns) == _BATCH:
            ReasoningState.objects.bulk_update(turns, ["ciphertext"])
            turns = []
    ReasoningState.objects.bulk_update(turns, ["ciphertext"])
    for row in IdempotentResponse.objects.exclude(body=""):
        with contextlib.suppress(UndecryptableError):
            row.body = reencrypt(row.body)
            row.save(update_fields=["body"])
    if settings.SSO_INSTALLED:
        _rotate_authenticators()


def _rotate_authenticators() -> None:
    """Re-encrypt the secrets of one-time codes and recovery codes."""
    for row in apps.get_model("mfa", "Authenticator")._default_manager.all():
        for name in {"secret", "seed"} & row.data.keys():
            with contextlib.suppress(UndecryptableError):
                row.data[name] = reencrypt(row.data[name])
        row.save(update_fields=["data"])
