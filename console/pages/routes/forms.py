"""The draft of a route: the editor's fields as entered, and the actions of its buttons.

The form carries the complete draft, so the server stores nothing between requests.
`item` fields define the order: `step:<key>` and, after it, the `target:<key>` of that step;
a page that moves a row moves its field with it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import msgspec
from django.http import QueryDict
from django.utils.translation import gettext as _

from console.pages.routes.cache_fields import cache_fields, parse_cache
from console.pages.routes.policy_fields import (
    PolicyDraft,
    parse_hours,
    parse_number,
    parse_tags,
    policy_draft,
    policy_from_form,
    policy_values,
)
from gateway.routing.candidates import CONDITIONS, ERROR_CLASSES
from gateway.routing.route_spec import RouteSpec, StepSpec, TargetSpec

MAX_STEPS, MAX_TARGETS = 20, 60
# Fields of a target that the editor does not display, with their defaults.
_EXTRA_DEFAULTS: dict[str, Any] = {
    name: msgspec.to_builtins(getattr(TargetSpec(model=""), name))
    for name in ("timeouts", "edits", "limits", "budget")
}
WITH, WITHOUT = "with", "without"


@dataclass(slots=True)
class TargetDraft:
    """A target as entered; `extra_json` has the fields that the editor does not show."""

    key: str
    model: str
    weight: str = "1"
    enabled: bool = True
    extra_json: str = "{}"
    tags: str = ""
    variant: str = ""


@dataclass(slots=True)
class StepDraft:
    """A step as entered; `needs` maps a feature to `with`, `without` or nothing."""

    key: str
    name: str = ""
    strategy: str = "ordered"
    fallback_on: list[str] = field(default_factory=list)
    needs: dict[str, str] = field(default_factory=dict)
    min_context: str = ""
    max_context: str = ""
    require_capabilities: bool = False
    first_token_s: str = ""
    tags: str = ""
    active_hours: str = ""
    open: bool = False
    targets: list[TargetDraft] = field(default_factory=list)


@dataclass(slots=True)
class Draft:
    """A route as entered. `errors` maps form field names to messages."""

    name: str = ""
    aliases: list[str] = field(default_factory=list)
    strict: bool = False
    enabled: bool = True
    hidden: bool = False
    log_bodies: str = ""
    retries: str = "1"
    cooldown_s: str = "5"
    default_max_output: str = ""
    reasoning_field: str = "reasoning_content"
    cache_ttl: str = ""
    cache_scope: str = "key"
    cache_extra_json: str = "{}"
    fallbacks: list[str] = field(default_factory=list)
    policy: PolicyDraft = field(default_factory=PolicyDraft)
    steps: list[StepDraft] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)

    def step(self, key: str) -> StepDraft | None:
        """The step with this key."""
        return next((step for step in self.steps if step.key == key), None)

    def new_key(self, prefix: str) -> str:
        """A key that is not in use."""
        used_keys = {s.key for s in self.steps} | {t.key for s in self.steps for t in s.targets}
        number = 1
        while f"{prefix}{number}" in used_keys:
            number += 1
        return f"{prefix}{number}"


# From a spec


def draft_from_spec(spec: RouteSpec) -> Draft:
    """The draft of a spec."""
    draft = Draft(
        name=spec.name,
        aliases=list(spec.aliases),
        strict=spec.strict,
        enabled=spec.enabled,
        hidden=spec.hidden,
        log_bodies={True: "yes", False: "no", None: ""}[spec.log_bodies],
        retries=str(spec.retries),
        cooldown_s=_number_text(spec.cooldown_s),
        default_max_output=_number_text(spec.default_max_output),
        reasoning_field=spec.reasoning_field,
        fallbacks=list(spec.fallbacks),
        policy=policy_draft(spec),
    )
    draft.cache_ttl, draft.cache_scope, draft.cache_extra_json = cache_fields(spec.cache)
    for step in spec.steps:
        draft.steps.append(_step_draft(draft.new_key("s"), step))
        for target in step.targets:
            draft.steps[-1].targets.append(_target_draft(draft.new_key("t"), target))
    return draft


def _step_draft(key: str, step: StepSpec) -> StepDraft:
    needs = dict.fromkeys(step.requires, WITH) | dict.fromkeys(step.excludes, WITHOUT)
    return StepDraft(
        key=key,
        name=step.name,
        strategy=step.strategy,
        fallback_on=list(step.fallback_on),
        needs=needs,
        min_context=_number_text(step.min_context),
        max_context=_number_text(step.max_context),
        require_capabilities=step.require_capabilities,
        first_token_s=_number_text(step.first_token_s),
        tags=", ".join(step.tags),
        active_hours=step.active_hours,
    )


def _target_draft(key: str, target: TargetSpec) -> TargetDraft:
    extra = {name: getattr(target, name) for name in _EXTRA_DEFAULTS}
    json_values = {name: msgspec.to_builtins(value) for name, value in extra.items()}
    changed_values = {
        name: value for name, value in json_values.items() if value != _EXTRA_DEFAULTS[name]
    }
    return TargetDraft(
        key,
        target.model,
        _number_text(target.weight),
        target.enabled,
        json.dumps(changed_values, sort_keys=True),
        ", ".join(target.tags),
        target.variant,
    )


def _number_text(number: float | None) -> str:
    return "" if number is None else f"{number:.10g}"


# From a form


def draft_from_form(data: QueryDict) -> Draft:
    """The draft from form data. Input that cannot be parsed is ignored."""
    draft = Draft(
        name=data.get("name", "").strip(),
        aliases=_split_names(data.getlist("alias")),
        strict=data.get("strict") == "1",
        enabled=data.get("enabled") == "1",
        hidden=data.get("hidden") == "1",
        log_bodies=data.get("log_bodies", ""),
        retries=data.get("retries", "").strip(),
        cooldown_s=data.get("cooldown_s", "").strip(),
        default_max_output=data.get("default_max_output", "").strip(),
        reasoning_field=data.get("reasoning_field", ""),
        cache_ttl=data.get("cache_ttl", "").strip(),
        cache_scope=data.get("cache_scope", "key"),
        cache_extra_json=data.get("cache_extra", "{}"),
        fallbacks=_split_names(data.getlist("fallback")),
        policy=policy_from_form(data),
    )
    target_count = 0
    for item in data.getlist("item"):
        kind, _colon, key = item.partition(":")
        if kind == "step" and len(draft.steps) < MAX_STEPS:
            draft.steps.append(_step_from_form(data, key))
        elif kind == "target" and draft.steps and target_count < MAX_TARGETS:
            draft.steps[-1].targets.append(_target_from_form(data, key))
            target_count += 1
    return draft


def _split_names(values: list[str]) -> list[str]:
    """Names separated by spaces or commas, without duplicates."""
    names = " ".join(values).replace(",", " ").split()
    return list(dict.fromkeys(names))


def _step_from_form(data: QueryDict, key: str) -> StepDraft:
    def text(name: str) -> str:
        return data.get(f"{key}-{name}", "").strip()

    return StepDraft(
        key=key,
        name=text("name")[:100],
        strategy=text("strategy") or "ordered",
        fallback_on=[n for n in data.getlist(f"{key}-fallback_on") if n in ERROR_CLASSES],
        needs={f: text(f) for f in CONDITIONS if text(f) in {WITH, WITHOUT}},
        min_context=text("min_context"),
        max_context=text("max_context"),
        require_capabilities=text("require_capabilities") == "1",
        first_token_s=text("first_token_s"),
        tags=text("tags"),
        active_hours=text("active_hours"),
    )


def _target_from_form(data: QueryDict, key: str) -> TargetDraft:
    return TargetDraft(
        key=key,
        model=data.get(f"{key}-model", ""),
        weight=data.get(f"{key}-weight", "1").strip(),
        enabled=data.get(f"{key}-off") != "1",
        extra_json=data.get(f"{key}-extra", "{}"),
        tags=data.get(f"{key}-tags", "").strip(),
        variant=data.get(f"{key}-variant", "").strip()[:63],
    )


# To a spec


def spec_from(draft: Draft) -> RouteSpec:
    """The spec of a draft; invalid fields are reported in `draft.errors`."""
    draft.errors = {}
    return RouteSpec(
        name=draft.name,
        aliases=tuple(draft.aliases),
        steps=tuple(_step_doc(draft, step) for step in draft.steps),
        fallbacks=tuple(draft.fallbacks),
        strict=draft.strict,
        enabled=draft.enabled,
        hidden=draft.hidden,
        log_bodies={"yes": True, "no": False}.get(draft.log_bodies),
        retries=int(_parse_number(draft, "retries", draft.retries, integer=True, maximum=10) or 0),
        cooldown_s=_parse_number(draft, "cooldown_s", draft.cooldown_s, maximum=3600) or 0.0,
        default_max_output=_parse_integer(draft, "default_max_output", draft.default_max_output),
        reasoning_field=draft.reasoning_field or "reasoning_content",
        cache=_cache_options(draft),
        **policy_values(draft.policy, draft.errors),
    )


def _cache_options(draft: Draft) -> dict[str, Any]:
    try:
        return parse_cache(draft.cache_ttl, draft.cache_scope, draft.cache_extra_json)
    except ValueError as error:
        draft.errors["cache_ttl"] = str(error)
        return {}


def _step_doc(draft: Draft, step: StepDraft) -> StepSpec:
    def context(name: str) -> int | None:
        return _parse_integer(draft, f"{step.key}-{name}", getattr(step, name))

    seconds = _parse_number(draft, f"{step.key}-first_token_s", step.first_token_s, minimum=0.1)
    return StepSpec(
        name=step.name,
        strategy=step.strategy,
        fallback_on=tuple(step.fallback_on),
        requires=tuple(f for f in CONDITIONS if step.needs.get(f) == WITH),
        excludes=tuple(f for f in CONDITIONS if step.needs.get(f) == WITHOUT),
        min_context=context("min_context"),
        max_context=context("max_context"),
        require_capabilities=step.require_capabilities,
        first_token_s=seconds,
        tags=parse_tags(step.tags),
        active_hours=parse_hours(step.active_hours, f"{step.key}-active_hours", draft.errors),
        targets=tuple(_target_doc(draft, target) for target in step.targets),
    )


def _target_doc(draft: Draft, target: TargetDraft) -> TargetSpec:
    weight = _parse_number(draft, f"{target.key}-weight", target.weight)
    return msgspec.structs.replace(
        _parse_extra(target.extra_json),
        model=target.model,
        weight=1.0 if weight is None else weight,
        enabled=target.enabled,
        tags=parse_tags(target.tags),
        variant=target.variant,
    )


def _parse_extra(text: str) -> TargetSpec:
    """Fields of a target that the editor does not display; defaults if they are invalid."""
    try:
        extra = msgspec.json.decode(text, type=dict[str, Any])
        fields = {name: value for name, value in extra.items() if name in _EXTRA_DEFAULTS}
        return msgspec.convert({"model": "", **fields}, TargetSpec)
    except (msgspec.MsgspecError, RecursionError):
        return TargetSpec(model="")


def restore_invalid_fields(draft: Draft, spec: RouteSpec, saved: RouteSpec) -> RouteSpec:
    """The spec of a draft, with the saved values of the fields that are invalid."""
    invalid_options = {name.partition("-")[0] for name in draft.errors}
    if "cache_ttl" in invalid_options:
        invalid_options.add("cache")
    saved_weights = {target.model: target.weight for step in saved.steps for target in step.targets}
    steps = []
    for index, (entered, step) in enumerate(zip(draft.steps, spec.steps, strict=True)):
        saved_step = saved.steps[index] if index < len(saved.steps) else StepSpec()
        targets = tuple(
            msgspec.structs.replace(target, weight=saved_weights.get(target.model, 1.0))
            if f"{entered_target.key}-weight" in draft.errors
            else target
            for entered_target, target in zip(entered.targets, step.targets, strict=True)
        )
        values = {
            name: getattr(saved_step, name)
            for name in StepSpec.__struct_fields__
            if f"{entered.key}-{name}" in draft.errors
        }
        steps.append(msgspec.structs.replace(step, **values, targets=targets))
    options = invalid_options.intersection(RouteSpec.__struct_fields__)
    values = {name: getattr(saved, name) for name in options}
    return msgspec.structs.replace(spec, **values, steps=tuple(steps))


def _parse_integer(draft: Draft, name: str, text: str) -> int | None:
    number = _parse_number(draft, name, text, integer=True, minimum=1)
    return None if number is None else int(number)


def _parse_number(draft: Draft, name: str, text: str, **bounds: Any) -> float | None:
    return parse_number(draft.errors, name, text, **bounds)


# Actions of the buttons


def apply_action(draft: Draft, action: str, data: QueryDict) -> str:
    """Apply a button's action to the draft. Return a status message, empty if unsupported."""
    verb, _colon, key = action.partition(":")
    if verb in {"up", "down"}:
        return _move_step_or_target(draft, key, -1 if verb == "up" else 1)
    if verb == "add-step":
        draft.steps.append(StepDraft(draft.new_key("s")))
        return _("Step %(number)d added") % {"number": len(draft.steps)}
    if verb == "add-target":
        return _add_target(draft, key, data.get(f"{key}-new", ""))
    if verb == "drop":
        return _drop_step_or_target(draft, key)
    if verb == "drop-alias" and key in draft.aliases:
        draft.aliases.remove(key)
        return _("%(name)s removed") % {"name": key}
    if verb in {"require_capabilities", "text-only"} and (step := draft.step(key)):
        if verb == "require_capabilities":
            step.require_capabilities = True
        else:
            step.needs["images"] = WITHOUT
        step.open = True
        return _("Condition added")
    return ""


