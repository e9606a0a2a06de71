"""Keys that the gateway issues to its clients."""

from __future__ import annotations

import time
from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from gateway import store
from gateway.edge import admission
from gateway.models import ApiKey
from gateway.routing.snapshot import Limits

pytestmark = pytest.mark.django_db


def test_a_key_is_shown_once_and_stored_as_a_hash() -> None:
    row, plain = store.create_key("ci", routes=["fast"], source_ref="x")
    api_key = ApiKey.objects.get()
    assert plain.startswith(admission.PREFIX)
    assert plain.startswith(api_key.prefix)
    assert len(plain) - len(api_key.prefix) >= 40
    assert bytes(api_key.digest) == store.digest(plain) == bytes(row.digest)
    assert api_key.routes == ["fast"]


def test_the_digest_is_keyed() -> None:
    _, plain = store.create_key("ci")
    assert admission.key_digest(plain, store.pepper()) != admission.key_digest(
        plain, b"another pepper"
    )


def test_the_pepper_is_a_key_of_its_own(settings: object) -> None:
    before = store.pepper()
    assert before == store.pepper()
    settings.SECRET_KEY = "another"  # type: ignore[attr-defined]
    assert store.pepper() != before
    assert b"another" not in store.pepper()


def test_no_two_keys_are_alike() -> None:
    assert len({store.create_key(f"key {n}")[1] for n in range(20)}) == 20


def test_revoking_counts_what_it_revoked() -> None:
    store.create_key("a")
    assert ApiKey.objects.revoke() == 1
    assert ApiKey.objects.revoke() == 0


def admitted_key_id(token: str, moment: float) -> int | None:
    """Return the id of the key that the edge admits at a time; None if it refuses the key."""
    key = store.load_snapshot().keys.get(store.digest(token))
    if key is None or (key.expires_at is not None and key.expires_at <= moment):
        return None
    return key.id


def test_a_rotated_key_is_the_same_key_with_two_secrets_until_the_grace_ends() -> None:
    row, old = store.create_key("ci", routes=["fast"], budget_day_usd=Decimal(5))
    now = time.time()
    new = store.rotate_key(row, grace=timedelta(hours=1))
    assert (admitted_key_id(old, now), admitted_key_id(new, now)) == (row.pk, row.pk)
    assert (admitted_key_id(old, now + 3700), admitted_key_id(new, now + 3700)) == (None, row.pk)
    keys = store.load_snapshot().keys
    assert keys[store.digest(old)].routes == keys[store.digest(new)].routes == ("fast",)
    assert keys[store.digest(old)].budget == keys[store.digest(new)].budget


def test_without_a_grace_period_the_old_secret_is_refused() -> None:
    row, old = store.create_key("ci")
    new = store.rotate_key(row, grace=timedelta())
    assert admitted_key_id(old, 0) is None
    assert admitted_key_id(new, 0) == row.pk


def test_a_second_rotation_ends_the_first_grace() -> None:
    row, first = store.create_key("ci")
    second = store.rotate_key(row, grace=timedelta(hours=1))
    store.rotate_key(row, grace=timedelta(hours=1))
    assert admitted_key_id(first, 0) is None
    assert admitted_key_id(second, 0) == row.pk


def test_a_grace_never_outlives_the_key() -> None:
    key_end = timezone.now() + timedelta(minutes=1)
    row, old = store.create_key("ci", expires_at=key_end)
    store.rotate_key(row, grace=timedelta(days=1))
    assert store.load_snapshot().keys[store.digest(old)].expires_at == key_end.timestamp()


def test_a_grace_may_be_ended_early() -> None:
    row, old = store.create_key("ci")
    store.rotate_key(row, grace=timedelta(hours=1))
    store.end_grace(row)
    assert admitted_key_id(old, 0) is None


def test_a_revoked_key_has_no_good_secret_and_is_not_rotated() -> None:
    row, old = store.create_key("ci")
    new = store.rotate_key(row, grace=timedelta(hours=1))
    ApiKey.objects.filter(pk=row.pk).revoke()
    assert admitted_key_id(old, 0) is None
    assert admitted_key_id(new, 0) is None
    with pytest.raises(ValueError, match="revoked"):
        store.rotate_key(row, grace=timedelta())


def test_budgets_and_limits_reach_the_snapshot() -> None:
    _, plain = store.create_key(
        "ci", budget_total_usd=Decimal("10.5"), limit_rpm=60, limit_tpm=1000, limit_concurrency=2
    )
    key = store.load_snapshot().keys[store.digest(plain)]
    assert (key.budget.total_usd, key.budget.day_usd) == (Decimal("10.5"), None)
    assert key.limits == Limits(requests_per_minute=60, tokens_per_minute=1000, concurrency=2)


def test_only_recently_revoked_keys_can_be_restored() -> None:
    row, plain = store.create_key("ci")
    ApiKey.objects.filter(pk=row.pk).revoke()
    assert not ApiKey.objects.restore(revoked_since=timezone.now() + timedelta(seconds=1))
    assert ApiKey.objects.restore(revoked_since=timezone.now() - timedelta(seconds=10))
    assert admitted_key_id(plain, 0) == row.pk
