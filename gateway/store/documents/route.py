"""Routes as documents. Each write creates a version of the route, as in the console."""

from __future__ import annotations

from typing import Any

import msgspec
from django.db import transaction

from gateway.audit import actor
from gateway.models import Model, Route, Step
from gateway.models.registry import is_single_line
from gateway.routing.route_spec import RouteSpec, as_json
from gateway.store.documents.model import find_model
from gateway.store.documents.schemas import (
    Refused,
    RouteDoc,
    check_guardrails,
    check_integers,
    claim,
    convert_document,
)
from gateway.store.key_values import (
    key_limits_value,
    limits_value,
    non_null_fields,
    set_limits,
    validate_limits,
)
from gateway.store.routes import Conflict, compile_route, current_state, save_route, spec_of
from gateway.store.snapshot import snapshot_of_models


def read_route(row: Route) -> dict[str, Any]:
    """The route as a document."""
    limits: dict[str, Any] = msgspec.to_builtins(limits_value(row))
    each: dict[str, Any] = msgspec.to_builtins(key_limits_value(row))
    return {**as_json(spec_of(row)), "limits": limits, "key_limits": each}


def write_route(document: dict[str, Any], row: Route | None) -> Route:
    """Create or change a route. Raises Refused."""
    values = convert_document(document, RouteDoc)
    owned_route = row or Route()
    claim(owned_route)
    if not values.name.strip() or len(values.name) > 200:
        raise Refused("name", "a route name must have 1 to 200 characters")
    if not is_single_line(values.name):
        raise Refused("name", "must not contain line breaks or control characters")
    for field in ("limits", "key_limits"):
        try:
            validate_limits(getattr(values, field))
        except ValueError as error:
            raise Refused(field, str(error)) from None
    spec = RouteSpec(**{name: getattr(values, name) for name in RouteSpec.__struct_fields__})
    check_integers(spec, Route)
    for index, step in enumerate(spec.steps):
        check_integers(step, Step, f"steps[{index}].")
    _check_compiles(spec)
    number = current_state(row).number if row is not None else 0
    try:
        with transaction.atomic():
            version = save_route(spec, route=row, number=number, author=actor()[0])
            saved_route = Route.objects.get(pk=version.route_id)
            before = _fields_beside_spec(saved_route)
            saved_route.source, saved_route.source_ref = owned_route.source, owned_route.source_ref
            set_limits(saved_route, values.limits)
            saved_route.key_limits = non_null_fields(values.key_limits)
            if _fields_beside_spec(saved_route) != before:
                saved_route.save()
    except Conflict:
        raise Refused("", "it was changed by someone else at the same time; try again") from None
    except ValueError as error:
        raise Refused("", str(error)) from None
    return saved_route


def _fields_beside_spec(row: Route) -> tuple[Any, ...]:
    """The fields of a route's document that are not in its spec, and its source."""
    return limits_value(row), key_limits_value(row), row.source, row.source_ref


def _check_compiles(spec: RouteSpec) -> None:
    """Raises Refused. Reads what the route refers to, and not the whole registry: that takes
    seconds with thousands of models, in which no other change could be written.
    """
    names = [name for name in spec.fallbacks if "\0" not in name]
    rows = Route.objects.filter(name__in=names)
    known_names = {spec.name, *rows.values_list("name", flat=True)}
    for name in spec.fallbacks:
        if name not in known_names:
            raise Refused("fallbacks", f"there is no route `{name[:200]}`")
    models: dict[str, Model] = {}
    for step_index, step in enumerate(spec.steps):
        for target_index, target in enumerate(step.targets):
            row = models.get(target.model) or find_model(target.model)
            if row is None:
                field = f"steps[{step_index}].targets[{target_index}].model"
                raise Refused(field, f"there is no model `{target.model[:200]}`")
            models[target.model] = row
    check_guardrails(spec.guardrails)
    try:
        compile_route(spec, snapshot_of_models(models.values()))
    except ValueError as error:
        raise Refused("", str(error)) from None
