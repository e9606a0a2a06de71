"""Cached responses in the database: overwritten, expired, purged."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from gateway import store
from gateway.models import CachedResponse, LatencyHour, RequestLog, Route, TargetHour, UsageHour
from gateway.relay.cache.backend import CacheRow
from tests.store.factories import make_record, model, provider, route

pytestmark = pytest.mark.django_db


def row(key: str = "k", blob: bytes = b"blob", **more: Any) -> CacheRow:
    now = time.time()
    base = CacheRow(key, more.pop("route_id", 1), blob, now, now + 60)
    return base._replace(**more)


def test_the_newest_entry_of_a_cache_key_is_read() -> None:
    store.write_cached_responses([row(blob=b"old"), row("other")])
    store.write_cached_responses([row(blob=b"new")])
    assert store.read_cached_response("k") == b"new"
    assert store.read_cached_response("nobody") is None
    assert CachedResponse.objects.count() == 2


def test_expired_entries_are_not_read_and_are_deleted() -> None:
    store.write_cached_responses([row(expires_at=time.time() - 1), row("good")])
    assert store.read_cached_response("k") is None
    store.prune_cache()
    assert list(CachedResponse.objects.values_list("pk", flat=True)) == ["good"]


def test_the_oldest_entries_are_evicted() -> None:
    now = time.time()
    rows = [
        row(f"k{n:03}", b"x" * 100, created_at=now + n, expires_at=now + 900) for n in range(50)
    ]
    store.write_cached_responses(rows)
    store.prune_cache(max_bytes=1000)
    remaining_ids = list(CachedResponse.objects.order_by("pk").values_list("pk", flat=True))
    assert remaining_ids == [f"k{n:03}" for n in range(40, 50)]


def two_routes() -> tuple[Route, Route]:
    model_row = model("m", provider("p"))
    first, second = route("first", model_row), route("second", model_row)
    store.write_cached_responses([row("a", route_id=first.pk), row("b", route_id=second.pk)])
    return first, second


def test_a_purge_clears_one_route_in_every_process() -> None:
    first, second = two_routes()
    version = store.current_version()
    assert store.clear_cache("first") == 1
    assert store.read_cached_response("a") is None
    assert store.read_cached_response("b") == b"blob"
    assert store.current_version() > version
    routes = store.load_snapshot().routes
    assert (routes["first"].cache_generation, routes["second"].cache_generation) == (1, 0)


def test_the_command_purges_one_or_all(capsys: pytest.CaptureFixture[str]) -> None:
    two_routes()
    call_command("clear_cache", "first")
    call_command("clear_cache")
    assert capsys.readouterr().out == "cached responses deleted: 1\ncached responses deleted: 1\n"
    with pytest.raises(CommandError, match="there is no route nobody"):
        call_command("clear_cache", "nobody")


def test_a_cache_hit_counts_in_usage_but_not_in_target_latency() -> None:
    fields = {"provider": "p", "model": "m", "outcome": "ok", "duration_ms": 0.5}
    hit = make_record(
        "hit", **fields, attempts=[], cache="hit", cost_usd=Decimal(0), output_tokens=9
    )
    store.write([hit])
    assert UsageHour.objects.get().output_tokens == 9
    assert not LatencyHour.objects.exists()
    assert not TargetHour.objects.exists()
    row = RequestLog.objects.get()
    assert (row.cache, row.cost_usd, row.saved_usd) == ("hit", 0, None)


def test_an_unreadable_cache_policy_disables_only_the_cache() -> None:
    row = route("first", model("m", provider("p")))
    row.cache = {"ttl_s": "long"}
    row.save()
    snapshot = store.load_snapshot()
    assert snapshot.routes["first"].cache is None
    assert "cache" in snapshot.warnings[0].reason
    row.cache = {"ttl_s": 60, "scope": "team"}
    row.save()
    policy = store.load_snapshot().routes["first"].cache
    assert policy is not None
    assert (policy.ttl_s, policy.scope, policy.semantic) == (60, "team", "")