def _add_target(draft: Draft, key: str, model: str) -> str:
    step = draft.step(key)
    if step is None:
        return ""
    if not model:
        draft.errors[f"{key}-new"] = _("choose a model first")
        return ""
    step.targets.append(TargetDraft(draft.new_key("t"), model))
    return _("%(model)s added") % {"model": model}


def _drop_step_or_target(draft: Draft, key: str) -> str:
    step = draft.step(key)
    if step is not None:
        draft.steps.remove(step)
        return _("Step removed")
    for step in draft.steps:
        for target in step.targets:
            if target.key == key:
                step.targets.remove(target)
                return _("%(model)s removed") % {"model": target.model}
    return ""


def _move_step_or_target(draft: Draft, key: str, offset: int) -> str:
    step = draft.step(key)
    if step is not None:
        index = draft.steps.index(step)
        draft.steps.insert(max(0, index + offset), draft.steps.pop(index))
        return _("Step moved to position %(position)d") % {"position": draft.steps.index(step) + 1}
    for number, candidate in enumerate(draft.steps):
        for target in candidate.targets:
            if target.key == key:
                return _move_target(draft, number, target, offset)
    return ""


def _move_target(draft: Draft, number: int, target: TargetDraft, offset: int) -> str:
    """Move within the step, or at its edge into the neighboring step."""
    siblings = draft.steps[number].targets
    position = siblings.index(target) + offset
    if 0 <= position < len(siblings):
        siblings.remove(target)
        siblings.insert(position, target)
    elif 0 <= number + offset < len(draft.steps):
        siblings.remove(target)
        number += offset
        neighbors = draft.steps[number].targets
        neighbors.insert(len(neighbors) if offset < 0 else 0, target)
        position = neighbors.index(target)
    return _("%(model)s moved to step %(step)d, position %(position)d") % {
        "model": target.model,
        "step": number + 1,
        "position": max(0, position) + 1,
    }
