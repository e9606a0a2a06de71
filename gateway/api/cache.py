"""The response cache over the API: entries by route, and clearing it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema
from ninja.errors import HttpError

from gateway import store
from gateway.api.pages import page
from gateway.models import CachedResponse, Route

router = Router(tags=["cache"])


class CacheOut(Schema):
    """The response cache of a route. `entries` and `bytes` count those in the database.

    `policy` has the fields of `gateway.routing.cache_policy.CachePolicy`; empty means no cache.
    """

    route: str
    policy: dict[str, Any]
    entries: int
    bytes: int


class CacheClearedOut(Schema):
    """Number of entries deleted from the database; other copies are invalidated too."""

    deleted: int


class CachePage(Schema):
    """Routes by name, and the cursor of the next page; null at the end."""

    items: list[CacheOut]
    next: int | None


@router.get("/cache", response=CachePage)
def list_cache(request: HttpRequest, cursor: int = 0, limit: int = 50) -> Any:
    """Routes with a response cache, or with entries left in it."""
    sizes_by_route = CachedResponse.objects.by_route()
    rows = Route.objects.order_by("name")
    items = [
        _cache_item(row, sizes_by_route) for row in rows if row.cache or row.pk in sizes_by_route
    ]
    return page(items, cursor, limit)


def _cache_item(row: Route, sizes_by_route: dict[int, tuple[int, int]]) -> dict[str, Any]:
    entries, size = sizes_by_route.get(row.pk, (0, 0))
    policy = row.cache if isinstance(row.cache, dict) else {}
    return {"route": row.name, "policy": policy, "entries": entries, "bytes": size}


@router.delete("/cache", response=CacheClearedOut)
def clear_cache(request: HttpRequest, route: str = "") -> dict[str, int]:
    """Clear the response cache of a route; without `route`, of all routes.

    After one second no process returns a cleared response.
    """
    if route and ("\0" in route or not Route.objects.filter(name=route).exists()):
        raise HttpError(404, f"there is no route `{route[:200]}`")
    return {"deleted": store.clear_cache(route)}
