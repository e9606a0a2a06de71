"""What the editor's templates show of a draft: plain values, all words made."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

from django.db.models import QuerySet
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.dialects import OFFERED, title
from console.forms.route_cache import SCOPES
from console.forms.route_way import NUMBERS, TIMES
from console.forms.routes import WITH, WITHOUT, Draft, StepDraft, TargetDraft
from console.pages.routes import words
from console.pages.routes.checks import Check
from console.pages.routes.figures import Condition, Figures, condition
from console.pages.routes.samples import SAMPLES
from console.pages.routes.trial import FAILURE_TITLES, Trial
from gateway import models
from gateway.routing.document import Document, StepDoc
from gateway.routing.plan import able
from gateway.routing.snapshot import Model, Snapshot, Target
from gateway.store.snapshot import REASONING_FIELDS

CAPABILITIES: tuple[tuple[str, str, Promise], ...] = (
    ("tools", "wrench", gettext_lazy("Tools")),
    ("images", "image", gettext_lazy("Images")),
    ("schema", "braces", gettext_lazy("JSON schema")),
)


# Strategies that share the requests by weight.
SHARED = frozenset({"weighted", "sticky", "split"})
# Those for which a weight means something.
WEIGHED = SHARED | {"least_busy", "least_used"}


class Capability(NamedTuple):
    """An icon for what a model can take, or can not."""

    icon: str
    title: str
    there: bool


class TargetView(NamedTuple):
    """A target's row."""

    draft: TargetDraft
    name: str
    provider: str
    preset: str
    known: bool
    capabilities: list[Capability]
    condition: Condition
    figures: Figures | None
    price: str
    share: str
    error: str


class Share(NamedTuple):
    """A part of the split bar, in percent."""

    name: str
    percent: float
    words: str


class StepView(NamedTuple):
    """A step's card and the line that leads to it."""

    draft: StepDraft
    number: int
    title: str
    hint: str
    link: list[str]
    limits: list[str]
    manner: list[str]
    targets: list[TargetView]
    split: list[Share]
    classes: list[tuple[str, str, bool]]
    needs: list[tuple[str, str, str]]
    errors: dict[str, str]


def steps(
    draft: Draft, document: Document, snapshot: Snapshot, figures: dict[str, Figures]
) -> list[StepView]:
    """The cards, in order."""
    return [
        _step(draft, typed, read, number, snapshot, figures)
        for number, (typed, read) in enumerate(
            zip(draft.steps, document.steps, strict=True), start=1
        )
    ]


def _step(
    draft: Draft,
    typed: StepDraft,
    read: StepDoc,
    number: int,
    snapshot: Snapshot,
    figures: dict[str, Figures],
) -> StepView:
    split = _split(read)
    shares = {id(target): share for target, share in zip(read.targets, split, strict=True)}
    return StepView(
        draft=typed,
        number=number,
        title=read.name or _default_name(number),
        hint=str(words.STRATEGY_HINTS.get(read.strategy, "")) if len(read.targets) > 1 else "",
        link=words.entered(read),
        limits=words.limits(read),
        manner=words.manner(read),
        targets=[
            _target(draft, t, shares[id(d)].words if shares else "", snapshot, figures)
            for t, d in zip(typed.targets, read.targets, strict=True)
        ],
        split=split if read.strategy in SHARED and len(split) > 1 else [],
        classes=[(name, str(title), name in typed.on) for name, title in words.CLASSES.items()],
        needs=[(f, str(title), typed.needs.get(f, "")) for f, title in words.FEATURES.items()],
        errors={
            name.partition("-")[2]: text
            for name, text in draft.errors.items()
            if name.startswith(f"{typed.key}-")
        },
    )


def _default_name(number: int) -> str:
    return _("Primary") if number == 1 else _("Fallback")


def _split(step: StepDoc) -> list[Share]:
    total = sum(target.weight for target in step.targets if target.enabled)
    found = []
    for target in step.targets:
        part = target.weight / total * 100 if total and target.enabled else 0.0
        shown = number_format(round(part, 0 if part >= 1 else 1), 0 if part >= 1 else 1)
        found.append(Share(target.model.partition("/")[2], part, f"{shown} %"))
    return found


def _target(
    draft: Draft,
    target: TargetDraft,
    share: str,
    snapshot: Snapshot,
    figures: dict[str, Figures],
) -> TargetView:
    provider, _slash, name = target.model.partition("/")
    model = snapshot.models.get(target.model)
    known = figures.get(target.model)
    return TargetView(
        draft=target,
        name=name,
        provider=provider,
        preset=model.provider.preset if model is not None else "",
        known=model is not None,
        capabilities=_capabilities(model) if model is not None else [],
        condition=condition(target.model, known)
        if model is not None
        else Condition("bad", _("Not in use")),
        figures=known,
        price=_price(model),
        share=share,
        error=draft.errors.get(f"{target.key}-weight", ""),
    )


