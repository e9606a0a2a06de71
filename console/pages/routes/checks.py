"""What is wrong with a draft: errors keep it from being saved, warnings do not."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Collection, Iterator
from typing import Literal, NamedTuple

from django.utils.translation import gettext as _

from console.forms.routes import Draft
from console.pages.routes.words import FEATURES
from gateway.providers.catalog import resolve
from gateway.routing.document import Document, StepDoc
from gateway.routing.plan import able
from gateway.routing.snapshot import Model, Snapshot, Target
from gateway.store.compile import is_pattern, specificity
from gateway.store.routes import compiled

Level = Literal["bad", "warn", "todo"]
BAD: Level = "bad"
WARN: Level = "warn"
LACKING: Level = "todo"


class Fix(NamedTuple):
    """A button that mends it: what it does to the draft, and its words."""

    do: str
    label: str


class Check(NamedTuple):
    """One finding; `lead` is the sentence in bold, `field` where it stands in the form.

    `missing` is for what is not there, which a new route need not have from the start.
    """

    level: Level
    lead: str
    rest: str = ""
    fix: Fix | None = None
    field: str = ""
    missing: bool = False


class Case(NamedTuple):
    """What is checked: a draft as typed and as read, the registry, the route's saved name."""

    draft: Draft
    document: Document
    snapshot: Snapshot
    saved_name: str

    def model(self, label: str) -> Model | None:
        """A model of the registry."""
        return self.snapshot.models.get(label)


def check(case: Case) -> list[Check]:
    """All findings, errors first."""
    found = [finding for rule in _RULES for finding in rule(case)]
    return sorted(found, key=lambda finding: finding.level != BAD)


def blocks(checks: list[Check]) -> bool:
    """Whether the draft must not be saved."""
    return any(finding.level == BAD for finding in checks)


def softened(checks: list[Check], left: Collection[str]) -> list[Check]:
    """The findings of a new route: what is missing is yet to do, unless its field was `left`."""
    return [
        found._replace(level=LACKING) if found.missing and found.field not in left else found
        for found in checks
    ]


def _fields(case: Case) -> Iterator[Check]:
    for name, words in case.draft.errors.items():
        yield Check(BAD, _("A field is not understood:"), words, field=name)


def _name(case: Case) -> Iterator[Check]:
    name = case.document.name
    if not name:
        yield Check(BAD, _("The route has no name."), field="name", missing=True)
    elif is_pattern(name) or len(name) > 200 or any(c.isspace() for c in name):
        words = _("Names have no spaces and no wildcards; those go into “also answers to”.")
        yield Check(BAD, _("The name can not be used."), words, field="name")
    elif name != case.saved_name and name in case.snapshot.routes:
        yield Check(BAD, _("There is a route %s already.") % name, field="name")
    elif case.saved_name and name != case.saved_name:
        words = _("Clients that ask for %s get an error, unless you add it as another name.")
        yield Check(WARN, _("The route gets a new name."), words % case.saved_name)


def _aliases(case: Case) -> Iterator[Check]:
    others = {a: r for a, r in case.snapshot.aliases.items() if r != case.saved_name}
    wild = [(p, r) for p, r in case.snapshot.wildcards if r != case.saved_name]
    taken = {**others, **dict(wild)}
    for alias in case.document.aliases:
        holder = taken.get(alias)
        if holder is not None:
            words = _("One name leads to one route: remove it here or there.")
            yield Check(BAD, _("%(a)s leads to %(r)s.") % {"a": alias, "r": holder}, words)
        elif alias in case.snapshot.routes and alias != case.saved_name:
            words = _("The route answers first, so this name would never be used.")
            yield Check(BAD, _("%s is a route of its own.") % alias, words)
        elif alias == case.document.name:
            yield Check(WARN, _("%s is the name of the route anyway.") % alias)
        elif is_pattern(alias):
            yield from _overlaps(case, alias, wild, others)


def _overlaps(
    case: Case, pattern: str, wild: list[tuple[str, str]], exact: dict[str, str]
) -> Iterator[Check]:
    """Names for which more than one route is meant, and who gets them."""
    for other, route in wild:
        if fnmatch.fnmatchcase(other.replace("*", "x"), pattern) or fnmatch.fnmatchcase(
            pattern.replace("*", "x"), other
        ):
            first = min(pattern, other, key=specificity)
            words = _("The more specific one, %s, goes first.") % first
            lead = _("%(a)s and %(b)s of %(r)s overlap.") % {"a": pattern, "b": other, "r": route}
            yield Check(WARN, lead, words)
    named = [*case.snapshot.routes, *exact]
    held = [n for n in named if n != case.saved_name and fnmatch.fnmatchcase(n, pattern)]
    if held:
        lead = _("%(a)s leaves out %(names)s.") % {"a": pattern, "names": ", ".join(held[:3])}
        yield Check(WARN, lead, _("They are names of other routes."))


