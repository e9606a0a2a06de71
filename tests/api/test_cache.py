"""Response cache in the API: entries by route, deletion by admins."""

from __future__ import annotations

import time

from django.test import Client

from gateway import store
from gateway.relay.cache.backend import CacheRow
from tests.store.factories import model, provider, route


def create_cached_responses() -> None:
    model_row = model("m", provider("p"))
    first = route("first", model_row, cache={"ttl_s": 60})
    route("second", model_row)
    now = time.time()
    store.write_cached_responses([CacheRow("a", first.pk, b"blob", now, now + 60)])


def test_cache_entries_are_listed_by_route(api: Client) -> None:
    create_cached_responses()
    assert api.get("/api/cache").json() == {
        "items": [{"route": "first", "policy": {"ttl_s": 60}, "entries": 1, "bytes": 4}],
        "next": None,
    }


def test_delete_clears_the_cache_of_a_route(api: Client) -> None:
    create_cached_responses()
    assert api.delete("/api/cache?route=first").json() == {"deleted": 1}
    assert api.delete("/api/cache").json() == {"deleted": 0}
    assert api.get("/api/cache").json()["items"][0]["entries"] == 0


def test_an_unknown_route_is_a_404_that_names_it(api: Client) -> None:
    response = api.delete("/api/cache?route=nobody")
    assert response.status_code == 404
    assert "nobody" in response.json()["detail"]