def _capabilities(model: Model) -> list[Capability]:
    target = Target(id=0, model=model)
    return [Capability(icon, str(title), able(target, f)) for f, icon, title in CAPABILITIES]


def _price(model: Model | None) -> str:
    if model is None or model.price.input is None or model.price.output is None:
        return ""
    if model.price.input == model.price.output == 0:
        return _("Free")
    return f"${_amount(model.price.input)} / ${_amount(model.price.output)}"


def _amount(price: Decimal) -> str:
    whole = price == price.to_integral_value()
    return number_format(price, 0) if whole else number_format(price.normalize(), 2)


def choices(draft: Draft, trial: Trial, snapshot: Snapshot) -> dict[str, Any]:
    """What can be chosen from in the editor and in the dry run."""
    labels = dict.fromkeys(t.model for step in draft.steps for t in step.targets)
    return {
        "strategies": words.STRATEGIES.items(),
        "model_groups": _model_groups(snapshot),
        "reasoning_fields": REASONING_FIELDS,
        "cache_scopes": SCOPES.items(),
        "other_routes": sorted(set(snapshot.routes) - {draft.name} - set(draft.fallbacks)),
        "dialects": [(name, title(name)) for name in OFFERED],
        "samples": [(name, sample.title) for name, sample in SAMPLES.items()],
        "failures": FAILURE_TITLES.items(),
        "labels": list(labels),
        "names": [draft.name, *draft.aliases],
        "keys": sorted(snapshot.keys.values(), key=lambda key: key.name),
        "weighed": WEIGHED,
        "by_class": _by_class(draft),
        "way_wrong": _way_wrong(draft),
        "shadows": sorted(set(snapshot.routes) - {draft.name}),
        "live_now": draft.name in snapshot.routes,
        "with": WITH,
        "without": WITHOUT,
        "trial": trial,
    }


class ByClass(NamedTuple):
    """What a route does about one class of failure, as typed."""

    name: str
    title: str
    retry: str
    allowed: str
    retry_error: str
    allowed_error: str
    fallbacks: list[str]


def _way_wrong(draft: Draft) -> bool:
    """Whether something is wrong in the section of failures, which then stands open."""
    names = {*NUMBERS, "shadow", *(f"{what}-{name}" for what in TIMES for name in words.CLASSES)}
    return not names.isdisjoint(draft.errors)


def _by_class(draft: Draft) -> list[ByClass]:
    way, errors = draft.way, draft.errors
    return [
        ByClass(
            name,
            str(title),
            way.counts.get(f"retry:{name}", ""),
            way.counts.get(f"allowed:{name}", ""),
            errors.get(f"retry-{name}", ""),
            errors.get(f"allowed-{name}", ""),
            way.on.get(name, []),
        )
        for name, title in words.CLASSES.items()
    ]


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
    words: str
    aliases: int
    requests: int
    state: str


def entries(
    rows: QuerySet[models.Route], snapshot: Snapshot, traffic: dict[str, int]
) -> list[Entry]:
    """All routes, the busiest first."""
    found = [_entry(row, snapshot, traffic) for row in rows]
    return sorted(found, key=lambda entry: (-entry.requests, entry.name))


def _entry(row: models.Route, snapshot: Snapshot, traffic: dict[str, int]) -> Entry:
    live = snapshot.routes.get(row.name)
    others = [a for a, name in snapshot.aliases.items() if name == row.name]
    others += [p for p, name in snapshot.wildcards if name == row.name]
    count = traffic.get(row.name, 0)
    if live is None:
        state = _("off") if not row.enabled else _("can not be used")
        return Entry(row.name, "bad" if row.enabled else "", state, len(others), count, state)
    resting = [condition(t.model.label, None).kind == "warn" for t in live.targets]
    dot = "ok" if not any(resting) else ("bad" if all(resting) else "warn")
    title = str(words.STRATEGIES[live.steps[0].strategy if live.steps else live.strategy])
    number = len(live.targets)
    told = _("%(n)d target") % {"n": 1} if number == 1 else _("%(n)d targets") % {"n": number}
    state = {"ok": _("ready"), "warn": _("some targets rest"), "bad": _("all targets rest")}[dot]
    return Entry(
        row.name, dot, told if number == 1 else f"{title}, {told}", len(others), count, state
    )


def counted(checks: list[Check]) -> tuple[str, str]:
    """The pill at the head of the checks: its class and words."""
    bad = sum(found.level == "bad" for found in checks)
    if bad:
        return "bad", _("%d error") % bad if bad == 1 else _("%d errors") % bad
    todo = sum(found.level == "todo" for found in checks)
    if todo:
        return "", _("%d to do") % todo
    if checks:
        many = len(checks)
        return "warn", _("%d warning") % many if many == 1 else _("%d warnings") % many
    return "ok", _("all clear")
