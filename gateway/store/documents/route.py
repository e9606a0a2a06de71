"""Routes as documents. Each write is a version of the route, as in the console."""

from __future__ import annotations

from typing import Any

import msgspec
from django.db import transaction

from gateway.audit import actor
from gateway.models import Route
from gateway.routing.document import Document, as_json
from gateway.store.documents.model import find_model
from gateway.store.documents.shape import Refused, RouteDoc, claim, shaped
from gateway.store.key_values import (
    key_limits_value,
    limits_value,
    set_limits,
    sound,
    without_none,
)
from gateway.store.routes import Conflict, compiled, current, document_of, save_route
from gateway.store.snapshot import load_snapshot


def read_route(row: Route) -> dict[str, Any]:
    """The route as a document."""
    limits: dict[str, Any] = msgspec.to_builtins(limits_value(row))
    each: dict[str, Any] = msgspec.to_builtins(key_limits_value(row))
    return {**as_json(document_of(row)), "limits": limits, "key_limits": each}


def write_route(document: dict[str, Any], row: Route | None) -> Route:
    """Make or change a route. Raises Refused."""
    given = shaped(document, RouteDoc)
    owned = row or Route()
    claim(owned)
    if not given.name.strip() or len(given.name) > 200:
        raise Refused("name", "a route has a name of 1 to 200 characters")
    for field in ("limits", "key_limits"):
        try:
            sound(getattr(given, field))
        except ValueError as error:
            raise Refused(field, str(error)) from None
    way = Document(**{name: getattr(given, name) for name in Document.__struct_fields__})
    _compiles(way)
    number = current(row).number if row is not None else 0
    try:
        with transaction.atomic():
            version = save_route(way, route=row, number=number, who=actor()[0])
            saved = Route.objects.get(pk=version.route_id)
            before = _beside(saved)
            saved.source, saved.source_ref = owned.source, owned.source_ref
            set_limits(saved, given.limits)
            saved.key_limits = without_none(given.key_limits)
            if _beside(saved) != before:
                saved.save()
    except Conflict:
        raise Refused("", "it was changed by somebody else at the same time; try again") from None
    except ValueError as error:
        raise Refused("", str(error)) from None
    return saved


def _beside(row: Route) -> tuple[Any, ...]:
    """What a route's document says beside its way."""
    return limits_value(row), key_limits_value(row), row.source, row.source_ref


def _compiles(way: Document) -> None:
    snapshot = load_snapshot()
    known = set(snapshot.routes) | {way.name}
    for name in way.fallbacks:
        if name not in known and not Route.objects.filter(name=name).exists():
            raise Refused("fallbacks", f"there is no route `{name[:200]}`")
    for step, found in enumerate(way.steps):
        for place, target in enumerate(found.targets):
            if target.model not in snapshot.models and find_model(target.model) is None:
                field = f"steps[{step}].targets[{place}].model"
                raise Refused(field, f"there is no model `{target.model[:200]}`")
    try:
        compiled(way, snapshot)
    except ValueError as error:
        raise Refused("", str(error)) from None
