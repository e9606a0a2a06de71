"""View models of the route editor's templates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, NamedTuple

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.dialects import CONSOLE_DIALECTS, title
from console.pages.routes import labels
from console.pages.routes.cache_fields import SCOPES
from console.pages.routes.checks import Check
from console.pages.routes.dry_run import FAILURE_TITLES, DryRunPanel
from console.pages.routes.forms import WITH, WITHOUT, Draft, StepDraft, TargetDraft
from console.pages.routes.metrics import TargetMetrics, TargetStatus, target_status
from console.pages.routes.policy_fields import COUNTS_BY_CLASS, OPTIONS, policy_form_fields
from console.pages.routes.samples import SAMPLES
from console.playground import page_data
from console.templatetags.registry import price
from gateway import models
from gateway.routing.candidates import supports_feature
from gateway.routing.circuit_breaker import CircuitState
from gateway.routing.route_spec import RouteSpec, StepSpec
from gateway.routing.snapshot import ApiKey, Model, Snapshot, Target
from gateway.store.snapshot import REASONING_FIELDS

CAPABILITIES: tuple[tuple[str, str, Promise], ...] = (
    ("tools", "wrench", gettext_lazy("Tools")),
    ("images", "image", gettext_lazy("Images")),
    ("schema", "braces", gettext_lazy("JSON schema")),
)


# Rows of a page of routes.
PAGE_ROWS = 100
# Strategies that distribute requests by weight.
SPLIT_STRATEGIES = frozenset({"weighted", "sticky", "split"})
# Strategies that use weights at all.
WEIGHTED_STRATEGIES = SPLIT_STRATEGIES | {"least_busy", "least_used"}


class Capability(NamedTuple):
    """An icon for a capability and whether the model supports it."""

    icon: str
    title: str
    supported: bool


class TargetView(NamedTuple):
    """A row for a target."""

    draft: TargetDraft
    name: str
    provider: str
    preset: str
    exists: bool
    capabilities: list[Capability]
    status: TargetStatus
    metrics: TargetMetrics | None
    price: str
    share: str
    error: str


class Share(NamedTuple):
    """A part of the split bar, in percent."""

    name: str
    percent: float
    text: str


class StepView(NamedTuple):
    """A card for a step, with the line that leads to it."""

    draft: StepDraft
    number: int
    title: str
    hint: str
    entry_conditions: list[str]
    request_conditions: list[str]
    target_options: list[str]
    targets: list[TargetView]
    split: list[Share]
    classes: list[tuple[str, str, bool]]
    needs: list[tuple[str, str, str]]
    errors: dict[str, str]


def steps(
    draft: Draft,
    spec: RouteSpec,
    snapshot: Snapshot,
    metrics_by_target: dict[str, TargetMetrics],
    health: Mapping[str, CircuitState],
) -> list[StepView]:
    """Return the cards, in order."""
    return [
        _step_view(draft, step_draft, step_doc, number, snapshot, metrics_by_target, health)
        for number, (step_draft, step_doc) in enumerate(
            zip(draft.steps, spec.steps, strict=True), start=1
        )
    ]


def _step_view(
    draft: Draft,
    step_draft: StepDraft,
    step_doc: StepSpec,
    number: int,
    snapshot: Snapshot,
    metrics_by_target: dict[str, TargetMetrics],
    health: Mapping[str, CircuitState],
) -> StepView:
    split = _traffic_split(step_doc)
    shares = {id(target): share for target, share in zip(step_doc.targets, split, strict=True)}
    return StepView(
        draft=step_draft,
        number=number,
        title=step_doc.name or (_("Primary") if number == 1 else _("Fallback")),
        hint=str(labels.STRATEGY_HINTS.get(step_doc.strategy, ""))
        if len(step_doc.targets) > 1
        else "",
        entry_conditions=labels.entry_conditions(step_doc),
        request_conditions=labels.request_conditions(step_doc),
        target_options=labels.target_options(step_doc),
        targets=[
            _target_view(
                draft, t, shares[id(d)].text if shares else "", snapshot, metrics_by_target, health
            )
            for t, d in zip(step_draft.targets, step_doc.targets, strict=True)
        ],
        split=split if step_doc.strategy in SPLIT_STRATEGIES and len(split) > 1 else [],
        classes=[
            (name, str(title), name in step_draft.fallback_on)
            for name, title in labels.ERROR_CLASSES.items()
        ],
        needs=[
            (f, str(title), step_draft.needs.get(f, "")) for f, title in labels.CONDITIONS.items()
        ],
        errors={
            name.partition("-")[2]: text
            for name, text in draft.errors.items()
            if name.startswith(f"{step_draft.key}-")
        },
    )


def _traffic_split(step: StepSpec) -> list[Share]:
    total = sum(target.weight for target in step.targets if target.enabled)
    shares = []
    for target in step.targets:
        share = target.weight / total * 100 if total and target.enabled else 0.0
        percent_text = number_format(round(share, 0 if share >= 1 else 1), 0 if share >= 1 else 1)
        shares.append(Share(target.model.partition("/")[2], share, f"{percent_text} %"))
    return shares


def _target_view(
    draft: Draft,
    target: TargetDraft,
    share: str,
    snapshot: Snapshot,
    metrics_by_target: dict[str, TargetMetrics],
    health: Mapping[str, CircuitState],
) -> TargetView:
    provider, _slash, name = target.model.partition("/")
    model = snapshot.models.get(target.model)
    metrics = metrics_by_target.get(target.model)
    return TargetView(
        draft=target,
        name=name,
        provider=provider,
        preset=model.provider.preset if model is not None else "",
        exists=model is not None,
        capabilities=_model_capabilities(model) if model is not None else [],
        status=target_status(health, target.model, metrics)
        if model is not None
        else TargetStatus("bad", _("Not available")),
        metrics=metrics,
        price=_price_label(model),
        share=share,
        error=draft.errors.get(f"{target.key}-weight", ""),
    )


def _model_capabilities(model: Model) -> list[Capability]:
    target = Target(id=0, model=model)
    return [
        Capability(icon, str(title), supports_feature(target, f)) for f, icon, title in CAPABILITIES
    ]


def _price_label(model: Model | None) -> str:
    if model is None or model.price.input is None or model.price.output is None:
        return ""
    if model.price.input == model.price.output == 0:
        return _("Free")
    return f"{price(model.price.input)} / {price(model.price.output)}"


# With more models or keys, they are searched by name instead of chosen from a list.
MAX_OPTIONS = 200


def choices(draft: Draft, dry_run_panel: DryRunPanel, snapshot: Snapshot) -> dict[str, Any]:
    """Choices of the editor and of the dry run."""
    target_labels = dict.fromkeys(t.model for step in draft.steps for t in step.targets)
    other_routes = sorted(set(snapshot.routes) - {draft.name})
    return {
        "strategies": labels.STRATEGIES.items(),
        "model_groups": _model_groups(snapshot),
        "has_model_search": len(snapshot.models) > MAX_OPTIONS,
        "has_key_search": len(snapshot.keys) > MAX_OPTIONS,
        "reasoning_fields": REASONING_FIELDS,
        "cache_scopes": SCOPES.items(),
        "other_routes": other_routes,
        "dialects": [(name, title(name)) for name in CONSOLE_DIALECTS],
        "samples": [(name, sample.title) for name, sample in SAMPLES.items()],
        "failures": FAILURE_TITLES.items(),
        "labels": list(target_labels),
        "names": [draft.name, *draft.aliases],
        "keys": sorted(snapshot.keys.values(), key=lambda key: key.name),
        "weighted_strategies": WEIGHTED_STRATEGIES,
        "error_class_options": _error_class_options(draft),
        "has_policy_errors": _has_policy_errors(draft),
        "policy_fields": policy_form_fields(draft.policy, draft.errors, other_routes),
        "guardrails": sorted({*snapshot.guardrails, *snapshot.disabled_guardrails}),
        "live_now": draft.name in snapshot.routes,
        "with": WITH,
        "without": WITHOUT,
        "dry_run_panel": dry_run_panel,
    }


class ErrorClassOptions(NamedTuple):
    """The reliability options of one error class, as entered."""

    name: str
    title: str
    retries_by_kind: str
    cooldown_after_by_kind: str
    retries_error: str
    cooldown_error: str
    fallbacks: list[str]


def _has_policy_errors(draft: Draft) -> bool:
    """Whether the reliability section has errors, so that it is expanded."""
    names = {
        *OPTIONS,
        *(
            f"{field_name}-{name}"
            for field_name in COUNTS_BY_CLASS
            for name in labels.ERROR_CLASSES
        ),
    }
    return not names.isdisjoint(draft.errors)


def _error_class_options(draft: Draft) -> list[ErrorClassOptions]:
    policy, errors = draft.policy, draft.errors
    return [
        ErrorClassOptions(
            name,
            str(title),
            policy.counts.get(f"retries_by_kind:{name}", ""),
            policy.counts.get(f"cooldown_after_by_kind:{name}", ""),
            errors.get(f"retries_by_kind-{name}", ""),
            errors.get(f"cooldown_after_by_kind-{name}", ""),
            policy.fallbacks_by_kind.get(name, []),
        )
        for name, title in labels.ERROR_CLASSES.items()
    ]


def find_models(snapshot: Snapshot, text: str) -> list[str]:
    """The first MAX_OPTIONS labels of models that contain all words of a text."""
    labels = (label for label, model in sorted(snapshot.models.items()) if "*" not in model.name)
    return _first_matching(labels, text)


def find_names(snapshot: Snapshot, text: str) -> list[str]:
    """The first MAX_OPTIONS names of routes and labels of models that contain all words."""
    return _first_matching((str(row["id"]) for row in page_data.list_models(snapshot)), text)


def _first_matching(names: Iterable[str], text: str) -> list[str]:
    words = text.lower().split()
    matching = (name for name in names if all(word in name.lower() for word in words))
    return list(islice(matching, MAX_OPTIONS))


def find_keys(snapshot: Snapshot, text: str) -> list[ApiKey]:
    """The first MAX_OPTIONS keys whose name or prefix contains all words of a text."""
    words = text.lower().split()
    keys = sorted(snapshot.keys.values(), key=lambda key: key.name)
    matching = (
        key for key in keys if all(word in f"{key.name} {key.prefix}".lower() for word in words)
    )
    return list(islice(matching, MAX_OPTIONS))


def _model_groups(snapshot: Snapshot) -> list[tuple[str, list[str]]]:
    groups: dict[str, list[str]] = {}
    for label, model in sorted(snapshot.models.items()):
        if "*" not in model.name:
            groups.setdefault(model.provider.name, []).append(label)
    return list(groups.items())


class Entry(NamedTuple):
    """A route in the list."""

    name: str
    dot: str
    summary: str
    aliases: int
    requests: int
    state: str
    origin: str = ""


def pages_of_routes(rows: QuerySet[models.Route], traffic: dict[str, int]) -> Paginator[Any]:
    """Return pages of routes, those with the most requests first."""
    ordered_rows = sorted(rows, key=lambda row: (-traffic.get(row.name, 0), row.name))
    return Paginator(ordered_rows, PAGE_ROWS)


def entries(
    rows: Iterable[models.Route],
    snapshot: Snapshot,
    traffic: dict[str, int],
    health: Mapping[str, CircuitState],
) -> list[Entry]:
    """Return the entries of routes."""
    alias_counts = Counter(snapshot.aliases.values())
    alias_counts.update(name for _pattern, name in snapshot.wildcards)
    return [
        _list_entry(row, snapshot, alias_counts[row.name], traffic.get(row.name, 0), health)
        for row in rows
    ]


def _list_entry(
    row: models.Route,
    snapshot: Snapshot,
    aliases: int,
    count: int,
    health: Mapping[str, CircuitState],
) -> Entry:
    origin = (row.source_ref or row.get_source_display()) if row.read_only else ""
    snapshot_route = snapshot.routes.get(row.name)
    if snapshot_route is None:
        state = _("disabled") if not row.enabled else _("invalid")
        return Entry(row.name, "bad" if row.enabled else "", state, aliases, count, state, origin)
    in_cooldown = [
        target_status(health, t.model.label, None).kind == "warn" for t in snapshot_route.targets
    ]
    dot = "ok" if not any(in_cooldown) else ("bad" if all(in_cooldown) else "warn")
    title = str(
        labels.STRATEGIES[
            snapshot_route.steps[0].strategy if snapshot_route.steps else snapshot_route.strategy
        ]
    )
    number = len(snapshot_route.targets)
    count_text = _("%(n)d target") % {"n": 1} if number == 1 else _("%(n)d targets") % {"n": number}
    state = {
        "ok": _("ready"),
        "warn": _("some targets in cooldown"),
        "bad": _("all targets in cooldown"),
    }[dot]
    return Entry(
        row.name,
        dot,
        count_text if number == 1 else f"{title}, {count_text}",
        aliases,
        count,
        state,
        origin,
    )


def findings_pill(checks: list[Check]) -> tuple[str, str]:
    """The pill above the checks: its CSS class and text."""
    bad_count = sum(finding.level == "bad" for finding in checks)
    if bad_count:
        return "bad", _("%d error") % bad_count if bad_count == 1 else _("%d errors") % bad_count
    todo = sum(finding.level == "todo" for finding in checks)
    if todo:
        return "", _("%d to do") % todo
    if checks:
        warnings = len(checks)
        return "warn", _("%d warning") % warnings if warnings == 1 else _("%d warnings") % warnings
    return "ok", _("no issues")
