"""Keys that the gateway gives to its clients."""

from __future__ import annotations

import pytest

from gateway import store
from gateway.edge import keys
from gateway.models import ApiKey

pytestmark = pytest.mark.django_db


def test_a_key_is_shown_once_and_kept_as_a_hash() -> None:
    row, plain = store.make_key("ci", routes=["fast"], source_ref="x")
    kept = ApiKey.objects.get()
    assert keys.looks_like_ours(plain)
    assert plain.startswith(kept.prefix)
    assert len(plain) - len(kept.prefix) >= 40
    assert bytes(kept.digest) == store.digest(plain) == bytes(row.digest)
    assert kept.routes == ["fast"]


def test_the_digest_is_keyed() -> None:
    _, plain = store.make_key("ci")
    assert keys.digest(plain, store.pepper()) != keys.digest(plain, b"another pepper")


def test_the_pepper_is_a_key_of_its_own(settings: object) -> None:
    before = store.pepper()
    assert before == store.pepper()
    settings.SECRET_KEY = "another"  # type: ignore[attr-defined]
    assert store.pepper() != before
    assert b"another" not in store.pepper()


def test_no_two_keys_are_alike() -> None:
    assert len({store.make_key(f"key {n}")[1] for n in range(20)}) == 20


def test_revoking_counts_what_it_revoked() -> None:
    store.make_key("a")
    assert ApiKey.objects.revoke() == 1
    assert ApiKey.objects.revoke() == 0
