"""Routes as documents: read, tried out, saved in versions.

A save is one transaction: the rows, the version that holds what they now say, and the
registry's version. Whoever saves says which version he had before him; if there is a
newer one, nothing is written.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

import msgspec
from django.db import IntegrityError, transaction

from gateway.models import Alias, Model, Route, RouteVersion, Source, Step, Target
from gateway.providers.profile import Edit
from gateway.routing import snapshot as values
from gateway.routing.cache_policy import policy
from gateway.routing.document import Document, StepDoc, TargetDoc, as_json, from_json
from gateway.routing.snapshot import Snapshot, Timeouts
from gateway.store import compile as made
from gateway.store.key_values import (
    budget_of,
    limits_value,
    set_budget,
    set_limits,
    sound,
    within,
)

PLAIN = (
    "strict",
    "enabled",
    "hidden",
    "log_bodies",
    "retries",
    "cooldown_s",
    "default_max_output",
    "reasoning_field",
    "cache",
    *made.WAY_FIELDS,
)


class Current(NamedTuple):
    """What a route says now. `number` is that of its version, written yet or not."""

    number: int
    document: Document


class Conflict(Exception):
    """Somebody saved the route meanwhile; `current` is what it says now."""

    def __init__(self, current: Current) -> None:
        super().__init__("the route was changed meanwhile")
        self.current = current


def document_of(route: Route) -> Document:
    """What the rows of a route say."""
    plain = {name: getattr(route, name) for name in PLAIN}
    plain["fallbacks_by_kind"] = {name: tuple(to) for name, to in route.fallbacks_by_kind.items()}
    return Document(
        name=route.name,
        aliases=tuple(alias.pattern for alias in route.aliases.order_by("pk") if alias.enabled),
        steps=_steps(route),
        fallbacks=made.texts(route.fallbacks, "fallbacks"),
        **plain,
    )


def _steps(route: Route) -> tuple[StepDoc, ...]:
    rows = route.targets.select_related("model__provider").order_by("order", "position", "pk")
    groups: dict[int, list[TargetDoc]] = defaultdict(list)
    # Without steps, targets tried in order are one list, whatever their numbers.
    steps = {step.order: step for step in route.steps.all()}
    one = not steps and route.strategy == "ordered"
    for row in rows:
        groups[0 if one else row.order].append(_target(row))
    orders = sorted({*groups, *steps})
    return tuple(_step(steps.get(order), route, tuple(groups[order])) for order in orders)


def _step(row: Step | None, route: Route, targets: tuple[TargetDoc, ...]) -> StepDoc:
    if row is None:
        return StepDoc(strategy=route.strategy, targets=targets)
    said: dict[str, Any] = {name: getattr(row, name) for name in made.STEP_FIELDS}
    said |= {name: tuple(said[name]) for name in ("fallback_on", "requires", "excludes", "tags")}
    return StepDoc(targets=targets, **said)


def _target(row: Target) -> TargetDoc:
    return TargetDoc(
        model=str(row.model),
        weight=row.weight,
        enabled=row.enabled,
        timeouts=row.timeouts,
        edits=tuple(row.edits),
        tags=tuple(row.tags),
        variant=row.variant,
        limits=limits_value(row),
        budget=budget_of(row),
    )


def current(route: Route) -> Current:
    """What the route says now, and under which number.

    Where something else than a save changed it, that is a version of its own, which is
    written with the next save.
    """
    document = document_of(route)
    last = RouteVersion.objects.latest_of(route)
    if last is None:
        return Current(1, document)
    return Current(last.number + (not _says(last, document)), document)


def _says(version: RouteVersion, document: Document) -> bool:
    try:
        return from_json(version.document) == document
    except ValueError:  # of an older shape
        return False


def save_route(
    document: Document, *, route: Route | None, number: int, who: str, note: str = ""
) -> RouteVersion:
    """Write the document over `route`, or as a new route; its new version.

    Raises Conflict unless `number` is the current version's, ValueError for what can not
    be written.
    """
    try:
        with transaction.atomic():
            row = _locked(route, number)
            _write(row, document)
            version = _kept(row, number if route is not None else 0, who, note)
    except IntegrityError:
        raise ValueError("another route or alias has one of these names already") from None
    return version


def _locked(route: Route | None, number: int) -> Route:
    if route is None:
        return Route()
    row = Route.objects.select_for_update().get(pk=route.pk)
    now = current(row)
    if now.number != number:
        raise Conflict(now)
    if RouteVersion.objects.numbered(row, number) is None:
        RouteVersion.objects.create(route=row, number=number, document=as_json(now.document))
    return row


def _kept(row: Route, number: int, who: str, note: str) -> RouteVersion:
    document = as_json(document_of(row))
    return RouteVersion.objects.create(
        route=row, number=number + 1, document=document, saved_by=who, note=note
    )


def _write(row: Route, document: Document) -> None:
    if row.pk and row.name != document.name:
        _rename_in_others(row.name, document.name)
    row.name = document.name
    for name in PLAIN:
        setattr(row, name, getattr(document, name))
    row.fallbacks = list(document.fallbacks)
    row.strategy = document.steps[0].strategy if document.steps else "ordered"
    row.source, row.source_ref = Source.DATABASE, ""
    row.save()
    _write_aliases(row, document)
    row.steps.all().delete()
    left = list(row.targets.all())
    for order, step in enumerate(document.steps, start=1):
        Step.objects.create(route=row, order=order, **_condition_values(step))
        for position, target in enumerate(step.targets):
            _write_target(row, order, position, target, left)
    for gone in left:
        gone.delete()


def _rename_in_others(old: str, new: str) -> None:
    """Other routes that fall back to this one still mean it."""
    for other in Route.objects.all():
        before = (other.fallbacks, other.fallbacks_by_kind, other.shadow)
        other.fallbacks = [new if name == old else name for name in other.fallbacks]
        other.fallbacks_by_kind = {
            kind: [new if name == old else name for name in names]
            for kind, names in other.fallbacks_by_kind.items()
        }
        other.shadow = new if other.shadow == old else other.shadow
        if (other.fallbacks, other.fallbacks_by_kind, other.shadow) != before:
            other.save()


def _write_aliases(row: Route, document: Document) -> None:
    for alias in row.aliases.all():
        if alias.enabled and alias.pattern not in document.aliases:
            alias.delete()
    for pattern in document.aliases:
        Alias.objects.update_or_create(
            pattern=pattern, route=row, defaults={"enabled": True, "source": Source.DATABASE}
        )


def _condition_values(step: StepDoc) -> dict[str, Any]:
    found = {name: getattr(step, name) for name in made.STEP_FIELDS}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in found.items()}


def _write_target(
    row: Route, order: int, position: int, target: TargetDoc, left: list[Target]
) -> None:
    """A target keeps its row, and with it its id in the log, as long as its model does."""
    model = _model(target.model)
    old = next((other for other in left if other.model_id == model.pk), None)
    if old is not None:
        left.remove(old)
    new = old or Target(route=row, model=model)
    new.order, new.position = order, position
    new.weight, new.enabled = target.weight, target.enabled
    new.timeouts, new.edits = dict(target.timeouts), list(target.edits)
    new.tags, new.variant = list(target.tags), target.variant
    set_limits(new, target.limits)
    set_budget(new, target.budget)
    new.source, new.source_ref = Source.DATABASE, ""
    new.save()


def _model(label: str) -> Model:
    provider, _, name = label.partition("/")
    found = Model.objects.filter(provider__name=provider, name=name).first()
    if found is None:
        raise ValueError(f"there is no model `{label[:200]}`")
    return found


def restored(route: Route, number: int) -> Document | None:
    """The document of an earlier version; None if there is no such version."""
    version = RouteVersion.objects.numbered(route, number)
    return from_json(version.document) if version is not None else None


def compiled(document: Document, snapshot: Snapshot) -> values.Route:
    """The document as the hot path would read it. Raises ValueError where it can not be.

    Targets that are switched off or whose model can not be used are left out, as they are
    from a snapshot.
    """
    steps, targets = [], []
    for order, step in enumerate(document.steps, start=1):
        steps.append(made.step(order, _condition_values(step)))
        targets += [t for doc in step.targets if (t := _compiled(doc, order, snapshot))]
    plain = {name: getattr(document, name) for name in PLAIN if name != "enabled"}
    plain |= made.way(plain)
    plain["shadow"] = plain["shadow"] if plain["shadow"] in snapshot.routes else ""
    plain["fallbacks_by_kind"] = {
        kind: tuple(name for name in names if name in snapshot.routes)
        for kind, names in plain["fallbacks_by_kind"].items()
    }
    return values.Route(
        id=0,
        name=document.name,
        targets=tuple(targets),
        strategy=document.steps[0].strategy if document.steps else "ordered",
        steps=tuple(steps),
        fallbacks=tuple(name for name in document.fallbacks if name in snapshot.routes),
        **plain | {"cache": policy(document.cache)},
    )


def _compiled(doc: TargetDoc, order: int, snapshot: Snapshot) -> values.Target | None:
    model = snapshot.models.get(doc.model)
    if model is None or not doc.enabled:
        return None
    limits: Timeouts | None = None
    if doc.timeouts:
        limits = made.timeouts(model.provider.timeouts, doc.timeouts)
    edits: tuple[Edit, ...] = made.edits(list(doc.edits))
    return values.Target(
        id=0,
        model=model,
        weight=doc.weight,
        order=order,
        timeouts=limits,
        edits=edits,
        tags=made.tags(list(doc.tags)),
        variant=doc.variant,
        limits=sound(doc.limits, f"limits of {doc.model}: "),
        budget=within(doc.budget, f"budget of {doc.model}: "),
    )


def with_document(snapshot: Snapshot, document: Document, replaces: str = "") -> Snapshot:
    """The registry as it would be if the document were saved. Raises ValueError."""
    route = compiled(document, snapshot)
    routes = {name: r for name, r in snapshot.routes.items() if name != replaces}
    routes[document.name] = route
    aliases = {a: name for a, name in snapshot.aliases.items() if name != replaces}
    wildcards = [pair for pair in snapshot.wildcards if pair[1] != replaces]
    for pattern in document.aliases:
        if made.is_pattern(pattern):
            wildcards.append((pattern, document.name))
        else:
            aliases[pattern] = document.name
    return msgspec.structs.replace(
        snapshot,
        routes=routes,
        aliases=aliases,
        wildcards=tuple(sorted(wildcards, key=lambda pair: made.specificity(pair[0]))),
    )
