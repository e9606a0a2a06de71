"""Texts about a route: its changes, and the conditions of its steps."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.pages.routes.policy_fields import OPTIONS
from gateway.routing.route_spec import RouteSpec, StepSpec, TargetSpec

STRATEGIES = {
    "ordered": gettext_lazy("In order"),
    "weighted": gettext_lazy("Weighted"),
    "fastest": gettext_lazy("Fastest first"),
    "cheapest": gettext_lazy("Cheapest first"),
    "least_busy": gettext_lazy("Least busy first"),
    "least_used": gettext_lazy("Least used first"),
    "sticky": gettext_lazy("Sticky by session"),
    "split": gettext_lazy("A/B split"),
}
STRATEGY_HINTS = {
    "ordered": gettext_lazy("tried in this order"),
    "weighted": gettext_lazy("split by weight"),
    "fastest": gettext_lazy("by time to first token"),
    "cheapest": gettext_lazy("by price of a typical request"),
    "least_busy": gettext_lazy("by concurrent requests"),
    "least_used": gettext_lazy("by tokens in the last minute"),
    "sticky": gettext_lazy("a session keeps its target; shares by weight"),
    "split": gettext_lazy("a session or key keeps its variant; shares by weight"),
}
# Labels of the failures in `fallback_on`.
ERROR_CLASSES = {
    "rate_limit": gettext_lazy("rate limit (429)"),
    "upstream_error": gettext_lazy("server error (5xx)"),
    "timeout": gettext_lazy("timeout"),
    "upstream_auth": gettext_lazy("credential rejected"),
    "not_found": gettext_lazy("model not found (404)"),
    "context_length": gettext_lazy("context too long"),
    "content_policy": gettext_lazy("content policy"),
}
# Labels of the keys within a column.
_KEY_LABELS = {**ERROR_CLASSES, "ttl_s": gettext_lazy("TTL (s)"), "scope": gettext_lazy("scope")}
FEATURES = {
    "tools": gettext_lazy("tools"),
    "images": gettext_lazy("images"),
    "schema": gettext_lazy("a JSON schema"),
}
CONDITIONS = {
    **FEATURES,
    "simple_prompt": gettext_lazy("a simple prompt"),
    "medium_prompt": gettext_lazy("a prompt of medium complexity"),
    "complex_prompt": gettext_lazy("a complex prompt"),
    "reasoning_prompt": gettext_lazy("a prompt that needs reasoning"),
}
OPTION_LABELS: dict[str, str | Promise] = {
    "name": gettext_lazy("name"),
    "strict": gettext_lazy("reject unsupported fields"),
    "enabled": gettext_lazy("enabled"),
    "hidden": gettext_lazy("hidden from /v1/models"),
    "log_bodies": gettext_lazy("store bodies"),
    "retries": gettext_lazy("retry rounds"),
    "retries_by_kind": gettext_lazy("retries by error"),
    "cooldown_after_by_kind": gettext_lazy("failures before cooldown, by error"),
    "fallbacks_by_kind": gettext_lazy("fallback routes by error"),
    "cooldown_s": gettext_lazy("cooldown"),
    "default_max_output": gettext_lazy("default max output tokens"),
    "reasoning_field": gettext_lazy("reasoning field"),
    "cache": gettext_lazy("response cache"),
    "guardrails": gettext_lazy("guardrails"),
    **{name: option.label for name, option in OPTIONS.items()},
}
# Labels of the fields of a step or target, by the part of their name after its key.
_STEP_FIELD_LABELS = {
    "min_context": gettext_lazy("min tokens"),
    "max_context": gettext_lazy("max tokens"),
    "first_token_s": gettext_lazy("first token timeout"),
    "active_hours": gettext_lazy("active hours"),
    "weight": gettext_lazy("weight"),
    "new": gettext_lazy("target"),
}


def field_label(name: str) -> str:
    """Label of a form field: of the route, or `<key>-<field>` of a step or target."""
    if name == "cache_ttl":
        return _("cache TTL")
    option, _hyphen, step_field = name.partition("-")
    return str(OPTION_LABELS.get(option) or _STEP_FIELD_LABELS[step_field])


def entry_conditions(step: StepSpec) -> list[str]:
    """Return the failures of the previous step that activate this one; empty for any failure."""
    return [str(ERROR_CLASSES[name]) for name in step.fallback_on]


def request_conditions(step: StepSpec) -> list[str]:
    """Return the conditions on requests for this step."""
    conditions = [_("with %(feature)s") % {"feature": CONDITIONS[name]} for name in step.requires]
    conditions += [
        _("without %(feature)s") % {"feature": CONDITIONS[name]} for name in step.excludes
    ]
    if step.min_context is not None:
        conditions.append(_("from %(count)s tokens") % {"count": f"{step.min_context:,}"})
    if step.max_context is not None:
        conditions.append(_("up to %(count)s tokens") % {"count": f"{step.max_context:,}"})
    if step.tags:
        conditions.append(_("with the tag %(tags)s") % {"tags": " / ".join(step.tags)})
    if step.active_hours:
        conditions.append(step.active_hours)
    return conditions


def target_options(step: StepSpec) -> list[str]:
    """Description of how the step selects among its targets."""
    options = (
        [_("targets that do not support the request are skipped")]
        if step.require_capabilities
        else []
    )
    if step.first_token_s is not None:
        options.append(_("first token within %(seconds)g s") % {"seconds": step.first_token_s})
    return options


def changes(before: RouteSpec, after: RouteSpec) -> list[str]:
    """Describe the differences between two specs."""
    descriptions = [
        *_option_changes(before, after),
        *_name_changes(before, after),
        *_step_changes(before, after),
    ]
    # Only duplicates of a model differ, for which there is no description.
    return descriptions or ([_("changed the targets")] if before != after else [])


def _option_changes(before: RouteSpec, after: RouteSpec) -> Iterator[str]:
    for name, label in OPTION_LABELS.items():
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            yield _("%(what)s: %(old)s → %(new)s") % {
                "what": label,
                "old": _value_text(name, old),
                "new": _value_text(name, new),
            }


def _value_text(column: str, value: object) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if value is None:
        return _("default")
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or _("none")
    if isinstance(value, dict):
        values_by_label = {
            str(_KEY_LABELS.get(name, name)): " ".join(setting)
            if isinstance(setting, tuple)
            else setting
            for name, setting in value.items()
        }
        return ", ".join(f"{name}: {setting}" for name, setting in values_by_label.items()) or _(
            "none"
        )
    if value == "":
        return _("none")
    if isinstance(value, float) and column == "shadow_share":
        return f"{value * 100:g} %"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{text} s" if column.endswith("_s") else text


def _name_changes(before: RouteSpec, after: RouteSpec) -> Iterator[str]:
    for old, new, added_message, removed_message in (
        (before.aliases, after.aliases, _("added alias %s"), _("removed alias %s")),
        (before.fallbacks, after.fallbacks, _("added fallback %s"), _("removed fallback %s")),
    ):
        yield from (added_message % name for name in new if name not in old)
        yield from (removed_message % name for name in old if name not in new)


def _step_changes(before: RouteSpec, after: RouteSpec) -> Iterator[str]:
    old = {target.model: (n, p, target) for n, p, target in _numbered_targets(before)}
    new = {target.model: (n, p, target) for n, p, target in _numbered_targets(after)}
    yield from (_("added %s") % name_without_provider(label) for label in new if label not in old)
    yield from (_("removed %s") % name_without_provider(label) for label in old if label not in new)
    common_labels = [label for label in new if label in old]
    for label in common_labels:
        yield from _target_changes(name_without_provider(label), old[label][2], new[label][2])
    yield from _move_changes(common_labels, old, new)
    yield from _condition_changes(before.steps, after.steps)


def _numbered_targets(spec: RouteSpec) -> Iterator[tuple[int, int, TargetSpec]]:
    for number, step in enumerate(spec.steps):
        for position, target in enumerate(step.targets):
            yield number, position, target


def name_without_provider(label: str) -> str:
    """The name of a model in `provider/model`."""
    return label.partition("/")[2]


def _target_changes(name: str, old: TargetSpec, new: TargetSpec) -> Iterator[str]:
    if old.weight != new.weight:
        yield _("%(name)s weight %(old)g to %(new)g") % {
            "name": name,
            "old": old.weight,
            "new": new.weight,
        }
    if old.enabled != new.enabled:
        yield (_("enabled %s") if new.enabled else _("disabled %s")) % name
    if old.tags != new.tags:
        tags = ", ".join(new.tags) or _("none")
        yield _("tags of %(name)s: %(tags)s") % {"name": name, "tags": tags}
    if old.variant != new.variant:
        variant = new.variant or _("none")
        yield _("variant of %(name)s: %(variant)s") % {"name": name, "variant": variant}
    if (old.limits, old.budget) != (new.limits, new.budget):
        yield _("changed limits of %s") % name
    if (old.timeouts, old.edits) != (new.timeouts, new.edits):
        yield _("changed timeouts or edits of %s") % name


def _move_changes(
    common_labels: list[str],
    old: dict[str, tuple[int, int, TargetSpec]],
    new: dict[str, tuple[int, int, TargetSpec]],
) -> Iterator[str]:
    """Moved targets: into another step, or reordered; the smallest set that explains it."""
    for label in common_labels:
        if old[label][0] != new[label][0]:
            yield _("moved %(name)s to step %(step)d") % {
                "name": name_without_provider(label),
                "step": new[label][0] + 1,
            }
    unmoved_labels = [label for label in common_labels if old[label][0] == new[label][0]]
    old_order = sorted(unmoved_labels, key=lambda label: old[label][:2])
    new_order = sorted(unmoved_labels, key=lambda label: new[label][:2])
    while old_order != new_order:
        moved_label = max(
            new_order, key=lambda label: abs(old_order.index(label) - new_order.index(label))
        )
        yield _("moved %s") % name_without_provider(moved_label)
        old_order.remove(moved_label)
        new_order.remove(moved_label)


def _condition_changes(before: tuple[StepSpec, ...], after: tuple[StepSpec, ...]) -> Iterator[str]:
    for number in range(len(before), len(after)):
        yield _("added step %d") % (number + 1)
    for number in range(len(after), len(before)):
        yield _("removed step %d") % (number + 1)
    for number, (old, new) in enumerate(zip(before, after, strict=False), start=1):
        if old.name != new.name:
            yield _("step %(number)d is called “%(name)s”") % {"number": number, "name": new.name}
        if old.strategy != new.strategy:
            strategy = STRATEGIES.get(new.strategy, new.strategy)
            yield _("step %(number)d: %(strategy)s") % {"number": number, "strategy": strategy}
        if _condition_labels(old) != _condition_labels(new):
            conditions = ", ".join(
                [*entry_conditions(new), *request_conditions(new), *target_options(new)]
            ) or _("no conditions")
            yield _("step %(number)d: %(conditions)s") % {
                "number": number,
                "conditions": conditions,
            }


def _condition_labels(step: StepSpec) -> tuple[list[str], ...]:
    return entry_conditions(step), request_conditions(step), target_options(step)
