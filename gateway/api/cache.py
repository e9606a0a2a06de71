"""Kept answers over the API: how much each route has, and to throw it away."""

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
    """What a route keeps. `answers` and `bytes` are those in the database.

    `policy` are the fields of `gateway.routing.cache_policy.CachePolicy`; empty keeps nothing.
    """

    route: str
    policy: dict[str, Any]
    answers: int
    bytes: int


class PurgedOut(Schema):
    """How many answers were deleted from the database; what else there was ends with them."""

    deleted: int


class CachePage(Schema):
    """Routes by name, and the cursor of the next page; null at the end."""

    items: list[CacheOut]
    next: int | None


@router.get("/cache", response=CachePage)
def list_cache(request: HttpRequest, cursor: int = 0, limit: int = 50) -> Any:
    """The routes that keep answers, or have some."""
    held = CachedResponse.objects.by_route()
    rows = Route.objects.order_by("name")
    kept = [_told(row, held) for row in rows if row.cache or row.pk in held]
    return page(kept, cursor, limit)


def _told(row: Route, held: dict[int, tuple[int, int]]) -> dict[str, Any]:
    answers, size = held.get(row.pk, (0, 0))
    policy = row.cache if isinstance(row.cache, dict) else {}
    return {"route": row.name, "policy": policy, "answers": answers, "bytes": size}


@router.delete("/cache", response=PurgedOut)
def purge_cache(request: HttpRequest, route: str = "") -> dict[str, int]:
    """Throw away what a route has kept; without `route`, what all have.

    No process gives it again after a second.
    """
    if route and ("\0" in route or not Route.objects.filter(name=route).exists()):
        raise HttpError(404, f"there is no route `{route[:200]}`")
    return {"deleted": store.purge_answers(route)}
