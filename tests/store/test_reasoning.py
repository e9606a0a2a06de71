"""Stored reasoning in the database."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.utils import timezone

from gateway import store
from gateway.models import ReasoningState
from gateway.relay.exchange.reasoning_turns import TurnKeys
from gateway.relay.state.reasoning import ReasoningRow

pytestmark = pytest.mark.django_db

ROW = ReasoningRow("t" * 32, "c" * 32, b"what a model thought")


def test_a_turn_is_found_by_either_key():
    store.store_reasoning([ROW])
    assert store.find_reasoning([TurnKeys(ROW.turn, "x")]) == [ROW]
    assert store.find_reasoning([TurnKeys("x", ROW.call)]) == [ROW]
    assert store.find_reasoning([TurnKeys("x", "x")]) == []


def test_the_oldest_state_is_deleted_first():
    second = ReasoningRow(ROW.turn, "d" * 32, b"later")
    store.store_reasoning([ROW, second])
    assert store.find_reasoning([TurnKeys(ROW.turn, "x")]) == [ROW, second]


def test_reasoning_is_encrypted_in_the_database():
    store.store_reasoning([ROW])
    assert b"thought" not in bytes(ReasoningState.objects.get().ciphertext)


def test_reasoning_of_a_lost_encryption_key_is_dropped(settings: Any):
    store.store_reasoning([ROW])
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    assert store.find_reasoning([TurnKeys(ROW.turn, ROW.call)]) == []


def test_expired_reasoning_is_not_loaded_and_is_deleted(settings: Any):
    settings.REASONING_HOURS = 2
    store.store_reasoning([ROW])
    ReasoningState.objects.update(created_at=timezone.now() - dt.timedelta(hours=3))
    assert store.find_reasoning([TurnKeys(ROW.turn, ROW.call)]) == []
    assert ReasoningState.objects.all().prune(dt.timedelta(hours=2)) == 1


def test_no_reasoning_is_stored_with_zero_hours(settings: Any):
    settings.REASONING_HOURS = 0
    store.store_reasoning([ROW])
    assert not ReasoningState.objects.exists()
    assert store.find_reasoning([TurnKeys(ROW.turn, ROW.call)]) == []
