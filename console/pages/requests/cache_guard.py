"""The guard's findings about a session, in words for its page."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import NamedTuple

from django.utils.translation import gettext as _

from console.pages.requests.sessions import Session
from console.prompt_cache.guard import MOST_ROWS, Break, breaks
from gateway import store
from gateway.models import Model, Provider, RequestLog
from gateway.providers.prices import price_for
from gateway.providers.profile import Price
from gateway.relay.entry import Bodies
from gateway.store.model_prices import price_value

_TIME = re.compile(r"\d{4}-\d\d|\d{1,2}:\d\d|\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b", re.I)


class Finding(NamedTuple):
    """One break: what happened, what to do about it, and what it cost."""

    broken: Break
    title: str
    advice: str


class Guard(NamedTuple):
    """All of a session's, and what they cost together as far as known."""

    findings: list[Finding]
    usd: Decimal | None
    looked_at: int


def guard_of(session: Session) -> Guard:
    """What the guard finds in the session's newest requests."""
    rows = [step.row for step in session.steps]
    prices: dict[tuple[str, str], Price] = {}

    def priced(row: RequestLog) -> Price:
        name = (row.provider, row.model)
        if name not in prices:
            prices[name] = _price(*name)
        return prices[name]

    found = [Finding(one, *_words(one)) for one in breaks(rows, _bodies, priced)]
    known = [finding.broken.usd for finding in found if finding.broken.usd is not None]
    return Guard(found, sum(known, Decimal(0)) if known else None, min(len(rows), MOST_ROWS))


def _bodies(pk: int) -> Bodies | None:
    try:
        return store.load_bodies(pk)
    except ValueError:
        return None


def _price(provider: str, name: str) -> Price:
    """Today's price of a model as the log names it."""
    row = Model.objects.select_related("provider").filter(provider__name=provider, name=name)
    held = row.first()
    try:
        if held is not None:
            return price_value(price_for(held.provider.preset, name), held)
    except ValueError:
        return Price()
    preset = Provider.objects.filter(name=provider).values_list("preset", flat=True).first()
    return price_for(preset or "", name)


def _words(broken: Break) -> tuple[str, str]:
    """What happened, and what to do about it."""
    match broken.kind:
        case "target":
            return (
                _("Another model answered: %(new)s instead of %(old)s")
                % {"new": broken.new, "old": broken.old},
                _(
                    "Each model has a cache of its own. The strategy `sticky` keeps a session "
                    "on one target."
                )
                if not broken.reason
                else _("It was a fallback (%(why)s); each model has a cache of its own.")
                % {"why": broken.reason},
            )
        case "order":
            return (
                _("The same tools came in another order"),
                _("Tools stand at the very front: send them sorted, by name for example."),
            )
        case "tool":
            return (
                _("The tools changed"),
                _(
                    "Tools stand at the very front, so everything after them is read anew. Keep "
                    "the list the same for a whole session."
                ),
            )
        case "system":
            return _("The system prompt changed"), _advice(broken)
        case "message":
            return _("An earlier message changed"), _advice(broken)
        case "marks":
            return (
                _("The marks for the cache are gone"),
                _("The turn before had `cache_control`, this one has none: nothing was kept."),
            )
        case "unmarked":
            return (
                _("Nothing is marked for the cache"),
                _("This provider keeps only what `cache_control` marks."),
            )
        case "expired":
            minutes = round(broken.idle_s / 60)
            return (
                _("The cache had expired"),
                _(
                    "The prompt is the same, but %(n)d minutes had passed; a cache lives about "
                    "5 minutes unless it is marked for an hour."
                )
                % {"n": minutes},
            )
    return (
        _("The provider did not use its cache"),
        _(
            "The prompt goes on from the one before without a change: it is the provider's doing, "
            "or another of its machines answered."
        ),
    )


def _advice(broken: Break) -> str:
    changed = f"{broken.old} {broken.new} {broken.lead[-20:]}"
    if _TIME.search(changed):
        return _(
            "A date or a time stands there: put it at the end, into the last message, "
            "so that what comes before stays the same."
        )
    return _(
        "Everything after this place is read anew. Put what changes as far to the end "
        "as it can stand."
    )
