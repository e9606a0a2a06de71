"""Routes as specs: read, compiled for a dry run, saved in versions.

A save is one transaction: the rows, a version with their content, and the registry version. The
caller passes the version number that the edit is based on; if a newer one exists, nothing is
written.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

import msgspec
from django.db import IntegrityError, transaction

from gateway.models import Alias, Model, Route, RouteVersion, RowSource, Step, Target
from gateway.models.registry import is_single_line
from gateway.providers.profile import Edit
from gateway.routing import snapshot as values
from gateway.routing.cache_policy import parse_cache_policy
from gateway.routing.route_spec import RouteSpec, StepSpec, TargetSpec, as_json, from_json
from gateway.routing.snapshot import Snapshot, Timeouts
from gateway.store import field_values
from gateway.store.key_values import (
    budget_value,
    limits_value,
    set_budget,
    set_limits,
    validate_budget,
    validate_limits,
)

COPIED_FIELDS = (*field_values.ROUTE_OPTIONS, "enabled", "cache")


class RouteState(NamedTuple):
    """The current spec of a route. `number` is its version, which may not be written yet."""

    number: int
    spec: RouteSpec


class Conflict(Exception):
    """The route was saved in the meantime; `current` is its current state."""

    def __init__(self, current: RouteState) -> None:
        super().__init__("the route was changed in the meantime")
        self.current = current


def spec_of(route: Route) -> RouteSpec:
    """The spec of a route's rows."""
    copied_fields = {name: getattr(route, name) for name in COPIED_FIELDS}
    copied_fields["fallbacks_by_kind"] = {
        name: tuple(targets) for name, targets in route.fallbacks_by_kind.items()
    }
    copied_fields["guardrails"] = tuple(route.guardrails)
    return RouteSpec(
        name=route.name,
        aliases=tuple(alias.pattern for alias in route.aliases.order_by("pk") if alias.enabled),
        steps=_step_specs(route),
        fallbacks=field_values.texts(route.fallbacks, "fallbacks"),
        **copied_fields,
    )


def _step_specs(route: Route) -> tuple[StepSpec, ...]:
    rows = route.targets.select_related("model__provider").order_by("order", "position", "pk")
    groups: dict[int, list[TargetSpec]] = defaultdict(list)
    # Without steps, the targets of an ordered route are one group, whatever their order numbers.
    steps = {step.order: step for step in route.steps.all()}
    single_group = not steps and route.strategy == "ordered"
    for row in rows:
        groups[0 if single_group else row.order].append(_target_spec(row))
    orders = sorted({*groups, *steps})
    return tuple(_step_spec(steps.get(order), route, tuple(groups[order])) for order in orders)


def _step_spec(row: Step | None, route: Route, targets: tuple[TargetSpec, ...]) -> StepSpec:
    if row is None:
        return StepSpec(strategy=route.strategy, targets=targets)
    fields: dict[str, Any] = {name: getattr(row, name) for name in field_values.STEP_OPTIONS}
    fields |= {
        name: tuple(fields[name]) for name in ("fallback_on", "requires", "excludes", "tags")
    }
    return StepSpec(targets=targets, **fields)


def _target_spec(row: Target) -> TargetSpec:
    return TargetSpec(
        model=str(row.model),
        weight=row.weight,
        enabled=row.enabled,
        timeouts=row.timeouts,
        edits=tuple(row.edits),
        tags=tuple(row.tags),
        variant=row.variant,
        limits=limits_value(row),
        budget=budget_value(row),
    )


def current_state(route: Route) -> RouteState:
    """The current spec of the route and its version number.

    A change made outside `save_route` counts as a version of its own, which is written with the
    next save.
    """
    spec = spec_of(route)
    last = RouteVersion.objects.latest_of(route)
    if last is None:
        return RouteState(1, spec)
    return RouteState(last.number + (not _matches_version(last, spec)), spec)


