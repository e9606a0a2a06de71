"""Checks of a route draft: errors prevent saving, warnings do not."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Collection, Iterator
from typing import Literal, NamedTuple

from django.utils.translation import gettext as _

from console.pages.routes.forms import Draft
from console.pages.routes.labels import FEATURES, field_label, name_without_provider
from gateway.providers.catalog import resolve_preset
from gateway.routing.candidates import supports_feature
from gateway.routing.route_spec import RouteSpec, StepSpec
from gateway.routing.snapshot import Model, Snapshot, Target
from gateway.store.field_values import is_pattern, specificity
from gateway.store.routes import compile_route

Level = Literal["bad", "warn", "todo"]
BAD: Level = "bad"
WARN: Level = "warn"
INCOMPLETE: Level = "todo"


class Fix(NamedTuple):
    """A button that fixes the finding: its action on the draft, and its label."""

    action: str
    label: str


class Check(NamedTuple):
    """One finding; `title` is the sentence in bold, `field` the form field it is about.

    `missing` marks a value that a new route need not have from the start.
    """

    level: Level
    title: str
    detail: str = ""
    fix: Fix | None = None
    field: str = ""
    missing: bool = False


class CheckInput(NamedTuple):
    """The input of the checks: the draft and its spec, the registry, the saved name."""

    draft: Draft
    spec: RouteSpec
    snapshot: Snapshot
    saved_name: str

    def model(self, label: str) -> Model | None:
        """A model of the registry."""
        return self.snapshot.models.get(label)


def check(check_input: CheckInput) -> list[Check]:
    """All findings, errors first."""
    findings = [finding for rule in _RULES for finding in rule(check_input)]
    return sorted(findings, key=lambda finding: finding.level != BAD)


def blocks(checks: list[Check]) -> bool:
    """Whether the findings prevent saving."""
    return any(finding.level == BAD for finding in checks)


def downgrade_new_route_errors(
    checks: list[Check], submitted_fields: Collection[str]
) -> list[Check]:
    """Downgrade missing values of a new route to to-dos until their field was submitted."""
    return [
        finding._replace(level=INCOMPLETE)
        if finding.missing and finding.field not in submitted_fields
        else finding
        for finding in checks
    ]


def _check_fields(check_input: CheckInput) -> Iterator[Check]:
    for name, message in check_input.draft.errors.items():
        yield Check(BAD, _("Invalid %s:") % field_label(name), message, field=name)


def _check_name(check_input: CheckInput) -> Iterator[Check]:
    name = check_input.spec.name
    if not name:
        yield Check(BAD, _("The route has no name."), field="name", missing=True)
    elif is_pattern(name) or len(name) > 200 or any(c.isspace() for c in name):
        detail = _("Names cannot contain spaces or wildcards. Add patterns as aliases.")
        yield Check(BAD, _("This name is not allowed."), detail, field="name")
    elif name != check_input.saved_name and name in check_input.snapshot.routes:
        yield Check(BAD, _("A route named %s already exists.") % name, field="name")
    elif check_input.saved_name and name != check_input.saved_name:
        detail = _("Clients that request %s will get an error, unless you add it as an alias.")
        yield Check(WARN, _("The route will be renamed."), detail % check_input.saved_name)


def _check_aliases(check_input: CheckInput) -> Iterator[Check]:
    exact_aliases = {
        a: r for a, r in check_input.snapshot.aliases.items() if r != check_input.saved_name
    }
    wildcards = [(p, r) for p, r in check_input.snapshot.wildcards if r != check_input.saved_name]
    used_aliases = {**exact_aliases, **dict(wildcards)}
    for alias in check_input.spec.aliases:
        holder = used_aliases.get(alias)
        if holder is not None:
            detail = _("An alias can belong to only one route. Remove it from one of them.")
            yield Check(BAD, _("%(a)s is an alias of %(r)s.") % {"a": alias, "r": holder}, detail)
        elif alias in check_input.snapshot.routes and alias != check_input.saved_name:
            detail = _("Route names take precedence, so this alias would never match.")
            yield Check(BAD, _("%s is the name of another route.") % alias, detail)
        elif alias == check_input.spec.name:
            yield Check(WARN, _("%s is already the name of this route.") % alias)
        elif is_pattern(alias):
            yield from _check_overlaps(check_input, alias, wildcards, exact_aliases)


def _check_overlaps(
    check_input: CheckInput,
    pattern: str,
    wildcards: list[tuple[str, str]],
    exact_aliases: dict[str, str],
) -> Iterator[Check]:
    """Names that match more than one route, and which route takes precedence."""
    for other_pattern, route in wildcards:
        if fnmatch.fnmatchcase(other_pattern.replace("*", "x"), pattern) or fnmatch.fnmatchcase(
            pattern.replace("*", "x"), other_pattern
        ):
            first = min(pattern, other_pattern, key=specificity)
            detail = _("The more specific pattern, %s, takes precedence.") % first
            title = _("%(a)s and %(b)s of %(r)s overlap.") % {
                "a": pattern,
                "b": other_pattern,
                "r": route,
            }
            yield Check(WARN, title, detail)
    exact_names = [*check_input.snapshot.routes, *exact_aliases]
    shadowed_names = [
        n for n in exact_names if n != check_input.saved_name and fnmatch.fnmatchcase(n, pattern)
    ]
    if shadowed_names:
        title = _("%(a)s does not match %(names)s.") % {
            "a": pattern,
            "names": ", ".join(shadowed_names[:3]),
        }
        yield Check(WARN, title, _("These are names of other routes."))


def _check_loops(check_input: CheckInput) -> Iterator[Check]:
    for name in check_input.spec.fallbacks:
        fallback = check_input.snapshot.routes.get(name)
        if name in {check_input.spec.name, check_input.saved_name}:
            yield Check(BAD, _("The route falls back to itself."), field="fallback")
        elif fallback is None:
            detail = _("A fallback must be an existing route.")
            yield Check(BAD, _("Route %s does not exist.") % name, detail, field="fallback")
        elif check_input.saved_name in fallback.fallbacks:
            detail = _("Each route is tried only once.")
            yield Check(WARN, _("%s also falls back to this route.") % name, detail)


def _check_targets(check_input: CheckInput) -> Iterator[Check]:
    if not check_input.spec.fallbacks and not any(step.targets for step in check_input.spec.steps):
        detail = _("Add a model to the first step.")
        yield Check(BAD, _("The route has no target."), detail, field="targets", missing=True)
        return
    for number, step in enumerate(check_input.spec.steps, start=1):
        if not step.targets:
            yield Check(
                BAD, _("Step %d has no target.") % number, _("Add a target or remove the step.")
            )
        labels = [target.model for target in step.targets]
        for label in dict.fromkeys(labels):
            if labels.count(label) > 1:
                yield Check(WARN, _("%s is in this step twice.") % name_without_provider(label))
            if check_input.model(label) is None:
                detail = _("The model does not exist, or it or its provider is disabled.")
                yield Check(BAD, _("%s is not available.") % label, detail)


def _check_credentials(check_input: CheckInput) -> Iterator[Check]:
    labels = [t.model for step in check_input.spec.steps for t in step.targets if t.enabled]
    models = [model for label in dict.fromkeys(labels) if (model := check_input.model(label))]
    providers = {model.provider.name: model.provider for model in models}
    missing_sources = [
        provider
        for provider in providers.values()
        # A self-hosted server may need no key; a preset with a variable for its key does.
        if not provider.credential and (preset := resolve_preset(provider.preset)) and preset.env
    ]
    level = BAD if len(missing_sources) == len(providers) else WARN
    for provider in missing_sources:
        detail = _("Requests to it would be rejected. Add an API key under Providers.")
        yield Check(level, _("%s has no API key.") % provider.name, detail)


def _check_weights(check_input: CheckInput) -> Iterator[Check]:
    for number, step in enumerate(check_input.spec.steps, start=1):
        if step.strategy != "weighted" or len(step.targets) < 2:
            continue
        enabled_targets = [target for target in step.targets if target.enabled]
        if enabled_targets and not any(target.weight > 0 for target in enabled_targets):
            detail = _("At least one target needs a weight above 0.")
            yield Check(BAD, _("All weights of step %d are 0.") % number, detail)


def _check_gaps(check_input: CheckInput) -> Iterator[Check]:
    for step, draft in zip(check_input.spec.steps, check_input.draft.steps, strict=True):
        if step.require_capabilities:
            continue
        for target in step.targets:
            model = check_input.model(target.model)
            if model is not None and target.enabled:
                yield from _check_gap(step, draft.key, model)


def _check_gap(step: StepSpec, key: str, model: Model) -> Iterator[Check]:
    target = Target(id=0, model=model)
    missing_features = [
        f for f in FEATURES if f not in step.excludes and not supports_feature(target, f)
    ]
    if not missing_features:
        return
    features = _(" or ").join(str(FEATURES[feature]) for feature in missing_features)
    title = _("%(model)s does not support %(features)s.") % {
        "model": model.name,
        "features": features,
    }
    if missing_features == ["images"]:
        detail, fix = _("They would be dropped."), Fix(f"text-only:{key}", _("Limit to text"))
    else:
        detail = _("It would be dropped from requests that use it.")
        fix = Fix(f"require_capabilities:{key}", _("Skip for these requests"))
    yield Check(WARN, title, detail, fix)


def _check_context_windows(check_input: CheckInput) -> Iterator[Check]:
    largest_above: int | None = None
    for number, step in enumerate(check_input.spec.steps, start=1):
        windows = [
            m.traits.context_window for t in step.targets if (m := check_input.model(t.model))
        ]
        window_sizes = [window for window in windows if window is not None]
        for target in step.targets:
            model = check_input.model(target.model)
            window = model.traits.context_window if model is not None else None
            if window is not None and step.min_context is not None and window < step.min_context:
                detail = _(
                    "It has %(window)s tokens, but the step requires at least %(minimum)s."
                ) % {
                    "window": f"{window:,}",
                    "minimum": f"{step.min_context:,}",
                }
                title = _("The context window of %s is too small.") % name_without_provider(
                    target.model
                )
                yield Check(BAD, title, detail)
        if (
            "context_length" in step.fallback_on
            and largest_above
            and window_sizes
            and max(window_sizes) <= largest_above
        ):
            detail = _("None of its targets has a larger context window than the targets above.")
            yield Check(WARN, _("Step %d does not help with long contexts.") % number, detail)
        largest_above = max([largest_above or 0, *window_sizes])


def _check_conditions(check_input: CheckInput) -> Iterator[Check]:
    if check_input.spec.steps and check_input.spec.steps[0].fallback_on:
        detail = _("No step comes before it, so no error can activate it.")
        yield Check(WARN, _("The first step has error conditions."), detail)
    try:
        compile_route(check_input.spec, check_input.snapshot)
    except ValueError as error:
        yield Check(BAD, _("This route is invalid:"), str(error))


_RULES: tuple[Callable[[CheckInput], Iterator[Check]], ...] = (
    _check_fields,
    _check_name,
    _check_aliases,
    _check_targets,
    _check_loops,
    _check_credentials,
    _check_weights,
    _check_conditions,
    _check_context_windows,
    _check_gaps,
)