def _loops(case: Case) -> Iterator[Check]:
    for name in case.document.fallbacks:
        other = case.snapshot.routes.get(name)
        if name in {case.document.name, case.saved_name}:
            yield Check(BAD, _("The route falls back to itself."), field="fallback")
        elif other is None:
            words = _("Only routes can be fallen back to.")
            yield Check(BAD, _("There is no route %s.") % name, words, field="fallback")
        elif case.saved_name in other.fallbacks:
            words = _("Each is tried once, so it ends, but not as one might think.")
            yield Check(WARN, _("%s falls back to this route too.") % name, words)


def _targets(case: Case) -> Iterator[Check]:
    if not case.document.fallbacks and not any(step.targets for step in case.document.steps):
        words = _("Add a model to its first step.")
        yield Check(BAD, _("The route has no target."), words, field="targets", missing=True)
        return
    for number, step in enumerate(case.document.steps, start=1):
        if not step.targets:
            yield Check(BAD, _("Step %d has no target.") % number, _("Add one or remove the step."))
        labels = [target.model for target in step.targets]
        for label in dict.fromkeys(labels):
            if labels.count(label) > 1:
                yield Check(WARN, _("%s stands twice in one step.") % _short(label))
            if case.model(label) is None:
                words = _("It is not among the models, or it or its provider is switched off.")
                yield Check(BAD, _("%s can not be called.") % label, words)


def _keys(case: Case) -> Iterator[Check]:
    labels = [t.model for step in case.document.steps for t in step.targets if t.enabled]
    models = [model for label in dict.fromkeys(labels) if (model := case.model(label))]
    providers = {model.provider.name: model.provider for model in models}
    missing = [
        provider
        for provider in providers.values()
        # A server of one's own may be open; a provider with a name for its key is not.
        if not provider.credential and (preset := resolve(provider.preset)) and preset.env
    ]
    level = BAD if len(missing) == len(providers) else WARN
    for provider in missing:
        words = _("Its calls would be refused. Add the key on the page Providers.")
        yield Check(level, _("%s has no key.") % provider.name, words)


def _weights(case: Case) -> Iterator[Check]:
    for number, step in enumerate(case.document.steps, start=1):
        if step.strategy != "weighted" or len(step.targets) < 2:
            continue
        live = [target for target in step.targets if target.enabled]
        if live and not any(target.weight > 0 for target in live):
            words = _("At least one target needs a weight above 0.")
            yield Check(BAD, _("All weights of step %d are 0.") % number, words)


def _gaps(case: Case) -> Iterator[Check]:
    for step, draft in zip(case.document.steps, case.draft.steps, strict=True):
        if step.able:
            continue
        for target in step.targets:
            model = case.model(target.model)
            if model is not None and target.enabled:
                yield from _gap(step, draft.key, model)


def _gap(step: StepDoc, key: str, model: Model) -> Iterator[Check]:
    target = Target(id=0, model=model)
    missing = [f for f in FEATURES if f not in step.refuses and not able(target, f)]
    if not missing:
        return
    named = _(" or ").join(str(FEATURES[feature]) for feature in missing)
    lead = _("%(model)s can not take %(what)s.") % {"model": model.name, "what": named}
    if missing == ["images"]:
        rest, fix = _("They would be dropped."), Fix(f"text-only:{key}", _("Limit to text"))
    else:
        rest = _("A request that uses it would lose it.")
        fix = Fix(f"able:{key}", _("Skip it for such requests"))
    yield Check(WARN, lead, rest, fix)


def _context(case: Case) -> Iterator[Check]:
    above: int | None = None
    for number, step in enumerate(case.document.steps, start=1):
        windows = [m.traits.context_window for t in step.targets if (m := case.model(t.model))]
        known = [window for window in windows if window is not None]
        for target in step.targets:
            model = case.model(target.model)
            window = model.traits.context_window if model is not None else None
            if window is not None and step.min_context is not None and window < step.min_context:
                words = _("It has %(has)s tokens, the step starts at %(least)s.") % {
                    "has": f"{window:,}",
                    "least": f"{step.min_context:,}",
                }
                lead = _("The context of %s is too small.") % _short(target.model)
                yield Check(BAD, lead, words)
        if "context_length" in step.on and above and known and max(known) <= above:
            words = _("No target of it takes more than those above.")
            yield Check(WARN, _("Step %d does not help a long context.") % number, words)
        above = max([above or 0, *known])


def _conditions(case: Case) -> Iterator[Check]:
    if case.document.steps and case.document.steps[0].on:
        words = _("Nothing stands above it that could fail.")
        yield Check(WARN, _("The first step has failures to be entered on."), words)
    try:
        compiled(case.document, case.snapshot)
    except ValueError as error:
        yield Check(BAD, _("The route can not be used:"), str(error))


def _short(label: str) -> str:
    return label.partition("/")[2]


_RULES: tuple[Callable[[Case], Iterator[Check]], ...] = (
    _fields,
    _name,
    _aliases,
    _targets,
    _loops,
    _keys,
    _weights,
    _conditions,
    _context,
    _gaps,
)
