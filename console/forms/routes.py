"""The draft of a route: what stands in the editor, as typed, and what its buttons do to it.

The whole draft travels in the form, so nothing is lost and nothing is kept on the server.
`item` fields say the order: `step:<key>` and, after it, the `target:<key>` of that step;
a page that moves a row moves its field with it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import msgspec
from django.http import QueryDict
from django.utils.translation import gettext as _

from console.forms import route_cache
from console.forms.route_way import (
    WayDraft,
    sent_way,
    typed_hours,
    typed_number,
    typed_tags,
    way_draft,
    way_values,
)
from gateway.routing.course import CLASSES
from gateway.routing.document import Document, StepDoc, TargetDoc
from gateway.routing.plan import FEATURES

MAX_STEPS, MAX_TARGETS = 20, 60
# What the editor does not show of a target, and what it usually is.
_UNSHOWN: dict[str, Any] = {
    name: msgspec.to_builtins(getattr(TargetDoc(model=""), name))
    for name in ("timeouts", "edits", "limits", "budget")
}
WITH, WITHOUT = "with", "without"


@dataclass(slots=True)
class TargetDraft:
    """A target as typed; `kept` is JSON of what the editor does not show."""

    key: str
    model: str
    weight: str = "1"
    enabled: bool = True
    kept: str = "{}"
    tags: str = ""
    variant: str = ""


@dataclass(slots=True)
class StepDraft:
    """A step as typed; `needs` maps a feature to `with`, `without` or nothing."""

    key: str
    name: str = ""
    strategy: str = "ordered"
    on: list[str] = field(default_factory=list)
    needs: dict[str, str] = field(default_factory=dict)
    min_context: str = ""
    max_context: str = ""
    able: bool = False
    first_token_s: str = ""
    tags: str = ""
    during: str = ""
    open: bool = False
    targets: list[TargetDraft] = field(default_factory=list)


@dataclass(slots=True)
class Draft:
    """All of a route as typed. `errors` are by the name of the form's field."""

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
    cache_kept: str = "{}"
    fallbacks: list[str] = field(default_factory=list)
    way: WayDraft = field(default_factory=WayDraft)
    steps: list[StepDraft] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)

    def step(self, key: str) -> StepDraft | None:
        """The step with this key."""
        return next((step for step in self.steps if step.key == key), None)

    def fresh(self, prefix: str) -> str:
        """A key that is not in use."""
        used = {s.key for s in self.steps} | {t.key for s in self.steps for t in s.targets}
        number = 1
        while f"{prefix}{number}" in used:
            number += 1
        return f"{prefix}{number}"


# From a document


def draft_of(document: Document) -> Draft:
    """The draft that says what the document says."""
    draft = Draft(
        name=document.name,
        aliases=list(document.aliases),
        strict=document.strict,
        enabled=document.enabled,
        hidden=document.hidden,
        log_bodies={True: "yes", False: "no", None: ""}[document.log_bodies],
        retries=str(document.retries),
        cooldown_s=_typed(document.cooldown_s),
        default_max_output=_typed(document.default_max_output),
        reasoning_field=document.reasoning_field,
        fallbacks=list(document.fallbacks),
        way=way_draft(document),
    )
    draft.cache_ttl, draft.cache_scope, draft.cache_kept = route_cache.typed(document.cache)
    for step in document.steps:
        draft.steps.append(_step_draft(draft.fresh("s"), step))
        for target in step.targets:
            draft.steps[-1].targets.append(_target_draft(draft.fresh("t"), target))
    return draft


def _step_draft(key: str, step: StepDoc) -> StepDraft:
    needs = dict.fromkeys(step.takes, WITH) | dict.fromkeys(step.refuses, WITHOUT)
    return StepDraft(
        key=key,
        name=step.name,
        strategy=step.strategy,
        on=list(step.on),
        needs=needs,
        min_context=_typed(step.min_context),
        max_context=_typed(step.max_context),
        able=step.able,
        first_token_s=_typed(step.first_token_s),
        tags=", ".join(step.tags),
        during=step.during,
    )


