"""Reasoning state <-> its table. Reasoning is content, so it is encrypted at rest."""

from __future__ import annotations

import datetime as dt
import logging
import time

from cryptography.fernet import InvalidToken
from django.conf import settings

from gateway.models import ReasoningState
from gateway.models.sealed import build_cipher
from gateway.relay.exchange.reasoning_turns import TurnKeys
from gateway.relay.state.reasoning import ReasoningRow
from gateway.store import thread

log = logging.getLogger(__name__)

PRUNE_S = 600.0
# Keeps a query with two keys per turn below SQLite's limit of parameters.
MAX_TURNS = 400


class _LastPrune:
    """When old rows were last deleted, on this process's clock."""

    monotonic_s = 0.0


def store_reasoning(rows: list[ReasoningRow]) -> None:
    """Insert reasoning rows, and prune old ones every PRUNE_S. No-op if retention is 0."""
    if not settings.REASONING_HOURS:
        return
    thread.refresh()
    cipher = build_cipher()
    ReasoningState.objects.bulk_create(
        ReasoningState(
            turn_digest=row.turn, call_digest=row.call, ciphertext=cipher.encrypt(row.data)
        )
        for row in rows
    )
    if time.monotonic() - _LastPrune.monotonic_s > PRUNE_S:
        _LastPrune.monotonic_s = time.monotonic()
        ReasoningState.objects.all().prune(_max_age())


def find_reasoning(keys: list[TurnKeys]) -> list[ReasoningRow]:
    """The stored turns that match any of the keys, oldest first.

    Of a long history only the last MAX_TURNS keys are looked up.
    """
    if not settings.REASONING_HOURS:
        return []
    thread.refresh()
    keys = keys[-MAX_TURNS:]
    cipher = build_cipher()
    stored_states = ReasoningState.objects.matching_digests(
        (k.turn for k in keys), (k.call for k in keys)
    )
    rows: list[ReasoningRow] = []
    columns = ("turn_digest", "call_digest", "ciphertext")
    for turn, call, ciphertext in stored_states.stored_within(_max_age()).values_list(*columns):
        try:
            rows.append(ReasoningRow(turn, call, cipher.decrypt(bytes(ciphertext))))
        except InvalidToken:
            log.warning("stored reasoning was encrypted with another key")
    return rows


def _max_age() -> dt.timedelta:
    return dt.timedelta(hours=settings.REASONING_HOURS)
