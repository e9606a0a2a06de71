"""Owners of files and batches that providers store."""

from __future__ import annotations

import pytest

from gateway import store

pytestmark = pytest.mark.django_db


def test_a_key_owns_only_its_own_files() -> None:
    store.remember_owner("openai", 1, ["file-a", "file-b"])
    store.remember_owner("openai", 1, ["file-a"])
    store.remember_owner("openai", 2, ["file-c"])
    store.remember_owner("azure", 1, ["file-d"])
    assert store.owned_ids("openai", 1, ["file-a", "file-b", "file-c", "file-d"]) == {
        "file-a",
        "file-b",
    }


def test_a_long_list_is_queried_in_batches() -> None:
    ids = [f"file-{n}" for n in range(1200)]
    store.remember_owner("openai", 1, ids)
    assert store.owned_ids("openai", 1, [*ids, "file-x"]) == set(ids)
    assert store.owned_ids("openai", 1, []) == set()