def _target_draft(key: str, target: TargetDoc) -> TargetDraft:
    said = {name: getattr(target, name) for name in _UNSHOWN}
    plain = {name: msgspec.to_builtins(value) for name, value in said.items()}
    used = {name: value for name, value in plain.items() if value != _UNSHOWN[name]}
    return TargetDraft(
        key,
        target.model,
        _typed(target.weight),
        target.enabled,
        json.dumps(used, sort_keys=True),
        ", ".join(target.tags),
        target.variant,
    )


def _typed(number: float | None) -> str:
    return "" if number is None else f"{number:.10g}"


# From a form


def draft_from(data: QueryDict) -> Draft:
    """The draft as it was sent. What is not understood is read as not there."""
    draft = Draft(
        name=data.get("name", "").strip(),
        aliases=_names(data.getlist("alias")),
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
        cache_kept=data.get("cache_kept", "{}"),
        fallbacks=_names(data.getlist("fallback")),
        way=sent_way(data),
    )
    count = 0
    for item in data.getlist("item"):
        kind, _colon, key = item.partition(":")
        if kind == "step" and len(draft.steps) < MAX_STEPS:
            draft.steps.append(_sent_step(data, key))
        elif kind == "target" and draft.steps and count < MAX_TARGETS:
            draft.steps[-1].targets.append(_sent_target(data, key))
            count += 1
    return draft


def _names(values: list[str]) -> list[str]:
    """Names apart by spaces or commas, each once."""
    found = " ".join(values).replace(",", " ").split()
    return list(dict.fromkeys(found))


def _sent_step(data: QueryDict, key: str) -> StepDraft:
    def said(name: str) -> str:
        return data.get(f"{key}-{name}", "").strip()

    return StepDraft(
        key=key,
        name=said("name")[:100],
        strategy=said("strategy") or "ordered",
        on=[name for name in data.getlist(f"{key}-on") if name in CLASSES],
        needs={f: said(f) for f in FEATURES if said(f) in {WITH, WITHOUT}},
        min_context=said("min_context"),
        max_context=said("max_context"),
        able=said("able") == "1",
        first_token_s=said("first_token_s"),
        tags=said("tags"),
        during=said("during"),
    )


def _sent_target(data: QueryDict, key: str) -> TargetDraft:
    return TargetDraft(
        key=key,
        model=data.get(f"{key}-model", ""),
        weight=data.get(f"{key}-weight", "1").strip(),
        enabled=data.get(f"{key}-off") != "1",
        kept=data.get(f"{key}-kept", "{}"),
        tags=data.get(f"{key}-tags", "").strip(),
        variant=data.get(f"{key}-variant", "").strip()[:63],
    )


# To a document


def document_from(draft: Draft) -> Document:
    """What the draft says; fields that can not be read are told in `draft.errors`."""
    draft.errors = {}
    return Document(
        name=draft.name,
        aliases=tuple(draft.aliases),
        steps=tuple(_step_doc(draft, step) for step in draft.steps),
        fallbacks=tuple(draft.fallbacks),
        strict=draft.strict,
        enabled=draft.enabled,
        hidden=draft.hidden,
        log_bodies={"yes": True, "no": False}.get(draft.log_bodies),
        retries=int(_number(draft, "retries", draft.retries, whole=True, most=10) or 0),
        cooldown_s=_number(draft, "cooldown_s", draft.cooldown_s, most=3600) or 0.0,
        default_max_output=_whole(draft, "default_max_output", draft.default_max_output),
        reasoning_field=draft.reasoning_field or "reasoning_content",
        cache=_cache(draft),
        **way_values(draft.way, draft.errors),
    )


def _cache(draft: Draft) -> dict[str, Any]:
    try:
        return route_cache.told(draft.cache_ttl, draft.cache_scope, draft.cache_kept)
    except ValueError as error:
        draft.errors["cache_ttl"] = str(error)
        return {}


