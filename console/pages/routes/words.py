"""A change of a route in words, and conditions as a sentence on the line between steps."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from gateway.routing.document import Document, StepDoc, TargetDoc

STRATEGIES = {
    "ordered": gettext_lazy("In order"),
    "weighted": gettext_lazy("Weighted"),
    "fastest": gettext_lazy("Fastest first"),
    "cheapest": gettext_lazy("Cheapest first"),
    "least_busy": gettext_lazy("Least busy first"),
    "least_used": gettext_lazy("Least used first"),
    "sticky": gettext_lazy("Sticky by session"),
    "split": gettext_lazy("Split for comparing"),
}
STRATEGY_HINTS = {
    "ordered": gettext_lazy("tried in this order"),
    "weighted": gettext_lazy("split by weight"),
    "fastest": gettext_lazy("by time to first token"),
    "cheapest": gettext_lazy("by price of a usual request"),
    "least_busy": gettext_lazy("by requests under way"),
    "least_used": gettext_lazy("by tokens of the last minute"),
    "sticky": gettext_lazy("a session keeps its target; shares by weight"),
    "split": gettext_lazy("a session or key keeps its variant; shares by weight"),
}
# The failures a step is entered on, as a person calls them.
CLASSES = {
    "rate_limit": gettext_lazy("rate limit (429)"),
    "upstream_error": gettext_lazy("server error (5xx)"),
    "timeout": gettext_lazy("timeout"),
    "upstream_auth": gettext_lazy("refused credential"),
    "context_length": gettext_lazy("context too long"),
    "content_policy": gettext_lazy("content policy"),
}
# Keys within a column, as a person calls them.
_INNER = {**CLASSES, "ttl_s": gettext_lazy("seconds"), "scope": gettext_lazy("shared by")}
FEATURES = {
    "tools": gettext_lazy("tools"),
    "images": gettext_lazy("images"),
    "schema": gettext_lazy("a JSON schema"),
}
PLAIN = {
    "name": gettext_lazy("name"),
    "strict": gettext_lazy("strict about untranslatable fields"),
    "enabled": gettext_lazy("switched on"),
    "hidden": gettext_lazy("hidden from the model list"),
    "log_bodies": gettext_lazy("logging of bodies"),
    "retries": gettext_lazy("further rounds"),
    "retry": gettext_lazy("retries by failure"),
    "retry_first": gettext_lazy("retries before the next step"),
    "backoff_s": gettext_lazy("first pause before a retry"),
    "max_wait_s": gettext_lazy("longest Retry-After to wait for"),
    "failures": gettext_lazy("failures before a rest"),
    "allowed": gettext_lazy("failures before a rest, by failure"),
    "fallbacks_on": gettext_lazy("fallback routes by failure"),
    "able": gettext_lazy("skipping of targets that can not take the request"),
    "tag_match": gettext_lazy("tags that must match"),
    "hedge_after_s": gettext_lazy("second target after"),
    "shadow": gettext_lazy("shadow route"),
    "shadow_share": gettext_lazy("share repeated on it"),
    "check_s": gettext_lazy("checks of its targets every"),
    "cooldown_s": gettext_lazy("rest after failures"),
    "default_max_output": gettext_lazy("default output limit"),
    "reasoning_field": gettext_lazy("reasoning field"),
    "cache": gettext_lazy("kept answers"),
}


def entered(step: StepDoc) -> list[str]:
    """When the step is entered, by how the step above failed; empty is "any failure"."""
    return [str(CLASSES[name]) for name in step.on]


def limits(step: StepDoc) -> list[str]:
    """For which requests the step is."""
    found = [_("with %(feature)s") % {"feature": FEATURES[name]} for name in step.takes]
    found += [_("without %(feature)s") % {"feature": FEATURES[name]} for name in step.refuses]
    if step.min_context is not None:
        found.append(_("from %(count)s tokens") % {"count": f"{step.min_context:,}"})
    if step.max_context is not None:
        found.append(_("up to %(count)s tokens") % {"count": f"{step.max_context:,}"})
    if step.tags:
        found.append(_("with the tag %(tags)s") % {"tags": " / ".join(step.tags)})
    if step.during:
        found.append(step.during)
    return found


def manner(step: StepDoc) -> list[str]:
    """How the step goes about its targets."""
    found = [_("targets that can not take it are skipped")] if step.able else []
    if step.first_token_s is not None:
        found.append(_("first token within %(seconds)g s") % {"seconds": step.first_token_s})
    return found


def changes(before: Document, after: Document) -> list[str]:
    """What was done to get from one document to the other."""
    found = [*_plain(before, after), *_names(before, after), *_steps(before, after)]
    # A model that stands in the route twice is told apart by nothing that has a word.
    return found or ([_("changed the targets")] if before != after else [])


def _plain(before: Document, after: Document) -> Iterator[str]:
    for name, words in PLAIN.items():
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            yield _("%(what)s: %(old)s → %(new)s") % {
                "what": words,
                "old": _shown(name, old),
                "new": _shown(name, new),
            }


def _shown(column: str, value: object) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if value is None:
        return _("default")
    if isinstance(value, dict):
        shown = {
            str(_INNER.get(name, name)): " ".join(said) if isinstance(said, tuple) else said
            for name, said in value.items()
        }
        return ", ".join(f"{name}: {said}" for name, said in shown.items()) or _("none")
    if value == "":
        return _("none")
    if isinstance(value, float) and column == "shadow_share":
        return f"{value * 100:g} %"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{text} s" if column.endswith("_s") else text


def _names(before: Document, after: Document) -> Iterator[str]:
    for old, new, more, less in (
        (before.aliases, after.aliases, _("added alias %s"), _("removed alias %s")),
        (before.fallbacks, after.fallbacks, _("added fallback %s"), _("removed fallback %s")),
    ):
        yield from (more % name for name in new if name not in old)
        yield from (less % name for name in old if name not in new)


def _steps(before: Document, after: Document) -> Iterator[str]:
    old = {target.model: (n, p, target) for n, p, target in _targets(before)}
    new = {target.model: (n, p, target) for n, p, target in _targets(after)}
    yield from (_("added %s") % _short(label) for label in new if label not in old)
    yield from (_("removed %s") % _short(label) for label in old if label not in new)
    kept = [label for label in new if label in old]
    for label in kept:
        yield from _target(_short(label), old[label][2], new[label][2])
    yield from _moves(kept, old, new)
    yield from _conditions(before.steps, after.steps)


def _targets(document: Document) -> Iterator[tuple[int, int, TargetDoc]]:
    for number, step in enumerate(document.steps):
        for place, target in enumerate(step.targets):
            yield number, place, target


def _short(label: str) -> str:
    return label.partition("/")[2]


def _target(name: str, old: TargetDoc, new: TargetDoc) -> Iterator[str]:
    if old.weight != new.weight:
        yield _("%(name)s weight %(old)g to %(new)g") % {
            "name": name,
            "old": old.weight,
            "new": new.weight,
        }
    if old.enabled != new.enabled:
        yield (_("switched on %s") if new.enabled else _("switched off %s")) % name
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


def _moves(
    kept: list[str],
    old: dict[str, tuple[int, int, TargetDoc]],
    new: dict[str, tuple[int, int, TargetDoc]],
) -> Iterator[str]:
    """Targets in another step, and those whose order among the rest is another, the fewest."""
    for label in kept:
        if old[label][0] != new[label][0]:
            yield _("moved %(name)s to step %(step)d") % {
                "name": _short(label),
                "step": new[label][0] + 1,
            }
    stayed = [label for label in kept if old[label][0] == new[label][0]]
    was = sorted(stayed, key=lambda label: old[label][:2])
    now = sorted(stayed, key=lambda label: new[label][:2])
    while was != now:
        moved = max(now, key=lambda label: abs(was.index(label) - now.index(label)))
        yield _("moved %s") % _short(moved)
        was.remove(moved)
        now.remove(moved)


def _conditions(before: tuple[StepDoc, ...], after: tuple[StepDoc, ...]) -> Iterator[str]:
    for number in range(len(before), len(after)):
        yield _("added step %d") % (number + 1)
    for number in range(len(after), len(before)):
        yield _("removed step %d") % (number + 1)
    for number, (old, new) in enumerate(zip(before, after, strict=False), start=1):
        if old.name != new.name:
            yield _("step %(number)d is called “%(name)s”") % {"number": number, "name": new.name}
        if old.strategy != new.strategy:
            words = STRATEGIES.get(new.strategy, new.strategy)
            yield _("step %(number)d: %(strategy)s") % {"number": number, "strategy": words}
        if _said(old) != _said(new):
            said = ", ".join([*entered(new), *limits(new), *manner(new)]) or _("no conditions")
            yield _("step %(number)d: %(conditions)s") % {"number": number, "conditions": said}


def _said(step: StepDoc) -> tuple[list[str], ...]:
    return entered(step), limits(step), manner(step)