def _matches_version(version: RouteVersion, spec: RouteSpec) -> bool:
    try:
        return from_json(version.spec) == spec
    except ValueError:  # from an older schema
        return False


def save_route(
    spec: RouteSpec, *, route: Route | None, number: int, author: str, note: str = ""
) -> RouteVersion:
    """Write the spec to `route`, or to a new route; return its new version.

    Raises Conflict unless `number` is the current version, ValueError for an invalid spec.
    """
    if not is_single_line(spec.name):
        raise ValueError("the name must not contain line breaks or control characters")
    try:
        with transaction.atomic():
            row = _lock_row(route, number)
            _write_route(row, spec)
            version = _create_version(row, number if route is not None else 0, author, note)
    except IntegrityError:
        raise ValueError("another route or alias has one of these names already") from None
    return version


def _lock_row(route: Route | None, number: int) -> Route:
    if route is None:
        return Route()
    row = Route.objects.select_for_update().get(pk=route.pk)
    current = current_state(row)
    if current.number != number:
        raise Conflict(current)
    if RouteVersion.objects.version_with_number(row, number) is None:
        RouteVersion.objects.create(route=row, number=number, spec=as_json(current.spec))
    return row


def _create_version(row: Route, number: int, author: str, note: str) -> RouteVersion:
    spec = as_json(spec_of(row))
    return RouteVersion.objects.create(
        route=row, number=number + 1, spec=spec, saved_by=author, note=note
    )


def _write_route(row: Route, spec: RouteSpec) -> None:
    if row.pk and row.name != spec.name:
        _rename_in_others(row.name, spec.name)
    row.name = spec.name
    for name in COPIED_FIELDS:
        setattr(row, name, getattr(spec, name))
    row.fallbacks = list(spec.fallbacks)
    row.guardrails = list(spec.guardrails)
    row.strategy = spec.steps[0].strategy if spec.steps else "ordered"
    row.source, row.source_ref = RowSource.DATABASE, ""
    row.save()
    _write_aliases(row, spec)
    row.steps.all().delete()
    unmatched_targets = list(row.targets.all())
    for order, step in enumerate(spec.steps, start=1):
        Step.objects.create(route=row, order=order, **_step_options(step))
        for position, target in enumerate(step.targets):
            _write_target(row, order, position, target, unmatched_targets)
    for removed_target in unmatched_targets:
        removed_target.delete()


def _rename_in_others(old: str, new: str) -> None:
    """Update references to this route in the fallbacks and shadows of other routes."""
    for route in Route.objects.all():
        before = (route.fallbacks, route.fallbacks_by_kind, route.shadow)
        route.fallbacks = [new if name == old else name for name in route.fallbacks]
        route.fallbacks_by_kind = {
            kind: [new if name == old else name for name in names]
            for kind, names in route.fallbacks_by_kind.items()
        }
        route.shadow = new if route.shadow == old else route.shadow
        if (route.fallbacks, route.fallbacks_by_kind, route.shadow) != before:
            route.save()


def _write_aliases(row: Route, spec: RouteSpec) -> None:
    for alias in row.aliases.all():
        if alias.enabled and alias.pattern not in spec.aliases:
            alias.delete()
    for pattern in spec.aliases:
        Alias.objects.update_or_create(
            pattern=pattern, route=row, defaults={"enabled": True, "source": RowSource.DATABASE}
        )


def _step_options(step: StepSpec) -> dict[str, Any]:
    values = {name: getattr(step, name) for name in field_values.STEP_OPTIONS}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def _write_target(
    row: Route, order: int, position: int, target: TargetSpec, unmatched_targets: list[Target]
) -> None:
    """Reuse the row, and with it the id in the log, of a target with the same model."""
    model = _find_model(target.model)
    old = next(
        (candidate for candidate in unmatched_targets if candidate.model_id == model.pk), None
    )
    if old is not None:
        unmatched_targets.remove(old)
    new = old or Target(route=row, model=model)
    new.order, new.position = order, position
    new.weight, new.enabled = target.weight, target.enabled
    new.timeouts, new.edits = dict(target.timeouts), list(target.edits)
    new.tags, new.variant = list(target.tags), target.variant
    set_limits(new, target.limits)
    set_budget(new, target.budget)
    new.source, new.source_ref = RowSource.DATABASE, ""
    new.save()