def _step_doc(draft: Draft, step: StepDraft) -> StepDoc:
    def context(name: str) -> int | None:
        return _whole(draft, f"{step.key}-{name}", getattr(step, name))

    seconds = _number(draft, f"{step.key}-first_token_s", step.first_token_s, least=0.1)
    return StepDoc(
        name=step.name,
        strategy=step.strategy,
        on=tuple(step.on),
        takes=tuple(f for f in FEATURES if step.needs.get(f) == WITH),
        refuses=tuple(f for f in FEATURES if step.needs.get(f) == WITHOUT),
        min_context=context("min_context"),
        max_context=context("max_context"),
        able=step.able,
        first_token_s=seconds,
        tags=typed_tags(step.tags),
        during=typed_hours(step.during, f"{step.key}-during", draft.errors),
        targets=tuple(_target_doc(draft, target) for target in step.targets),
    )


def _target_doc(draft: Draft, target: TargetDraft) -> TargetDoc:
    weight = _number(draft, f"{target.key}-weight", target.weight)
    return msgspec.structs.replace(
        _kept(target.kept),
        model=target.model,
        weight=1.0 if weight is None else weight,
        enabled=target.enabled,
        tags=typed_tags(target.tags),
        variant=target.variant,
    )


def _kept(text: str) -> TargetDoc:
    """What the editor does not show of a target; as usual where it can not be read."""
    try:
        found = msgspec.json.decode(text, type=dict[str, Any])
        shown = {name: value for name, value in found.items() if name in _UNSHOWN}
        return msgspec.convert({"model": "", **shown}, TargetDoc)
    except msgspec.MsgspecError:
        return TargetDoc(model="")


def _whole(draft: Draft, name: str, text: str) -> int | None:
    found = _number(draft, name, text, whole=True, least=1)
    return None if found is None else int(found)


def _number(draft: Draft, name: str, text: str, **bounds: Any) -> float | None:
    return typed_number(draft.errors, name, text, **bounds)


# What the buttons do


def act(draft: Draft, do: str, data: QueryDict) -> str:
    """Do what a button says to the draft; the words for it, empty if it is no such button."""
    verb, _colon, key = do.partition(":")
    if verb in {"up", "down"}:
        return _move(draft, key, -1 if verb == "up" else 1)
    if verb == "add-step":
        draft.steps.append(StepDraft(draft.fresh("s")))
        return _("Step %(number)d added") % {"number": len(draft.steps)}
    if verb == "add-target":
        return _add_target(draft, key, data.get(f"{key}-new", ""))
    if verb == "drop":
        return _drop(draft, key)
    if verb == "drop-alias" and key in draft.aliases:
        draft.aliases.remove(key)
        return _("%(name)s removed") % {"name": key}
    if verb in {"able", "text-only"} and (step := draft.step(key)):
        if verb == "able":
            step.able = True
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
    step.targets.append(TargetDraft(draft.fresh("t"), model))
    return _("%(model)s added") % {"model": model}


def _drop(draft: Draft, key: str) -> str:
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


def _move(draft: Draft, key: str, by: int) -> str:
    step = draft.step(key)
    if step is not None:
        at = draft.steps.index(step)
        draft.steps.insert(max(0, at + by), draft.steps.pop(at))
        return _("Step moved to place %(place)d") % {"place": draft.steps.index(step) + 1}
    for number, home in enumerate(draft.steps):
        for target in home.targets:
            if target.key == key:
                return _move_target(draft, number, target, by)
    return ""


def _move_target(draft: Draft, number: int, target: TargetDraft, by: int) -> str:
    """Within its step, or at its edge into the next one, so that no place is out of reach."""
    home = draft.steps[number].targets
    place = home.index(target) + by
    if 0 <= place < len(home):
        home.remove(target)
        home.insert(place, target)
    elif 0 <= number + by < len(draft.steps):
        home.remove(target)
        number += by
        neighbours = draft.steps[number].targets
        neighbours.insert(len(neighbours) if by < 0 else 0, target)
        place = neighbours.index(target)
    return _("%(model)s moved to step %(step)d, place %(place)d") % {
        "model": target.model,
        "step": number + 1,
        "place": max(0, place) + 1,
    }