def _find_model(label: str) -> Model:
    provider, _, name = label.partition("/")
    model = Model.objects.filter(provider__name=provider, name=name).first()
    if model is None:
        raise ValueError(f"there is no model `{label[:200]}`")
    return model


def restore_spec(route: Route, number: int) -> RouteSpec | None:
    """The spec of an earlier version; None if there is no such version."""
    version = RouteVersion.objects.version_with_number(route, number)
    return from_json(version.spec) if version is not None else None


def compile_route(spec: RouteSpec, snapshot: Snapshot) -> values.Route:
    """The spec as a value of the hot path. Raises ValueError if it is invalid.

    Targets that are disabled or whose model is unusable are left out, as in a snapshot.
    """
    steps, targets = [], []
    for order, step in enumerate(spec.steps, start=1):
        steps.append(field_values.step(order, _step_options(step)))
        targets += [t for doc in step.targets if (t := _compile_target(doc, order, snapshot))]
    fields = {name: getattr(spec, name) for name in COPIED_FIELDS if name != "enabled"}
    fields |= field_values.route_options(fields)
    fields["shadow"] = fields["shadow"] if fields["shadow"] in snapshot.routes else ""
    fields["fallbacks_by_kind"] = {
        kind: tuple(name for name in names if name in snapshot.routes)
        for kind, names in fields["fallbacks_by_kind"].items()
    }
    return values.Route(
        id=0,
        name=spec.name,
        targets=tuple(targets),
        strategy=spec.steps[0].strategy if spec.steps else "ordered",
        steps=tuple(steps),
        fallbacks=tuple(name for name in spec.fallbacks if name in snapshot.routes),
        **fields | {"cache": parse_cache_policy(spec.cache)},
    )


def _compile_target(doc: TargetSpec, order: int, snapshot: Snapshot) -> values.Target | None:
    model = snapshot.models.get(doc.model)
    if model is None or not doc.enabled:
        return None
    timeouts: Timeouts | None = None
    if doc.timeouts:
        timeouts = field_values.timeouts(model.provider.timeouts, doc.timeouts)
    edits: tuple[Edit, ...] = field_values.edits(list(doc.edits))
    return values.Target(
        id=0,
        model=model,
        weight=doc.weight,
        order=order,
        timeouts=timeouts,
        edits=edits,
        tags=field_values.tags(list(doc.tags)),
        variant=doc.variant,
        limits=validate_limits(doc.limits, f"limits of {doc.model}: "),
        budget=validate_budget(doc.budget, f"budget of {doc.model}: "),
    )


def with_spec(snapshot: Snapshot, spec: RouteSpec, replaces: str = "") -> Snapshot:
    """The snapshot as it would be after saving the spec. Raises ValueError."""
    route = compile_route(spec, snapshot)
    routes = {name: r for name, r in snapshot.routes.items() if name != replaces}
    routes[spec.name] = route
    aliases = {a: name for a, name in snapshot.aliases.items() if name != replaces}
    wildcards = [pair for pair in snapshot.wildcards if pair[1] != replaces]
    for pattern in spec.aliases:
        if field_values.is_pattern(pattern):
            wildcards.append((pattern, spec.name))
        else:
            aliases[pattern] = spec.name
    return msgspec.structs.replace(
        snapshot,
        routes=routes,
        aliases=aliases,
        wildcards=tuple(sorted(wildcards, key=lambda pair: field_values.specificity(pair[0]))),
    )
